import type { Packet } from '../client/index.js'

/** The types of columns in the protocol. */
export const typeCodes = {
  decimal: 0,
  tiny: 1,
  short: 2,
  long: 3,
  float: 4,
  double: 5,
  null: 6,
  timestamp: 7,
  longlong: 8,
  int24: 9,
  date: 10,
  time: 11,
  datetime: 12,
  year: 13,
  newdate: 14,
  varchar: 15,
  bit: 16,
  vector: 242,
  json: 245,
  newdecimal: 246,
  enum: 247,
  set: 248,
  tinyBlob: 249,
  mediumBlob: 250,
  longBlob: 251,
  blob: 252,
  varString: 253,
  string: 254,
  geometry: 255,
} as const

const flags = { notNull: 1, unsigned: 32, zerofill: 64, enum: 256, set: 2048 } as const

/** The character set of values that are bytes, not text. */
const binaryCharset = 63

/** The number of decimals of a value that has no fixed number. */
export const noDecimals = 31

/** The definition of a column of a result. */
export interface Field {
  readonly name: string
  /** The table or view and the column that the query passes on, or empty texts. */
  readonly schema: string
  readonly table: string
  readonly column: string
  readonly type: number
  readonly length: number
  readonly decimals: number
  readonly isBinary: boolean
  readonly isUnsigned: boolean
  readonly isZerofill: boolean
  readonly isEnum: boolean
  readonly isSet: boolean
  readonly isNullable: boolean
  /** What MariaDB tells of types that its protocol does not have: such as `uuid` and `inet6`, or `json` for the format. */
  readonly extendedType: string | undefined
  readonly extendedFormat: string | undefined
}

/** What follows the names in a definition: a length byte, and 12 bytes of which the last two are unused. */
const fixedLength = 13

/** Whether the flags of a column are those of an enumeration or a set. */
export function hasLabels(bits: number): boolean {
  return (bits & (flags.enum | flags.set)) !== 0
}

/** Reads the definition of a column. Names come in UTF-8, as `character_set_results` says. */
export function fieldOf({ buffer, offset, end }: Packet): Field {
  let at = offset
  const bytes = () => {
    const { start, length } = lengthAt(buffer, at)
    at = start + length
    return buffer.subarray(start, at)
  }
  const text = () => bytes().toString()
  text() // The catalog is always `def`.
  const schema = text()
  text() // The alias of the table.
  const table = text()
  const name = text()
  const column = text()
  // MariaDB puts its extensions here, if mysql2 asked for them.
  const extensions = end - at > fixedLength ? extensionsIn(bytes()) : new Map<number, string>()
  const fixed = buffer.subarray(at + 1, end)
  const bits = fixed.readUInt16LE(7)
  const has = (flag: number) => (bits & flag) !== 0
  return {
    ...{ name, schema, table, column },
    type: fixed.readUInt8(6),
    length: fixed.readUInt32LE(2),
    decimals: fixed.readUInt8(9),
    isBinary: fixed.readUInt16LE(0) === binaryCharset,
    isUnsigned: has(flags.unsigned),
    isZerofill: has(flags.zerofill),
    isEnum: has(flags.enum),
    isSet: has(flags.set),
    isNullable: !has(flags.notNull),
    extendedType: extensions.get(0),
    extendedFormat: extensions.get(1),
  }
}

function extensionsIn(bytes: Buffer): Map<number, string> {
  const found = new Map<number, string>()
  for (let at = 0; at < bytes.length; ) {
    const { start, length } = lengthAt(bytes, at + 1)
    found.set(bytes[at] as number, bytes.toString('latin1', start, start + length))
    at = start + length
  }
  return found
}

/** The length of what begins behind it: in one byte, or in two, three or eight after a byte that says so. */
export function lengthAt(bytes: Buffer, at: number): { readonly start: number; readonly length: number } {
  const first = bytes[at] as number
  if (first < 0xfc) return { start: at + 1, length: first }
  const size = sizeOfLength(first)
  return { start: at + 1 + size, length: bytes.readUIntLE(at + 1, Math.min(size, 6)) }
}

/** How many bytes hold a length, after a first byte that says so. */
export function sizeOfLength(first: number): number {
  return first === 0xfc ? 2 : first === 0xfd ? 3 : 8
}
