import type { RecordBatch } from '../contract/index.js'

/** The result of a transform for one batch. */
export interface TransformedBatch {
  readonly batch: RecordBatch
  /** How many of its records were dropped. */
  readonly skipped: number
  /** The records that could not be transformed, by their index in the source batch. */
  readonly failures?: readonly TransformFailure[]
  /** The index, in the source batch, of the record that a result was made of. `undefined` when it is not known. */
  originOf(index: number): number | undefined
}

/** A record that is not valid by the schema, or could not be transformed. */
export interface TransformFailure {
  readonly index: number
  readonly error: unknown
}

/** Whether a transform continues after an error for one record. Default: never. */
export type Tolerates = (error: unknown) => boolean
