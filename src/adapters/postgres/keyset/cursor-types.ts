import { typeOids } from '../protocol/index.js'

/** A type of a cursor column. */
export interface CursorType {
  /** Its SQL name. */
  readonly name: string
  /** Maps equal values to equal text. Default: the text as it is. */
  readonly canonical?: (raw: string) => string
  /** Whether it is a text type, which has a collation. */
  readonly isText?: boolean
  /** The unit of `lookback`, if the type supports it. */
  readonly unit?: 'milliseconds' | 'integer' | 'number'
}

/** Equal numbers may have different scales. */
const canonicalNumber = (raw: string) => {
  if (!raw.includes('.')) return raw
  const trimmed = withoutEnd(raw, '0')
  return trimmed.endsWith('.') ? trimmed.slice(0, -1) : trimmed
}
const canonicalFloat = (raw: string) => (raw === '-0' ? '0' : raw)
const withoutPadding = (raw: string) => withoutEnd(raw, ' ')

/** Removes trailing `unit` characters. A regular expression would take quadratic time. */
function withoutEnd(text: string, unit: string): string {
  let end = text.length
  while (end > 0 && text[end - 1] === unit) end--
  return text.slice(0, end)
}

/**
 * The types whose text shows which values are equal. Other types must be cast to one of them, such as intervals,
 * where `24:00:00` equals `1 day`.
 */
export const cursorTypes: ReadonlyMap<number, CursorType> = new Map<number, CursorType>([
  [typeOids.int2, { name: 'int2', unit: 'integer' }],
  [typeOids.int4, { name: 'int4', unit: 'integer' }],
  [typeOids.int8, { name: 'int8', unit: 'integer' }],
  [typeOids.oid, { name: 'oid' }],
  [typeOids.numeric, { name: 'numeric', canonical: canonicalNumber, unit: 'number' }],
  [typeOids.float4, { name: 'float4', canonical: canonicalFloat, unit: 'number' }],
  [typeOids.float8, { name: 'float8', canonical: canonicalFloat, unit: 'number' }],
  [typeOids.date, { name: 'date', unit: 'milliseconds' }],
  [typeOids.time, { name: 'time' }],
  [typeOids.timestamp, { name: 'timestamp', unit: 'milliseconds' }],
  [typeOids.timestamptz, { name: 'timestamptz', unit: 'milliseconds' }],
  [typeOids.text, { name: 'text', isText: true }],
  [typeOids.varchar, { name: 'varchar', isText: true }],
  [typeOids.bpchar, { name: 'bpchar', isText: true, canonical: withoutPadding }],
  [19, { name: 'name', isText: true }],
  [typeOids.uuid, { name: 'uuid' }],
  [typeOids.bool, { name: 'boolean' }],
  [typeOids.bytea, { name: 'bytea' }],
])
