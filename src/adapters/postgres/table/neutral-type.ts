import type { Column } from '../../../adapter.js'

/** The most digits that each type of integers always holds. */
const integers: readonly (readonly [digits: number, name: string])[] = [
  [4, 'smallint'],
  [9, 'integer'],
  [18, 'bigint'],
]

/** The type that holds every value of a column of another system. */
export function neutralTypeOf(column: Partial<Column>): string {
  const { type, precision, scale = 0, length } = column
  const fraction = `(${Math.min(scale, 6)})`
  switch (type) {
    case 'integer':
      return integerOf(precision ?? 18)
    case 'bigint':
      // 19 digits are those of a signed integer of 64 bits.
      return precision === undefined || precision <= 19 ? 'bigint' : `numeric(${precision},0)`
    case 'decimal':
      return precision === undefined ? 'numeric' : `numeric(${precision},${scale})`
    case 'float':
      return 'double precision'
    case 'time':
      // Times of MySQL go beyond a day, and below zero.
      return column.system === 'mysql' ? 'interval' : `time${fraction}`
    case 'timestamp':
      return `timestamp${fraction}`
    case 'timestamptz':
      return `timestamptz${fraction}`
    case 'json':
      return 'json'
    case 'bytes':
      return 'bytea'
    case 'boolean':
    case 'date':
    case 'interval':
      return type
    default:
      return length === undefined || length === 0 ? 'text' : `varchar(${length})`
  }
}

function integerOf(digits: number): string {
  return integers.find(([most]) => digits <= most)?.[1] ?? 'numeric'
}
