import pg from 'pg'

const { builtins } = pg.types

/** A type that a cursor's column may have. */
export interface CursorType {
  /** As SQL names it. */
  readonly name: string
  /** Gives the same text for values that the server takes for the same. Default: the text as it is. */
  readonly canonical?: (raw: string) => string
  /** Whether it is text, which has a collation. */
  readonly isText?: boolean
  /** What `lookback` counts in, if it can. */
  readonly unit?: 'milliseconds' | 'integer' | 'number'
}

/** Numbers of one value may have different scales. */
const canonicalNumber = (raw: string) => {
  if (!raw.includes('.')) return raw
  const trimmed = withoutEnd(raw, '0')
  return trimmed.endsWith('.') ? trimmed.slice(0, -1) : trimmed
}
const canonicalFloat = (raw: string) => (raw === '-0' ? '0' : raw)
const withoutPadding = (raw: string) => withoutEnd(raw, ' ')

/** A text without the units at its end that are all `unit`: a pattern would look at every run of them. */
function withoutEnd(text: string, unit: string): string {
  let end = text.length
  while (end > 0 && text[end - 1] === unit) end--
  return text.slice(0, end)
}

/**
 * The types of which the text tells which values are the same. Others, such as intervals, where `24:00:00` is `1 day`, have
 * to be cast to one of them.
 */
export const cursorTypes: ReadonlyMap<number, CursorType> = new Map<number, CursorType>([
  [builtins.INT2, { name: 'int2', unit: 'integer' }],
  [builtins.INT4, { name: 'int4', unit: 'integer' }],
  [builtins.INT8, { name: 'int8', unit: 'integer' }],
  [builtins.OID, { name: 'oid' }],
  [builtins.NUMERIC, { name: 'numeric', canonical: canonicalNumber, unit: 'number' }],
  [builtins.FLOAT4, { name: 'float4', canonical: canonicalFloat, unit: 'number' }],
  [builtins.FLOAT8, { name: 'float8', canonical: canonicalFloat, unit: 'number' }],
  [builtins.DATE, { name: 'date', unit: 'milliseconds' }],
  [builtins.TIME, { name: 'time' }],
  [builtins.TIMESTAMP, { name: 'timestamp', unit: 'milliseconds' }],
  [builtins.TIMESTAMPTZ, { name: 'timestamptz', unit: 'milliseconds' }],
  [builtins.TEXT, { name: 'text', isText: true }],
  [builtins.VARCHAR, { name: 'varchar', isText: true }],
  [builtins.BPCHAR, { name: 'bpchar', isText: true, canonical: withoutPadding }],
  [19, { name: 'name', isText: true }],
  [builtins.UUID, { name: 'uuid' }],
  [builtins.BOOL, { name: 'boolean' }],
  [builtins.BYTEA, { name: 'bytea' }],
])
