import type { CursorField } from './cursor-fields.js'

/** A value that documents are sorted by: milliseconds of a date, nanoseconds of a `date_nanos`. */
export type Key = string | number | bigint

/** The order of two documents by the first values of their fields, as the server sorts them: below 0, 0, or above. */
export function compareKeys(one: readonly unknown[], other: readonly unknown[], count: number): number {
  for (let at = 0; at < count; at++) {
    const order = compare(one[at] as Key, other[at] as Key)
    if (order !== 0) return order
  }
  return 0
}

function compare(one: Key, other: Key): number {
  if (one === other) return 0
  // The server compares the bytes of UTF-8.
  if (typeof one === 'string' || typeof other === 'string')
    return Buffer.compare(Buffer.from(String(one)), Buffer.from(String(other)))
  return one < other ? -1 : one > other ? 1 : 0
}

/** The documents whose first fields have these values, or come after them. */
export function afterQuery(fields: readonly CursorField[], values: readonly Key[], isIncluded: boolean): object {
  const cases = values.map((value, at) => {
    const isLast = at === values.length - 1
    const before = values.slice(0, at).map((equal, n) => rangeOf(fields[n] as CursorField, { gte: equal, lte: equal }))
    const bound = rangeOf(fields[at] as CursorField, isLast && isIncluded ? { gte: value } : { gt: value })
    return { bool: { filter: [...before, bound] } }
  })
  return { bool: { should: cases, minimum_should_match: 1 } }
}

/** The documents whose first fields have these values. */
export function equalQuery(fields: readonly CursorField[], values: readonly Key[]): object {
  return { bool: { filter: values.map((value, n) => rangeOf(fields[n] as CursorField, { gte: value, lte: value })) } }
}

/** The documents whose field has a value from this one up. */
export function fromQuery(field: CursorField, value: Key): object {
  return rangeOf(field, { gte: value })
}

/** The documents that have no value in one of the fields, or have values in all of them. */
export function missingQuery(fields: readonly CursorField[]): object {
  const missing = fields.map(({ path }) => ({ bool: { must_not: [{ exists: { field: path } }] } }))
  return { bool: { should: missing, minimum_should_match: 1 } }
}

function rangeOf({ path, kind }: CursorField, bounds: Readonly<Record<string, Key>>): object {
  const sent = Object.entries(bounds).map(([name, value]) => [name, sentOf(kind, value)])
  return { range: { [path]: { ...Object.fromEntries(sent), ...formats[kind] } } }
}

const formats: Readonly<Record<CursorField['kind'], object>> = {
  number: {},
  text: {},
  date: { format: 'epoch_millis' },
  date_nanos: { format: 'strict_date_optional_time_nanos' },
}

function sentOf(kind: CursorField['kind'], value: Key): unknown {
  if (kind === 'date') return String(value)
  return kind === 'date_nanos' ? isoOf(BigInt(value)) : value
}

const perMillisecond = 1_000_000n

/** The text of nanoseconds since 1970. */
export function isoOf(nanos: bigint): string {
  const rest = ((nanos % perMillisecond) + perMillisecond) % perMillisecond
  const date = new Date(Number((nanos - rest) / perMillisecond))
  return date.toISOString().replace('Z', `${String(rest).padStart(6, '0')}Z`)
}
