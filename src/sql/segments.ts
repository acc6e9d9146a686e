import type { ReadCursor } from '../ingestion/index.js'
import { boundAfter, type CursorPosition } from './cursor-position.js'
import type { Bound, CursorRange, Lookback } from './range.js'

/**
 * A segment of a read: a range, and how it affects the position.
 *
 * @experimental
 */
export interface Segment extends CursorRange {
  /** Whether the records were read before. */
  readonly isRepeated: boolean
}

/**
 * The segments that a read by a cursor consists of, in order: the records with null in the first column, those that `lookback` repeats, and those
 * after the position. The last one may be read in several ranges.
 *
 * @experimental
 */
export function segmentsOf(
  cursor: ReadCursor,
  position: CursorPosition | undefined,
  lookback: () => Lookback | undefined,
): Segment[] {
  const { nulls, range } = cursor
  const after = boundAfter(position?.after, cursor) ?? startOf(range?.from)
  const rest: Segment = { isNull: false, after, until: startOf(range?.until), isRepeated: false }
  const distance = after && lookback()
  const repeated: Segment[] = distance ? [{ isNull: false, until: after, lookback: distance, isRepeated: true }] : []
  if (nulls !== 'first') return [...repeated, rest]
  return [{ isNull: true, after: boundAfter(position?.afterNull, cursor), isRepeated: false }, ...repeated, rest]
}

/** The point before all records with this value in the first column. */
function startOf(value: string | undefined): Bound | undefined {
  return value === undefined ? undefined : { values: [value], isBefore: true }
}
