export {
  boundAfter,
  type ColumnOrder,
  type CursorPosition,
  checkSameCursor,
  quotedNames,
  type RangePosition,
  type RecordPosition,
  recordPositionOf,
} from './cursor-position.js'
export { givenPosition, shownPosition } from './given-position.js'
export { type RangeReader, readInParallel } from './merge-readers.js'
export { Prefetch } from './prefetch.js'
export type { Bound, CursorRange, Lookback } from './range.js'
export { Ranges } from './range-queue.js'
export { type Segment, segmentsOf } from './segments.js'
export { type CursorColumns, drainTies, type PositionOf, refuseTies, tieFailure } from './ties.js'
