import { JobError, type ReadCursor } from '../index.js'
import type { Bound } from './_postgres-keyset.js'
import type { ColumnOrder } from './_postgres-order.js'

/** Where reading by a cursor goes on: what a checkpoint keeps. */
export interface Position {
  /** What the columns of the cursor were. */
  readonly order?: readonly ColumnOrder[]
  /** After the records without nulls up to there. */
  readonly after?: Place
  /** After those with null in the first column up to there, which are in an order of their own. */
  readonly afterNull?: Place
  /** Of a read that was split: the ranges that are not read to their end, and those behind them, in their order. */
  readonly ranges?: readonly RangePlace[]
}

/** How far a range was read. */
export interface RangePlace {
  /** The raw text of the value of the first column that the range ends before. The last range has no end. */
  readonly until?: string
  /** After which record reading goes on in it. Default: from its beginning. */
  readonly at?: Place
  /** Whether it was read to its end. */
  readonly isRead?: boolean
}

/** The last record that was read. */
export interface Place {
  readonly columns: readonly string[]
  /** The raw text of its columns. */
  readonly values: readonly unknown[]
  readonly ties: ReadCursor['ties']
}

/** The place of a record, as a position keeps it. */
export function placeAt({ columns, ties }: ReadCursor, values: readonly unknown[]): Place {
  return { columns, values, ties }
}

/**
 * Where a read goes on after a place. When columns were added to the cursor since, or ties are drained that were refused, all
 * records that are tied with the last one come again: nobody knows which of them were read. Throws `datasource` when the
 * place is one in another order.
 */
export function boundAfter(place: Place | undefined, { columns, ties }: ReadCursor): Bound | undefined {
  if (!place) return undefined
  if (!place.columns.every((name, index) => name === columns[index])) {
    throw new JobError(
      'datasource',
      `The checkpoint is one of the cursor ${list(place.columns)}, and not of ${list(columns)}: run the job once with \`resume: 'restart'\`, or give it another id.`,
    )
  }
  const isBefore = place.columns.length < columns.length || (place.ties === 'refuse' && ties === 'drain')
  return { values: place.values, isBefore }
}

/** Names, as a message shows them. */
export function list(names: readonly string[]): string {
  return names.map((name) => `\`${name}\``).join(', ')
}
