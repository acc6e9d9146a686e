import { quoted } from '../client/index.js'
import { type Field, noDecimals, typeCodes } from '../protocol/index.js'
import { precisionOf } from '../read/index.js'

/** A type of a cursor column. */
export interface CursorType {
  /** Its name, for messages and checkpoints. Types of one name have the same order. */
  readonly name: string
  /** The texts of its values. Default: any. */
  readonly pattern?: RegExp
  /** Maps equal values to equal text. Default: the text as it is. */
  readonly canonical?: (raw: string) => string
  /** Whether its order is that of a collation. */
  readonly isText?: boolean
  /** The unit of `lookback`, if the type supports it. Such types have values between any two. */
  readonly unit?: 'milliseconds' | 'integer' | 'number'
  /** The value to compare with, from raw text. Default: the text. */
  readonly boundOf?: (raw: string) => unknown
  /** SQL for that value, from its placeholder. Default: the placeholder. */
  readonly sqlOf?: (placeholder: string) => string
  /** The raw text, from another text that a reset may give. Default: the same. */
  readonly rawFrom?: (given: string) => string
  /** Whether a text of the pattern is in the range of the type. Default: it is. */
  readonly holds?: (raw: string) => boolean
  /** SQL for a value of the type, from the placeholder of its raw text, and null for a text that is none. Default: any text is a value. */
  readonly castOf?: (placeholder: string) => string
  /** The texts of values that `castOf` may not know, because the mode of the server decides about them. */
  readonly zeros?: RegExp
  /** The raw text, from the text of the server for a value that is no longer of the type. Default: the same. */
  readonly rawOf?: (text: string) => string
}

