import type { ReadField } from './encoded-rows.js'
import { type Field, typeCodes } from './field.js'

/** The methods of Node's buffers that read a part without checks. Without them, as in other runtimes, `toString` does. */
interface Slices {
  readonly utf8Slice?: (start: number, end: number) => string
  readonly latin1Slice?: (start: number, end: number) => string
}

const slices = Buffer.prototype as unknown as Slices
const hasSlices = slices.utf8Slice !== undefined && slices.latin1Slice !== undefined

/** Reads fields that hold text. */
export const readText: ReadField = hasSlices
  ? (bytes, start, end) => (bytes as unknown as Required<Slices>).utf8Slice(start, end)
  : (bytes, start, end) => bytes.toString('utf8', start, end)

/** Reads fields of ASCII characters. */
const readAscii: ReadField = hasSlices
  ? (bytes, start, end) => (bytes as unknown as Required<Slices>).latin1Slice(start, end)
  : (bytes, start, end) => bytes.toString('latin1', start, end)

const readHex: ReadField = (bytes, start, end) => `\\x${bytes.toString('hex', start, end)}`

/** Numbers that the server fills up with zeros. */
const readFilled: ReadField = (bytes, start, end) => readAscii(bytes, start, end).replace(/^0+(?=\d)/, '')

/** A number of up to 64 bits, the most significant byte first. */
const readBits: ReadField = (bytes, start, end) => {
  const hex = bytes.toString('hex', start, end)
  return hex === '' ? '0' : String(BigInt(`0x${hex}`))
}

const readBit: ReadField = (bytes, _start, end) => (bytes[end - 1] === 1 ? 't' : 'f')

/** The session is in UTC. A date of zeros is no time, and has no zone. */
const readTimestamp: ReadField = (bytes, start, end) => {
  const text = readAscii(bytes, start, end)
  return text.startsWith('0000') ? text : `${text}+00`
}

/** A number that says that a geometry names its spatial reference system, as PostGIS has it. */
const withSystem = 0x20000000

/** The server sends the number of the spatial reference system, then WKB. Unless it is 0, it becomes a part of the WKB. */
const readGeometry: ReadField = (bytes, start, end) => {
  if (end - start < 9) return readHex(bytes, start, end)
  const isPlain = bytes.readUInt32LE(start) === 0
  if (isPlain) return readHex(bytes, start + 4, end)
  const head = Buffer.allocUnsafe(9)
  const isLittle = bytes.copy(head, 0, start + 4, start + 9) > 0 && head[0] === 1
  const type = ((isLittle ? head.readUInt32LE(1) : head.readUInt32BE(1)) | withSystem) >>> 0
  const system = bytes.readUInt32LE(start)
  if (isLittle) {
    head.writeUInt32LE(type, 1)
    head.writeUInt32LE(system, 5)
  } else {
    head.writeUInt32BE(type, 1)
    head.writeUInt32BE(system, 5)
  }
  return `\\x${head.toString('hex')}${bytes.toString('hex', start + 9, end)}`
}

const asciiTypes: ReadonlySet<number> = new Set([
  ...[typeCodes.tiny, typeCodes.short, typeCodes.int24, typeCodes.long, typeCodes.longlong, typeCodes.float],
  ...[typeCodes.double, typeCodes.decimal, typeCodes.newdecimal, typeCodes.date, typeCodes.newdate, typeCodes.time],
  typeCodes.datetime,
])

/** The function that returns the raw text of a column. */
export function readFieldOf({ type, length, isBinary, isZerofill, isEnum, isSet, extendedFormat }: Field): ReadField {
  if (type === typeCodes.year || (isZerofill && asciiTypes.has(type))) return readFilled
  if (asciiTypes.has(type)) return readAscii
  if (type === typeCodes.timestamp) return readTimestamp
  if (type === typeCodes.bit) return length === 1 ? readBit : readBits
  if (type === typeCodes.geometry) return readGeometry
  const isText = !isBinary || type === typeCodes.json || extendedFormat === 'json' || isEnum || isSet
  return isText || type === typeCodes.null ? readText : readHex
}
