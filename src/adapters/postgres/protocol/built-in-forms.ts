import type { BinaryForm, ReadValue } from './binary-form.js'
import { int32 } from './encoded-rows.js'

const asText: ReadValue = (bytes, start, end) => bytes.toString('utf8', start, end)

/**
 * By the ids of types and of their array types, which Postgres never changes. Left out are types whose values mean something else in
 * another database or locale, such as `regclass` and `money`.
 */
const scalars: readonly (readonly [id: number, arrayId: number, name: string, read?: ReadValue])[] = [
  [16, 1000, 'boolean', (bytes, start) => (bytes[start] === 1 ? 't' : 'f')],
  [17, 1001, 'bytea'],
  [18, 1002, '"char"'],
  [19, 1003, 'name', asText],
  [20, 1016, 'bigint', (bytes, start) => String(bytes.readBigInt64BE(start))],
  [21, 1005, 'smallint', (bytes, start) => String(bytes.readInt16BE(start))],
  [23, 1007, 'integer', (bytes, start) => String(int32(bytes, start))],
  [25, 1009, 'text', asText],
  [26, 1028, 'oid', (bytes, start) => String(bytes.readUInt32BE(start))],
  [27, 1010, 'tid'],
  [28, 1011, 'xid'],
  [29, 1012, 'cid'],
  [114, 199, 'json'],
  [600, 1017, 'point'],
  [601, 1018, 'lseg'],
  [602, 1019, 'path'],
  [603, 1020, 'box'],
  [604, 1027, 'polygon'],
  [628, 629, 'line'],
  [650, 651, 'cidr'],
  [700, 1021, 'real'],
  [701, 1022, 'double precision'],
  [718, 719, 'circle'],
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
  [3220, 3221, 'pg_lsn'],
  [3614, 3643, 'tsvector'],
  [3615, 3645, 'tsquery'],
  [3802, 3807, 'jsonb'],
  [3904, 3905, 'int4range'],
  [3906, 3907, 'numrange'],
  [3908, 3909, 'tsrange'],
  [3910, 3911, 'tstzrange'],
  [3912, 3913, 'daterange'],
  [3926, 3927, 'int8range'],
  [4451, 6150, 'int4multirange'],
  [4532, 6151, 'nummultirange'],
  [4533, 6152, 'tsmultirange'],
  [4534, 6153, 'tstzmultirange'],
  [4535, 6155, 'datemultirange'],
  [4536, 6157, 'int8multirange'],
  [5069, 271, 'xid8'],
]

/** The forms of built-in types. */
export const builtInForms: ReadonlyMap<number, BinaryForm> = new Map<number, BinaryForm>([
  ...scalars.map(([id, , name, read]) => [id, { name, ...(read && { read }) }] as const),
  ...scalars.map(([, arrayId, name]) => [arrayId, { name: `${name}[]` }] as const),
])

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
