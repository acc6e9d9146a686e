import { type Field, noDecimals, typeCodes } from '../protocol/index.js'

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
  /** The raw text, from the text of the server for a value that is no longer of the type. Default: the same. */
  readonly rawOf?: (text: string) => string
}

const dateText = /^\d{4}-\d\d-\d\d$/
const timeText = /^-?\d{2,3}:\d\d:\d\d(?:\.\d{1,6})?$/
const timestampText = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?(?:\+00)?$/
const numberText = /^-?\d+(?:\.\d*)?(?:e[+-]?\d+)?$/i

const integer: CursorType = { name: 'integer', pattern: /^-?\d+$/, unit: 'integer', boundOf: BigInt }
const float: CursorType = {
  name: 'double',
  pattern: numberText,
  unit: 'number',
  boundOf: Number,
  canonical: (raw) => (raw === '-0' ? '0' : raw),
}
const date: CursorType = { name: 'date', pattern: dateText, unit: 'milliseconds' }
const datetime: CursorType = { name: 'datetime', pattern: timestampText, unit: 'milliseconds' }
const timestamp: CursorType = {
  name: 'timestamp',
  pattern: timestampText,
  unit: 'milliseconds',
  boundOf: (raw) => raw.replace('+00', ''),
  rawOf: (text) => (text.startsWith('0000') || text.endsWith('+00') ? text : `${text}+00`),
}

function decimal({ decimals }: Field): CursorType {
  return {
    name: 'decimal',
    pattern: numberText,
    unit: 'number',
    // A text would be compared as a number of 53 bits.
    sqlOf: (placeholder) => `cast(${placeholder} as decimal(65,${Math.min(decimals, 30)}))`,
  }
}

const types: ReadonlyMap<number, CursorType> = new Map([
  [typeCodes.tiny, integer],
  [typeCodes.short, integer],
  [typeCodes.int24, integer],
  [typeCodes.long, integer],
  [typeCodes.longlong, integer],
  [typeCodes.year, integer],
  [typeCodes.double, float],
  [typeCodes.date, date],
  [typeCodes.datetime, datetime],
  [typeCodes.timestamp, timestamp],
  [typeCodes.time, { name: 'time', pattern: timeText }],
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
  const known = types.get(type)
  if (known) return known
  if (extendedType === 'uuid' || extendedType === 'inet6' || extendedType === 'inet4') return { name: extendedType }
  if (type !== typeCodes.varString && type !== typeCodes.string) return undefined
  return isBinary ? bytes : { name: 'text', isText: true }
}

/** Values that differ in spaces at their end only are equal in a collation that pads. */
export function textTypeOf(type: CursorType, collation: string): CursorType | undefined {
  if (!isExact(collation)) return undefined
  const pads = !/nopad|0900/.test(collation)
  return pads ? { ...type, canonical: (raw) => withoutEnd(raw) } : type
}

/** Whether a collation treats different texts as different, spaces at their end aside. */
function isExact(collation: string): boolean {
  return collation === 'binary' || collation.endsWith('_bin')
}

function withoutEnd(text: string): string {
  let end = text.length
  while (end > 0 && text[end - 1] === ' ') end--
  return text.slice(0, end)
}
