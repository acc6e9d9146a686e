import type { JobRecord, RecordBatch } from './record-batch.js'

/** A batch of a read by a cursor, with the position after it. */
export interface ReadBatch<Item extends object = JobRecord> {
  readonly batch: RecordBatch<Item>
  /**
   * Where a later read resumes after this batch: a JSON value of the datasource, which comes back as `ReadCursor.position`.
   * `undefined` where no read can resume, as between ties.
   */
  readonly position?: unknown
  /**
   * Returns where a later read resumes after the first records of the batch: a `position`, or `undefined` where no read can resume. Called
   * once, with a number from 1 to less than all, when a job with `failures` fails within the batch. Without it, the next run begins with the batch.
   */
  positionAfter?(count: number): unknown
  /** Whether the batch repeats earlier records, for `lookback`. The job then keeps the position before it. Default `false`. */
  readonly isReplay?: boolean
  /** Set when ranges are read in parallel, so that batches come in any order. */
  readonly parallel?: ParallelProgress
}

/** The progress of ranges that are read in parallel. */
export interface ParallelProgress {
  /** Identifies the batch, as its place among the others does not. */
  readonly name: string
  /** The values of the cursor's columns in the last record before which none is missing. Empty if there is none. */
  readonly reached: Readonly<Record<string, unknown>>
}
