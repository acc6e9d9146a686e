import { JobError } from '../core/base/index.js'
import type { ReadCursor } from '../ingestion/index.js'
import type { Bound } from './range.js'

/**
 * The position of a read by a cursor, as a checkpoint keeps it.
 *
 * @experimental
 */
export interface CursorPosition {
  /** The cursor columns at the time of the checkpoint. */
  readonly order?: readonly ColumnOrder[]
  /** The last record without nulls that was read. */
  readonly after?: RecordPosition
  /** The last record with null in the first column that was read. These records have an order of their own. */
  readonly afterNull?: RecordPosition
  /** For a parallel read: the first range that was not read to its end, and all ranges after it, in order. */
  readonly ranges?: readonly RangePosition[]
}

/**
 * The position within a range.
 *
 * @experimental
 */
export interface RangePosition {
  /** The exclusive end of the range, as raw text of the first column. The last range has no end. */
  readonly until?: string
  /** The last record of the range that was read. Default: reading starts at the beginning of the range. */
  readonly at?: RecordPosition
  /** Whether the range was read to its end. */
  readonly isRead?: boolean
}

/**
 * The position of a record: the values of its cursor columns.
 *
 * @experimental
 */
export interface RecordPosition {
  readonly columns: readonly string[]
  /** The raw text of the columns. */
  readonly values: readonly unknown[]
  readonly ties: ReadCursor['ties']
}

/**
 * The position of a record with these values.
 *
 * @experimental
 */
export function recordPositionOf({ columns, ties }: ReadCursor, values: readonly unknown[]): RecordPosition {
  return { columns, values, ties }
}

/**
 * Where a read resumes after `position`, a `RecordPosition` or nothing. When columns were added to the cursor since, or `ties` changed from `refuse`
 * to `drain`, all records tied with that record are read again, because it is unknown which of them were read. Throws
 * `datasource` when the position belongs to another order.
 *
 * @experimental
 */
export function boundAfter(position: unknown, { columns, ties }: ReadCursor): Bound | undefined {
  if (position === undefined) return undefined
  if (!isRecordPosition(position)) throw new JobError('checkpoint', 'Expected the position of a record.')
  const record = position
  checkSameCursor(record.columns, columns)
  const isBefore = record.columns.length < columns.length || (record.ties === 'refuse' && ties === 'drain')
  return { values: record.values, isBefore }
}

/**
 * Throws `datasource` when the columns of a stored position are not the first ones of the cursor. A datasource that compares types or
 * values of the columns calls it before, as these may be those of another column.
 *
 * @experimental
 */
export function checkSameCursor(stored: readonly string[], columns: readonly string[]): void {
  if (stored.every((name, index) => name === columns[index])) return
  throw new JobError(
    'datasource',
    `The checkpoint belongs to the cursor ${quotedNames(stored)}, not to ${quotedNames(columns)}: start the job with \`fullRefresh: true\` (\`?full_refresh=true\`), call \`reset\`, or give it another id.`,
  )
}

function isRecordPosition(value: unknown): value is RecordPosition {
  const { columns, values } = Object(value) as Partial<RecordPosition>
  return Array.isArray(columns) && Array.isArray(values)
}

/**
 * Formats names for a message.
 *
 * @experimental
 */
export function quotedNames(names: readonly string[]): string {
  return names.map((name) => `\`${name}\``).join(', ')
}

/**
 * A cursor column at the time its values were read. A position keeps it, because values compare differently under
 * another type or collation.
 *
 * @experimental
 */
export interface ColumnOrder {
  /** Its SQL type. */
  readonly type: string
  /** The maximum number of digits after the point, for types that round. */
  readonly digits?: number
  /** Its collation, for a text. */
  readonly collation?: string
  /** The column of a table or view that the query passes on unchanged. */
  readonly source?: string
  /** The same in MySQL, whose earlier versions stored as `source` the column of the wrapped query, which tells nothing. */
  readonly origin?: string
}
