import { JobError } from '../../../adapter.js'
import { shown } from '../../shared/index.js'
import type { ColumnKind } from '../table/index.js'
import { checkedFloat, checkedNumber } from './numbers.js'
import { checkedTime, checkedTimestamp } from './times.js'

/**
 * The text of a value, as a column of that kind takes it. Throws `target` for a text in any other form than the usual one of the type: the
 * server reads others in its own way, and may store something else without an error. For a column of bytes, the result is hexadecimal digits.
 */
export function checkedText(text: string, kind: ColumnKind): string {
  switch (kind.storage) {
    case 'integer':
      return whole(text, kind)
    case 'number':
      return checkedNumber(text, kind)
    case 'float':
      return checkedFloat(text, kind)
    case 'bits':
      return bits(text, kind)
    case 'year':
      return year(text, kind)
    case 'label':
      return label(text, kind)
    case 'bytes':
      return Buffer.from(text).toString('hex')
    case 'geometry':
      return geometry(text, kind)
    case 'timestamp':
    case 'date':
      return checkedTimestamp(text, kind)
    case 'time':
      return checkedTime(text, kind)
    default:
      return text
  }
}

function whole(text: string, { sqlType }: ColumnKind): string {
  if (/^[+-]?\d+(\.0*)?$/.test(text)) return text
  throw new JobError('target', `Expected a whole number for \`${sqlType}\`, got ${shown(text)}.`)
}

/** The server takes a text for a column of bits as its bytes. */
function bits(text: string, { sqlType }: ColumnKind): string {
  if (/^\d+$/.test(text)) return text
  throw new JobError('target', `Expected a whole number from 0 up for \`${sqlType}\`, got ${shown(text)}.`)
}

/** The server takes `24` and `0024` as 2024. */
function year(text: string, { sqlType }: ColumnKind): string {
  if (/^[12]\d{3}$/.test(text)) return text
  if (/^0(?:000)?$/.test(text)) return '0000'
  throw new JobError('target', `Expected a year of four digits for \`${sqlType}\`, got ${shown(text)}.`)
}

/** The server takes a number that is no label as the number of one. */
function label(text: string, { sqlType, labels }: ColumnKind): string {
  if (!/^[\s\d+.-]+$/.test(text) || labels.has(text)) return text
  throw new JobError('target', `Expected a label of \`${sqlType}\`, got ${shown(text)}.`)
}

/** Hexadecimal digits of bytes, as a column of that kind takes them. */
export function textOfHex(hex: string, kind: ColumnKind): string {
  switch (kind.storage) {
    case 'bytes':
      return hex
    case 'geometry':
      return geometry(hex, kind)
    case 'bits':
      return hex === '' ? '0' : String(BigInt(`0x${hex}`))
    default:
      return `\\x${hex}`
  }
}

/** A number that says that WKB names its spatial reference system, as PostGIS has it. */
const withSystem = 0x20000000

/** The server has the number of the spatial reference system before the WKB. */
function geometry(given: string, { sqlType }: ColumnKind): string {
  const hex = given.replace(/^\\x/, '')
  if (!/^(?:[0-9a-f]{2}){9,}$/i.test(hex)) {
    throw new JobError(
      'target',
      `Expected WKB for \`${sqlType}\`, as bytes or as hexadecimal digits, got ${shown(given)}.`,
    )
  }
  const head = Buffer.from(hex.slice(0, 18), 'hex')
  const isLittle = head[0] === 1
  const type = isLittle ? head.readUInt32LE(1) : head.readUInt32BE(1)
  const result = Buffer.alloc(9)
  if ((type & withSystem) === 0) return `${result.toString('hex', 0, 4)}${hex}`
  result.writeUInt32LE(isLittle ? head.readUInt32LE(5) : head.readUInt32BE(5), 0)
  result[4] = isLittle ? 1 : 0
  const plain = (type & ~withSystem) >>> 0
  if (isLittle) result.writeUInt32LE(plain, 5)
  else result.writeUInt32BE(plain, 5)
  return `${result.toString('hex')}${hex.slice(18)}`
}
