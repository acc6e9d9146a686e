import { parse as parseArray } from 'postgres-array'
import { type Column, JobError } from '../../../adapter.js'
import { changedFailure, type Field, typeOids } from '../protocol/index.js'
import type { TypeOf } from './field-types.js'

/** Returns the function that turns raw text of a type into a value. */
export type ParserOf = (dataTypeID: number, format: 'text') => (raw: string) => unknown

/** How a Postgres type is read: its headgate type, and how its text is decoded, if at all. */
type Reading = Pick<Column, 'type' | 'isPlain' | 'decode' | 'element'>

const text: Reading = { type: 'text' }
const integer: Reading = { type: 'integer', decode: Number }
const float: Reading = { type: 'float', decode: Number }
const json: Reading = { type: 'json' }
const time: Reading = { type: 'time', isPlain: true }

/** All types that are not plain text, each with the id of its array type. Postgres never changes these ids. */
const readings: readonly (readonly [id: number, arrayId: number, reading: Reading])[] = [
  [typeOids.bool, 1000, { type: 'boolean', decode: (raw) => raw === 't' }],
  [typeOids.bytea, 1001, { type: 'bytes', decode: (raw) => Buffer.from(raw.slice(2), 'hex') }],
  [typeOids.int2, 1005, integer],
  [typeOids.int4, 1007, integer],
  [typeOids.oid, 1028, integer],
  [typeOids.int8, 1016, { type: 'bigint', isPlain: true }],
  [typeOids.numeric, 1231, { type: 'decimal', isPlain: true }],
  [typeOids.float4, 1021, float],
  [typeOids.float8, 1022, float],
  [typeOids.date, 1182, { type: 'date', isPlain: true }],
  [typeOids.time, 1183, time],
  [typeOids.timetz, 1270, time],
  [typeOids.timestamp, 1115, { type: 'timestamp', isPlain: true, decode: timestamp }],
  [typeOids.timestamptz, 1185, { type: 'timestamptz', isPlain: true, decode: timestamptz }],
  [typeOids.interval, 1187, { type: 'interval', isPlain: true }],
  [typeOids.uuid, 2951, { type: 'text', isPlain: true }],
  [typeOids.json, 199, json],
  [typeOids.jsonb, 3807, json],
]

/** The array types of plain text types. `box[]` is missing, because it has its own delimiter. */
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
 * The columns of a result. `typeOf` returns their SQL types. Values are decoded without loss, or by `parserOf` if
 * given. Throws `datasource` when two columns have the same name, because a record can hold only one of them.
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
    return { name, ...(readingOf.get(dataTypeID) ?? text), ...parsed, ...typeOf(field), system: 'postgres' }
  })
}

/** Throws `datasource` when the columns of a query have changed, because another transaction has changed a table. */
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

function isSameField(before: Field | undefined, { name, dataTypeID, dataTypeModifier }: Field): boolean {
  return before?.name === name && before.dataTypeID === dataTypeID && before.dataTypeModifier === dataTypeModifier
}

function arrayOf({ type, decode = (raw) => raw }: Reading): Reading {
  return { type: 'array', element: type, decode: (raw) => parseArray(raw, decode) }
}

/** `2024-01-01 10:00:00.5`. Infinity and years before 1 or after 9999 stay as Postgres writes them. */
function timestamp(raw: string): string {
  return isPlain(raw) && !raw.endsWith('BC') ? `${raw.slice(0, 10)}T${raw.slice(11)}` : raw
}

/** `2024-01-01 10:00:00.5+00`, because the time zone of the session is UTC. Exceptions are as above. */
function timestamptz(raw: string): string {
  return isPlain(raw) && raw.endsWith('+00') ? `${raw.slice(0, 10)}T${raw.slice(11, -3)}Z` : raw
}

function isPlain(raw: string): boolean {
  return raw.charCodeAt(10) === 32
}
