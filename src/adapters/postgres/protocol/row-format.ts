import { type BatchOptions, type Column, JobError } from '../../../adapter.js'
import { int32, readText } from './encoded-rows.js'
import type { RowFormat } from './portal.js'
import type { Field } from './request.js'

/** Returns a field's text as the server would write it, in ISO style and UTC. */
type Read = (bytes: Buffer, start: number, end: number) => string

/** A type whose binary form is the same on every server. */
interface BinaryType {
  readonly name: string
  /** Without it, values can be passed on but not read. */
  readonly read?: Read
}

const asText: Read = (bytes, start, end) => bytes.toString('utf8', start, end)

/**
 * By the ids of types and of their array types, which Postgres never changes. Ids of other types differ between
 * databases.
 */
const scalars: readonly (readonly [id: number, arrayId: number, name: string, read?: Read])[] = [
  [16, 1000, 'boolean', (bytes, start) => (bytes[start] === 1 ? 't' : 'f')],
  [17, 1001, 'bytea'],
  [20, 1016, 'bigint', (bytes, start) => String(bytes.readBigInt64BE(start))],
  [21, 1005, 'smallint', (bytes, start) => String(bytes.readInt16BE(start))],
  [23, 1007, 'integer', (bytes, start) => String(int32(bytes, start))],
  [25, 1009, 'text', asText],
  [26, 1028, 'oid', (bytes, start) => String(bytes.readUInt32BE(start))],
  [114, 199, 'json'],
  [650, 651, 'cidr'],
  [700, 1021, 'real'],
  [701, 1022, 'double precision'],
  [774, 775, 'macaddr8'],
  [829, 1040, 'macaddr'],
  [869, 1041, 'inet'],
  [1042, 1014, 'character', asText],
  [1043, 1015, 'character varying', asText],
  [1082, 1182, 'date'],
  [1083, 1183, 'time without time zone'],
  [1114, 1115, 'timestamp without time zone', (bytes, start) => timestamp(bytes, start, '')],
  [1184, 1185, 'timestamp with time zone', (bytes, start) => timestamp(bytes, start, '+00')],
  [1186, 1187, 'interval'],
  [1266, 1270, 'time with time zone'],
  [1560, 1561, 'bit'],
  [1562, 1563, 'bit varying'],
  [1700, 1231, 'numeric'],
  [2950, 2951, 'uuid', uuid],
  [3614, 3643, 'tsvector'],
  [3802, 3807, 'jsonb'],
  [3904, 3905, 'int4range'],
  [3906, 3907, 'numrange'],
  [3908, 3909, 'tsrange'],
  [3910, 3911, 'tstzrange'],
  [3912, 3913, 'daterange'],
  [3926, 3927, 'int8range'],
]

const types = new Map<number, BinaryType>([
  ...scalars.map(([id, , name, read]) => [id, { name, ...(read && { read }) }] as const),
  ...scalars.map(([, arrayId, name]) => [arrayId, { name: `${name}[]` }] as const),
])

/** Rows with text values. */
const textFormat: RowFormat = { name: 'postgres-text', isBinary: false, read: readText }

/**
 * Uses the binary format when the target takes such rows and every column that is read can be decoded. Otherwise uses
 * text.
 */
export function formatOf(fields: readonly Field[], columns: readonly Column[], { encoded }: BatchOptions): RowFormat {
  const found = fields.map(({ dataTypeID }) => types.get(dataTypeID))
  const typed = columns.flatMap((column, index) => {
    const type = found[index]
    return type && (type.read || !encoded?.keys.includes(column.name)) ? { ...column, sqlType: type.name } : []
  })
  const isTaken = typed.length === columns.length && encoded?.accepts('postgres-binary', typed)
  return isTaken ? binaryFormat(found.map((type) => type?.read)) : textFormat
}

function binaryFormat(reads: readonly (Read | undefined)[]): RowFormat {
  return {
    name: 'postgres-binary',
    isBinary: true,
    read: (column, bytes, start, end) => (reads[column] ?? unreadable)(bytes, start, end),
  }
}

function unreadable(): never {
  throw new JobError('datasource', 'Expected a target that passes encoded rows on unread, got one that reads them.')
}

function uuid(bytes: Buffer, start: number, end: number): string {
  return bytes.toString('hex', start, end).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

const infinity = 2n ** 63n - 1n

/** Converts microseconds since 2000-01-01 to a date of the proleptic Gregorian calendar, in which year 0 is 1 BC. */
function timestamp(bytes: Buffer, start: number, zone: string): string {
  const value = bytes.readBigInt64BE(start)
  if (value === infinity) return 'infinity'
  if (value === -infinity - 1n) return '-infinity'
  const microsOfDay = Number(((value % microsPerDay) + microsPerDay) % microsPerDay)
  const days = Number((value - BigInt(microsOfDay)) / microsPerDay)
  const { year, month, day } = civilFrom(days)
  const date = [pad(year > 0 ? year : 1 - year, 4), pad(month, 2), pad(day, 2)].join('-')
  const seconds = Math.floor(microsOfDay / 1e6)
  const time = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60].map((part) => pad(part, 2))
  const fraction = microsOfDay % 1e6 === 0 ? '' : `.${pad(microsOfDay % 1e6, 6).replace(/0+$/, '')}`
  return `${date} ${time.join(':')}${fraction}${zone}${year > 0 ? '' : ' BC'}`
}

const microsPerDay = 86_400_000_000n

function pad(value: number, length: number): string {
  return String(value).padStart(length, '0')
}

/** The days of a 400-year cycle. */
const daysPerCycle = 146_097

/** The date that is so many days after 2000-01-01. JavaScript dates compute it within a cycle of 400 years. */
function civilFrom(days: number): { year: number; month: number; day: number } {
  const cycles = Math.floor(days / daysPerCycle)
  const date = new Date(Date.UTC(2000, 0, 1 + days - cycles * daysPerCycle))
  return { year: date.getUTCFullYear() + 400 * cycles, month: date.getUTCMonth() + 1, day: date.getUTCDate() }
}
