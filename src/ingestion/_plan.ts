import type { Cursor } from './cursor.js'
import type { Datasource } from './datasource.js'
import type { FailureLimits } from './failures.js'
import type { IfTargetReset } from './job.js'
import type { Part } from './partitions.js'
import type { CompiledQuery } from './query.js'
import type { Pace } from './rate-limit.js'
import type { ResourceNeed } from './resources.js'
import type { Target } from './target.js'
import type { BatchTransform } from './transform.js'

/** What an ingestion does about records that fail. */
export interface Tolerance {
  readonly limits: FailureLimits
  readonly deadLetters: Target | undefined
  /** Whether an error passes, so that no record is to blame. */
  isTransient(error: unknown): boolean
}

/** An ingestion with all that can be worked out before it runs. */
export interface Plan {
  readonly datasource: Datasource
  readonly query: CompiledQuery
  readonly cursor: Cursor | undefined
  readonly pkField: string | undefined
  readonly batchSize: number
  readonly batchBytes: number
  /** What batches wait for before they are written. */
  readonly paces: readonly Pace[]
  /** The most records to read. */
  readonly limit: number
  readonly transform: BatchTransform
  readonly target: Target
  /** Whether values are asked for on the way to the target, beside those of the primary key in the last records. */
  readonly readsValues: boolean
  /** Not given: the first record that fails fails the job. */
  readonly tolerance: Tolerance | undefined
  /** Whether an execution may go on from the checkpoint of another. */
  readonly isResumable: boolean
  /** Whether every execution starts from the beginning: only its own tries resume from what it has saved. */
  readonly startsOver: boolean
  /** What a run does when the target has lost the records that the checkpoint counts on. */
  readonly ifTargetReset: IfTargetReset
  /** Whether there are places that a run could go on from. */
  readonly hasPlaces: boolean
  /** Whether another registry goes on with the job by itself when its node is lost. */
  readonly isTakenOver: boolean
  /** Of a run that does a part: which. */
  readonly part?: Part
  /** What is said when the datasource or the target fails. */
  readonly failures: { readonly datasource: string; readonly target: string }
}

/** What a run holds at once: of its datasource, its target and its dead-letter target. */
export function needsOf({ datasource, cursor, target, tolerance }: Plan): ResourceNeed[] {
  return [
    ...(datasource.needs?.(cursor?.parallel ?? 1) ?? []),
    ...(target.needs?.({ toleratesFailures: tolerance !== undefined }) ?? []),
    ...(tolerance?.deadLetters?.needs?.({}) ?? []),
  ]
}
