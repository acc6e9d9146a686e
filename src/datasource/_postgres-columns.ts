import pg from 'pg'
import { type Column, JobError } from '../index.js'
import type { Field } from './_postgres-step.js'
import type { TypeOf } from './_postgres-types.js'

/** Gives the function that turns raw text of a type into a value. */
export type ParserOf = (dataTypeID: number, format: 'text') => (raw: string) => unknown

type Decode = NonNullable<Column['decode']>

/** How a type of Postgres reads: what it is to headgate, and what to do with its text, if anything. */
type Reading = Pick<Column, 'type' | 'isPlain' | 'decode' | 'element'>

const text: Reading = { type: 'text' }
const integer: Reading = { type: 'integer', decode: Number }
const float: Reading = { type: 'float', decode: Number }
const json: Reading = { type: 'json' }
const time: Reading = { type: 'time', isPlain: true }

const { builtins } = pg.types

/** Every type that is not plain text, and the type of its arrays. Postgres never changes these ids. */
const readings: readonly (readonly [id: number, arrayId: number, reading: Reading])[] = [
  [builtins.BOOL, 1000, { type: 'boolean', decode: (raw) => raw === 't' }],
  [builtins.BYTEA, 1001, { type: 'bytes', decode: (raw) => Buffer.from(raw.slice(2), 'hex') }],
  [builtins.INT2, 1005, integer],
  [builtins.INT4, 1007, integer],
  [builtins.OID, 1028, integer],
  [builtins.INT8, 1016, { type: 'bigint', isPlain: true }],
  [builtins.NUMERIC, 1231, { type: 'decimal', isPlain: true }],
  [builtins.FLOAT4, 1021, float],
  [builtins.FLOAT8, 1022, float],
  [builtins.DATE, 1182, { type: 'date', isPlain: true }],
  [builtins.TIME, 1183, time],
  [builtins.TIMETZ, 1270, time],
  [builtins.TIMESTAMP, 1115, { type: 'timestamp', isPlain: true, decode: timestamp }],
  [builtins.TIMESTAMPTZ, 1185, { type: 'timestamptz', isPlain: true, decode: timestamptz }],
  [builtins.INTERVAL, 1187, { type: 'interval', isPlain: true }],
  [builtins.UUID, 2951, { type: 'text', isPlain: true }],
  [builtins.JSON, 199, json],
  [builtins.JSONB, 3807, json],
]

/** The arrays of types that are plain text, but for `box[]`, which is written in a way of its own. */
const textArrays = {
  characters: [1002, 1003, 1009, 1014, 1015],
  networks: [651, 775, 1040, 1041],
  others: [143, 791, 1561, 1563, 2949, 3221, 3643, 3645, 4073],
  geometry: [629, 719, 1017, 1018, 1019, 1027],
  ranges: [3905, 3907, 3909, 3911, 3913, 3927, 6150, 6151, 6152, 6153, 6155, 6157],
}

const readingOf = new Map<number, Reading>([
  ...readings.map(([id, , reading]) => [id, reading] as const),
  ...readings.map(([, arrayId, reading]) => [arrayId, arrayOf(reading)] as const),
  ...Object.values(textArrays).flatMap((ids) => ids.map((arrayId) => [arrayId, arrayOf(text)] as const)),
])

/**
 * The columns of a result, whose types `typeOf` gives. Values are decoded so that nothing is lost, or by `parserOf`
 * if given. Throws `datasource` when two columns share a name: one of them could not be in a record.
 */
export function columnsOf(fields: readonly Field[], typeOf: TypeOf, parserOf?: ParserOf): Column[] {
  const names = fields.map(({ name }) => name)
  const repeated = names.find((name, index) => names.indexOf(name) < index)
  if (repeated !== undefined) {
    throw new JobError(
      'datasource',
      `Expected columns with different names, got \`${repeated}\` twice: rename one with "as".`,
    )
  }
  return fields.map((field) => {
    const { name, dataTypeID } = field
    const parsed = parserOf && { isPlain: false, element: undefined, decode: parserOf(dataTypeID, 'text') }
    return { name, ...(readingOf.get(dataTypeID) ?? text), ...parsed, ...typeOf(field) }
  })
}

/** Throws `datasource` when a query gives other columns than it did, as another transaction has changed a table of it. */
export function checkSameFields(before: readonly Field[], now: readonly Field[]): void {
  const isSame = now.length === before.length && now.every((field, index) => isSameField(before[index], field))
  if (isSame) return
  const named = (fields: readonly Field[], field: Field) => fields.find(({ name }) => name === field.name)
  const gone = before.find((field) => !named(now, field))
  const added = now.find((field) => !named(before, field))
  const changed = now.find((field) => !isSameField(named(before, field), field))
  const what = gone ? `\`${gone.name}\` is gone` : added ? `\`${added.name}\` is new` : undefined
  throw changedFailure(what ?? (changed ? `\`${changed.name}\` has another type` : 'they are in another order'))
}

/** The columns of a query are not what they were when reading began. */
export function changedFailure(what: string): JobError {
  return new JobError(
    'datasource',
    `The columns of the query have changed while it was read: ${what}. The next run goes on with the columns as they are then.`,
    { isTransient: true },
  )
}

function isSameField(before: Field | undefined, { name, dataTypeID, dataTypeModifier }: Field): boolean {
  return before?.name === name && before.dataTypeID === dataTypeID && before.dataTypeModifier === dataTypeModifier
}

function arrayOf({ type, decode = (raw) => raw }: Reading): Reading {
  return { type: 'array', element: type, decode: (raw) => arrayParser.create(raw, decode).parse() }
}

/** What pg really has here; its type declarations tell otherwise. */
const arrayParser = pg.types.arrayParser as unknown as {
  create(raw: string, decode: Decode): { parse(): unknown[] }
}

/** `2024-01-01 10:00:00.5`; infinity and years before 1 or after 9999 stay as Postgres writes them. */
function timestamp(raw: string): string {
  return isPlain(raw) && !raw.endsWith('BC') ? `${raw.slice(0, 10)}T${raw.slice(11)}` : raw
}

/** `2024-01-01 10:00:00.5+00`, as the session's time zone is UTC; others as above. */
function timestamptz(raw: string): string {
  return isPlain(raw) && raw.endsWith('+00') ? `${raw.slice(0, 10)}T${raw.slice(11, -3)}Z` : raw
}

function isPlain(raw: string): boolean {
  return raw.charCodeAt(10) === 32
}