const dateText = /^\d{4}-\d\d-\d\d$/
const timeText = /^-?(?:[0-7]?\d\d|8[0-2]\d|83[0-8]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?$/
const datetimeText = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?$/
const timestampText = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?(?:\+00)?$/
const floatText = /^-?\d+(?:\.\d*)?(?:e[+-]?\d+)?$/i
const decimalText = /^-?\d+(?:\.\d*)?$/

/** A date with a zero in it, which only some modes of the server allow. */
const zeroDate = /^\d{4}-(?:00-(?:[0-2]\d|3[01])|(?:0\d|1[0-2])-00)/
const zeroDay = new RegExp(`${zeroDate.source}$`)
const zeroTime = new RegExp(`${zeroDate.source} (?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d+)?$`)
const zeroStamp = /^0000-00-00 00:00:00(?:\.0+)?$/

/** The integers of each type: how many bits they have. */
const bits: ReadonlyMap<number, number> = new Map([
  [typeCodes.tiny, 8],
  [typeCodes.short, 16],
  [typeCodes.int24, 24],
  [typeCodes.long, 32],
  [typeCodes.longlong, 64],
])

function integer({ type, isUnsigned }: Field): CursorType {
  const size = bits.get(type) ?? 64
  const holds = (raw: string) => {
    const value = BigInt(raw)
    return value === (isUnsigned ? BigInt.asUintN(size, value) : BigInt.asIntN(size, value))
  }
  return { name: 'integer', pattern: /^-?\d+$/, unit: 'integer', boundOf: BigInt, holds }
}

const year: CursorType = {
  name: 'integer',
  pattern: /^\d{1,4}$/,
  unit: 'integer',
  boundOf: BigInt,
  holds: (raw) => Number(raw) === 0 || (Number(raw) >= 1901 && Number(raw) <= 2155),
}

const float: CursorType = {
  name: 'double',
  pattern: floatText,
  unit: 'number',
  boundOf: Number,
  canonical: (raw) => (raw === '-0' ? '0' : raw),
  holds: (raw) => Number.isFinite(Number(raw)),
}
const date: CursorType = {
  name: 'date',
  pattern: dateText,
  unit: 'milliseconds',
  castOf: (placeholder) => `cast(${placeholder} as date)`,
  zeros: zeroDay,
}
const datetime: CursorType = {
  name: 'datetime',
  pattern: datetimeText,
  unit: 'milliseconds',
  rawFrom: (given) => spaced(given),
  castOf: (placeholder) => `cast(${placeholder} as datetime(6))`,
  zeros: zeroTime,
}
const timestamp: CursorType = {
  name: 'timestamp',
  pattern: timestampText,
  unit: 'milliseconds',
  boundOf: (raw) => raw.replace('+00', ''),
  rawOf: (text) => (text.startsWith('0000') || text.endsWith('+00') ? text : `${text}+00`),
  rawFrom: (given) => spaced(given).replace(/(?<=:\d\d(?:\.\d+)?)(?:Z|\+00:?00)$/, '+00'),
  // The zone of the session is UTC. The server has no cast to this type.
  castOf: (placeholder) => `from_unixtime(nullif(unix_timestamp(${placeholder}), 0))`,
  zeros: zeroStamp,
}
const time: CursorType = {
  name: 'time',
  pattern: timeText,
  castOf: (placeholder) => `cast(${placeholder} as time(6))`,
}

/** A date and a time with a space between them, as the server writes them. A date alone is its midnight. */
function spaced(given: string): string {
  return dateText.test(given) ? `${given} 00:00:00` : given.replace(/^(\d{4}-\d\d-\d\d)T(?=\d)/, '$1 ')
}

function decimal(field: Field): CursorType {
  const { decimals } = field
  const precision = precisionOf(field)
  return {
    name: 'decimal',
    pattern: decimalText,
    unit: 'number',
    // The server would round further digits, and skip the records in between.
    holds: (raw) => {
      const [whole = '', fraction = ''] = raw.replace(/^-?0*/, '').split('.')
      return whole.length <= precision - decimals && !/[1-9]/.test(fraction.slice(decimals))
    },
    // A text would be compared as a number of 53 bits.
    sqlOf: (placeholder) => `cast(${placeholder} as decimal(65,${Math.min(decimals, 30)}))`,
  }
}

const types: ReadonlyMap<number, CursorType> = new Map([
  [typeCodes.year, year],
  [typeCodes.double, float],
  [typeCodes.date, date],
  [typeCodes.datetime, datetime],
  [typeCodes.timestamp, timestamp],
  [typeCodes.time, time],
])

const bytes: CursorType = {
  name: 'bytes',
  pattern: /^\\x(?:[\da-f]{2})*$/i,
  boundOf: (raw) => Buffer.from(raw.slice(2), 'hex'),
}

/** The type of a cursor column. `undefined` for a type whose text does not show which values are equal, or in which order they are. */
export function cursorTypeOf(field: Field): CursorType | undefined {
  const { type, isBinary, isEnum, isSet, decimals, extendedType, extendedFormat } = field
  if (isEnum || isSet || extendedFormat !== undefined) return undefined
  if (type === typeCodes.newdecimal || type === typeCodes.decimal) return decimal(field)
  if (type === typeCodes.double && decimals < noDecimals) return { ...float, canonical: (raw) => String(Number(raw)) }
  const known = bits.has(type) ? integer(field) : types.get(type)
  if (known) return known
  if (extendedType === 'uuid' || extendedType === 'inet6' || extendedType === 'inet4') {
    return { name: extendedType, castOf: (placeholder) => `cast(${placeholder} as ${extendedType})` }
  }
  if (type !== typeCodes.varString && type !== typeCodes.string) return undefined
  return isBinary ? bytes : { name: 'text', isText: true }
}

/** Values that differ in spaces at their end only are equal in a collation that pads. */
export function textTypeOf(type: CursorType, collation: string): CursorType | undefined {
  if (!isExact(collation)) return undefined
  const pads = !/nopad|0900/.test(collation)
  const ordered = { ...type, castOf: (placeholder: string) => collated(placeholder, collation) }
  return pads ? { ...ordered, canonical: (raw) => withoutEnd(raw) } : ordered
}

/** Whether a collation treats different texts as different, spaces at their end aside. */
function isExact(collation: string): boolean {
  return collation === 'binary' || collation.endsWith('_bin')
}

/** A text in the collation of a column. The name of a collation begins with that of its character set. */
function collated(placeholder: string, collation: string): string {
  if (collation === 'binary') return `cast(${placeholder} as binary)`
  return `convert(${placeholder} using ${quoted(collation.split('_')[0] as string)}) collate ${quoted(collation)}`
}

function withoutEnd(text: string): string {
  let end = text.length
  while (end > 0 && text[end - 1] === ' ') end--
  return text.slice(0, end)
}
