import { type Column, JobError } from '../../../adapter.js'
import { type FileConnection, quoted, quotedList } from '../client/index.js'

/** The shape of a new table, in addition to the columns of the records. */
export interface TableShape {
  /** The column mapping. Default: every column, under its own name. */
  readonly columns?: Readonly<Record<string, string>> | undefined
  /** The primary key. */
  readonly key: readonly string[]
}

/** The most digits of a decimal number that a floating point number always holds. */
const mostDigits = 15

/** Creates the table in the open transaction, unless another job has created it. */
export function createTable(
  connection: FileConnection,
  name: string,
  given: readonly Column[],
  { columns: mapping, key }: TableShape,
): void {
  const columns = mapping ? mapped(mapping, given) : given
  const untyped = columns.filter((column) => column.sqlType === undefined).map((column) => `\`${column.name}\``)
  if (untyped.length > 0 || columns.length === 0) {
    throw new JobError(
      'target',
      `Expected columns with a \`sqlType\` to create \`${name}\` with, as datasources of databases give them, got none for ` +
        `${untyped.join(', ') || 'any'}. Objects, such as those of a transform, have no types: create the table first.`,
    )
  }
  const missing = key.find((column) => !columns.some((it) => it.name === column))
  if (missing !== undefined) throw new JobError('target', `Expected records with the column \`${missing}\` of the key.`)
  const lines = columns.map((column) => {
    const isNotNull = column.isNullable === false || key.includes(column.name as string)
    return `${quoted(column.name as string)} ${typeOf(column)}${isNotNull ? ' not null' : ''}`
  })
  if (key.length > 0) lines.push(`primary key (${quotedList(key)})`)
  connection.exec(`create table if not exists ${quoted(name)} (${lines.join(', ')})`)
}

function mapped(mapping: Readonly<Record<string, string>>, columns: readonly Column[]): Partial<Column>[] {
  return Object.entries(mapping).map(([source, name]) => ({ ...columns.find((it) => it.name === source), name }))
}

/** The type of a column: its own where it is of SQLite, otherwise one that holds every value. */
function typeOf({ system, sqlType, type, precision, scale = 0 }: Partial<Column>): string {
  if (system === 'sqlite') return sqlType as string
  switch (type) {
    case 'integer':
    case 'bigint':
      // 19 digits are those of a signed integer of 64 bits.
      return precision === undefined || precision <= 19 ? 'integer' : 'text'
    case 'decimal':
      return precisionOf(precision, sqlType) <= mostDigits && scale >= 0 ? 'numeric' : 'text'
    case 'float':
      return 'real'
    case 'boolean':
      return 'boolean'
    case 'bytes':
      return 'blob'
    default:
      return 'text'
  }
}

/** The number of digits: of the column, or in the text of its type, such as `numeric(12,2)`. */
function precisionOf(precision: number | undefined, sqlType = ''): number {
  return precision ?? Number(/\((\d+)/.exec(sqlType)?.[1] ?? Number.POSITIVE_INFINITY)
}
