import type { Column } from '../../../adapter.js'
import { type Field, noDecimals, typeCodes } from '../protocol/index.js'

/** The most bytes of a character in the character set of results, which lengths are given in. */
const bytesPerCharacter = 4

/** The longest `varchar` that a row takes in that character set. */
const longestVarchar = 16_383

const integers: ReadonlyMap<number, string> = new Map([
  [typeCodes.tiny, 'tinyint'],
  [typeCodes.short, 'smallint'],
  [typeCodes.int24, 'mediumint'],
  [typeCodes.long, 'int'],
  [typeCodes.longlong, 'bigint'],
])

const others: ReadonlyMap<number, string> = new Map([
  [typeCodes.date, 'date'],
  [typeCodes.newdate, 'date'],
  [typeCodes.year, 'year'],
  [typeCodes.json, 'json'],
  [typeCodes.null, 'text'],
])

const times: ReadonlyMap<number, string> = new Map([
  [typeCodes.time, 'time'],
  [typeCodes.datetime, 'datetime'],
  [typeCodes.timestamp, 'timestamp'],
])

/** The longest text and binary types, by the number of bytes. */
const sizes: readonly (readonly [most: number, prefix: string])[] = [
  [255, 'tiny'],
  [65_535, ''],
  [16_777_215, 'medium'],
]

/** The type of a column, as `create table` takes it. An enumeration or a set is a text, because its labels are not known here. */
export function sqlTypeOf(field: Field): string {
  const { type, decimals, isUnsigned, extendedType, extendedFormat } = field
  const unsigned = isUnsigned ? ' unsigned' : ''
  if (extendedFormat === 'json') return 'json'
  if (extendedType !== undefined) return extendedType
  const integer = integers.get(type)
  if (integer) return `${integer}${unsigned}`
  if (type === typeCodes.newdecimal || type === typeCodes.decimal) {
    return `decimal(${precisionOf(field)},${decimals})${unsigned}`
  }
  if (type === typeCodes.float || type === typeCodes.double) {
    return `${type === typeCodes.float ? 'float' : 'double'}${digitsOf(field)}${unsigned}`
  }
  const time = times.get(type)
  if (time) return fractionOf(field) === 0 ? time : `${time}(${fractionOf(field)})`
  if (type === typeCodes.bit) return `bit(${field.length})`
  if (type === typeCodes.geometry) return 'geometry'
  return others.get(type) ?? charactersOf(field)
}

/** The number of digits of a decimal: its length without the sign and the point. */
export function precisionOf({ length, decimals, isUnsigned }: Field): number {
  return Math.min(65, Math.max(1, length - (decimals > 0 ? 1 : 0) - (isUnsigned ? 0 : 1)))
}

/** The number of digits of a second after the point. */
function fractionOf({ decimals }: Field): number {
  return Math.min(decimals, 6)
}

/** The number of characters of a text, or of bytes. `undefined` for a type without a limit of its own. */
function lengthOf({ type, length, isBinary }: Field): number | undefined {
  const isLimited = type === typeCodes.varString || type === typeCodes.string || type === typeCodes.varchar
  return isLimited ? Math.floor(length / (isBinary ? 1 : bytesPerCharacter)) : undefined
}

function digitsOf({ length, decimals }: Field): string {
  return decimals < noDecimals ? `(${length},${decimals})` : ''
}

function charactersOf(field: Field): string {
  const { type, length, isBinary, isEnum, isSet } = field
  const isText = !isBinary
  const count = lengthOf(field)
  if (count !== undefined && count <= longestVarchar) {
    const isFixed = type === typeCodes.string && count <= 255 && !isEnum && !isSet
    if (isText) return `${isFixed ? 'char' : 'varchar'}(${count})`
    return `${isFixed ? 'binary' : 'varbinary'}(${count})`
  }
  const most = isText ? Math.floor(length / bytesPerCharacter) : length
  const prefix = sizes.find(([size]) => most <= size)?.[1] ?? 'long'
  return `${prefix}${isText ? 'text' : 'blob'}`
}

/** The most digits of the integers of each type. Signed values of the widest one have a digit less. */
const digits: ReadonlyMap<number, number> = new Map([
  [typeCodes.tiny, 3],
  [typeCodes.short, 5],
  [typeCodes.int24, 8],
  [typeCodes.long, 10],
  [typeCodes.year, 4],
])

/** What another system needs to know of a column, to make one for its values. */
export function neutralOf(field: Field): Pick<Column, 'precision' | 'scale' | 'length' | 'isNullable'> {
  const { type, decimals, length, isUnsigned, isNullable } = field
  const isDecimal = type === typeCodes.newdecimal || type === typeCodes.decimal
  if (isDecimal) return { precision: precisionOf(field), scale: decimals, isNullable }
  if (times.has(type)) return { scale: fractionOf(field), isNullable }
  if (type === typeCodes.longlong) return { precision: isUnsigned ? 20 : 19, scale: 0, isNullable }
  if (type === typeCodes.bit && length > 1)
    return { precision: String(2n ** BigInt(length) - 1n).length, scale: 0, isNullable }
  const precision = digits.get(type)
  if (precision !== undefined) return { precision, scale: 0, isNullable }
  return { length: lengthOf(field), isNullable }
}
