import { type Column, JobError } from '../../../adapter.js'

/** The most digits of a decimal, and of those behind its point. */
const mostDigits = 65
const mostScale = 30

/** The longest text, in characters, that a column has its length from. Longer ones would use up the size of a row. */
const longestVarchar = 255

/** The longest text, in characters, of a column of a key. */
const longestKey = 255

/** The types of integers of Postgres, whose datasource gives no digits. */
const postgresTypes: Readonly<Record<string, string>> = {
  smallint: 'smallint',
  integer: 'int',
  bigint: 'bigint',
  oid: 'bigint',
  real: 'double',
  uuid: 'char(36)',
}

/** The most digits that each type of integers always holds. */
const integers: readonly (readonly [digits: number, name: string])[] = [
  [2, 'tinyint'],
  [4, 'smallint'],
  [6, 'mediumint'],
  [9, 'int'],
  [18, 'bigint'],
]

/** The type that holds every value of a column of another system, or refuses it. `isKey`: it is a part of the primary key. */
export function neutralTypeOf(column: Partial<Column>, isKey: boolean): string {
  const { type, sqlType = '', system } = column
  const own = system === 'postgres' ? postgresTypes[sqlType] : undefined
  if (own) return own
  switch (type) {
    case 'integer':
      return integerOf(column.precision ?? 18)
    case 'bigint':
      // 19 digits are those of a signed integer of 64 bits.
      return column.precision === undefined || column.precision <= 19 ? 'bigint' : `decimal(${column.precision},0)`
    case 'decimal':
      return decimalOf(column)
    case 'float':
      return 'double'
    case 'time':
      return `time(${digitsOf(column)})`
    case 'timestamp':
    case 'timestamptz':
      return `datetime(${digitsOf(column)})`
    case 'boolean':
      return 'boolean'
    case 'date':
      return 'date'
    case 'json':
    case 'array':
      return 'json'
    case 'bytes':
      return isKey ? `varbinary(${longestKey})` : 'longblob'
    case 'interval':
      return `varchar(${longestKey})`
    default:
      return textOf(lengthOf(column), isKey)
  }
}

function integerOf(digits: number): string {
  return integers.find(([most]) => digits <= most)?.[1] ?? `decimal(${Math.min(digits, mostDigits)},0)`
}

/** A number without a limit of its own gets as many digits as there are. The server refuses a number with more. */
function decimalOf(column: Partial<Column>): string {
  const [precision = mostDigits, scale = column.precision === undefined ? mostScale : 0] = numbersOf(column)
  if (precision <= mostDigits && scale <= mostScale) return `decimal(${precision},${scale})`
  throw new JobError(
    'target',
    `Expected up to ${mostDigits} digits, and ${mostScale} behind the point, in the column \`${column.name}\`, got ${column.sqlType ?? precision}: ` +
      'cast it in the query, to a text for example.',
  )
}

/** Precision and scale, or the length: of the column, or in the text of its type, such as `numeric(12,2)`. */
function numbersOf({ precision, scale, sqlType = '' }: Partial<Column>): number[] {
  if (precision !== undefined) return [precision, scale ?? 0]
  const [, first, second] = /\((\d+)(?:,(-?\d+))?\)/.exec(sqlType) ?? []
  return first === undefined ? [] : [Number(first), Math.max(0, Number(second ?? 0))]
}

/** The digits of a second. */
function digitsOf({ scale, sqlType = '' }: Partial<Column>): number {
  const [, digits] = /\((\d)\)/.exec(sqlType) ?? []
  return Math.min(6, scale ?? Number(digits ?? 6))
}

function lengthOf({ length, sqlType = '', system }: Partial<Column>): number | undefined {
  if (length !== undefined || system !== 'postgres') return length
  const [, count] = /^character(?: varying)?\((\d+)\)$/.exec(sqlType) ?? []
  return count === undefined ? undefined : Number(count)
}

function textOf(length: number | undefined, isKey: boolean): string {
  if (isKey) return `varchar(${Math.min(length || longestKey, 768)})`
  return length && length <= longestVarchar ? `varchar(${length})` : 'longtext'
}
