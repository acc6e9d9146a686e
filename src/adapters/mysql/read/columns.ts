import { type Column, JobError } from '../../../adapter.js'
import { type Field, noDecimals, typeCodes } from '../protocol/index.js'
import { neutralOf, sqlTypeOf } from './sql-types.js'

/** How a type is read: its headgate type, and how its raw text is decoded, if at all. */
type Reading = Pick<Column, 'type' | 'isPlain' | 'decode'>

const text: Reading = { type: 'text' }
const integer: Reading = { type: 'integer', decode: Number }
const float: Reading = { type: 'float', decode: Number }
const bigint: Reading = { type: 'bigint', isPlain: true }
const decimal: Reading = { type: 'decimal', isPlain: true }
const date: Reading = { type: 'date', isPlain: true }
const bytes: Reading = { type: 'bytes', decode: (raw) => Buffer.from(raw.slice(2), 'hex') }
const json: Reading = { type: 'json' }

/** All types that are not texts or bytes. */
const readings: ReadonlyMap<number, Reading> = new Map([
  [typeCodes.tiny, integer],
  [typeCodes.short, integer],
  [typeCodes.int24, integer],
  [typeCodes.long, integer],
  [typeCodes.year, integer],
  [typeCodes.longlong, bigint],
  [typeCodes.float, float],
  [typeCodes.double, float],
  [typeCodes.decimal, decimal],
  [typeCodes.newdecimal, decimal],
  [typeCodes.date, date],
  [typeCodes.newdate, date],
  [typeCodes.time, { type: 'time', isPlain: true }],
  [typeCodes.datetime, { type: 'timestamp', isPlain: true, decode: timestamp }],
  [typeCodes.timestamp, { type: 'timestamptz', isPlain: true, decode: timestamptz }],
  [typeCodes.json, json],
  [typeCodes.geometry, bytes],
  [typeCodes.vector, bytes],
  [typeCodes.null, text],
])

/** Types of MariaDB that come as text. */
const plainTexts: ReadonlySet<unknown> = new Set(['uuid', 'inet4', 'inet6'])

/** The widest `bit` whose values a JavaScript number holds. */
const widestBits = 53

function readingOf({ type, length, isBinary, isEnum, isSet, extendedType, extendedFormat }: Field): Reading {
  if (extendedFormat === 'json') return json
  if (type === typeCodes.bit) return bitsOf(length)
  const reading = readings.get(type)
  if (reading) return reading
  if (isBinary && !isEnum && !isSet) return bytes
  return plainTexts.has(extendedType) ? { ...text, isPlain: true } : text
}

function bitsOf(length: number): Reading {
  if (length === 1) return { type: 'boolean', decode: (raw) => raw === 't' }
  return length <= widestBits ? integer : bigint
}

/**
 * The columns of a result. `labels` has the types of columns with labels, by their index, which the server does not send. Throws `datasource` when two
 * columns have the same name, because a record can hold only one of them, and for a column whose text would lose digits.
 */
export function columnsOf(fields: readonly Field[], labels: ReadonlyMap<number, string>): Column[] {
  const names = fields.map(({ name }) => name)
  const repeated = names.find((name, index) => names.indexOf(name) < index)
  if (repeated !== undefined) {
    throw new JobError(
      'datasource',
      `Expected columns with different names, got \`${repeated}\` twice: rename one with "as".`,
    )
  }
  const rounded = fields.find(isRounded)
  if (rounded) throw roundedFailure(rounded)
  return fields.map((field, index) => ({
    name: field.name,
    ...readingOf(field),
    ...neutralOf(field),
    system: 'mysql',
    sqlType: labels.get(index) ?? sqlTypeOf(field),
  }))
}

/** Whether the server rounds the values of a column to six digits when it writes them as text. */
export function isRounded({ type, decimals }: Field): boolean {
  return type === typeCodes.float && decimals >= noDecimals
}

function roundedFailure({ name }: Field): JobError {
  return new JobError(
    'datasource',
    `The server rounds values of the type float, as in \`${name}\`, to six digits: select \`${name} + 0e0 as ${name}\`, which is exact.`,
  )
}

/** Throws `datasource` when the columns of a query have changed, because a table was altered. */
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

function changedFailure(what: string): JobError {
  return new JobError(
    'datasource',
    `The columns of the query have changed while it was read: ${what}. The next run resumes with the new columns.`,
    { isTransient: true },
  )
}

function isSameField(before: Field | undefined, now: Field): boolean {
  return before?.name === now.name && sqlTypeOf(before) === sqlTypeOf(now)
}

/** `2024-01-01 10:00:00.5`. Dates of zeros stay as they are. */
function timestamp(raw: string): string {
  return raw.startsWith('0000') ? raw : `${raw.slice(0, 10)}T${raw.slice(11)}`
}

/** `2024-01-01 10:00:00.5+00`, because the time zone of the session is UTC. Dates of zeros stay as they are. */
function timestamptz(raw: string): string {
  return raw.endsWith('+00') ? `${raw.slice(0, 10)}T${raw.slice(11, -3)}Z` : raw
}
