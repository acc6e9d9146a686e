import type { JobParams } from '../../core/model/index.js'
import {
  type Consistency,
  type Cursor,
  checkedNeeds,
  type Datasource,
  type Partition,
  type ResourceNeed,
  type Target,
} from '../contract/index.js'
import type { FailureLimits } from './failure-policy.js'
import type { IfTargetReset } from './ingestion-job.js'
import type { CompiledQuery } from './query-template.js'
import type { RateLimiter } from './rate-limit.js'
import type { BatchTransform } from './transform.js'

/** How an ingestion tolerates failed records. */
export interface Tolerance {
  readonly limits: FailureLimits
  readonly deadLetters: Target | undefined
  /** Whether the status shows failed records, besides their keys and errors. */
  readonly showsRecords: boolean
  /** Whether an error is transient, so that no record is the cause. */
  isTransient(error: unknown): boolean
}

/** An ingestion with everything that is known before it runs. */
export interface IngestionPlan {
  readonly datasource: Datasource
  readonly query: CompiledQuery
  readonly cursor: Cursor | undefined
  /** What the status reports as the consistency of one read. Absent when the datasource keeps none that is known. */
  readonly consistency: Consistency | undefined
  readonly pkField: string | undefined
  readonly batchSize: number
  readonly batchBytes: number
  /** The rate limits of the job and of its registry. */
  readonly limiters: readonly RateLimiter[]
  /** Maximum number of records to read. */
  readonly limit: number
  /** How the number of records is found out. */
  readonly total: 'count' | 'estimate' | CompiledQuery | undefined
  readonly transform: BatchTransform
  readonly target: Target
  /** Whether the target gets other records than were read, because the job has a schema or a transform. */
  readonly changesRecords: boolean
  /** Whether a transform, a failure policy or the query needs values, besides the primary key of last records. */
  readonly readsValues: boolean
  /** Absent when the first failed record fails the job. */
  readonly tolerance: Tolerance | undefined
  /** Whether an execution may resume from the checkpoint of another. */
  readonly isResumable: boolean
  /** Whether every execution starts from the beginning: only its own tries resume from what it has saved. */
  readonly startsOver: boolean
  /** What a run does when the target has lost the records that the checkpoint counts on. */
  readonly ifTargetReset: IfTargetReset
  /** Whether the job has positions that a run could resume from. */
  readonly hasPositions: boolean
  /** Whether another registry resumes the job automatically when its node is lost. */
  readonly isTakenOver: boolean
  /** The values of the parameters that decide which records the query selects. Absent when there are none. */
  readonly selection?: JobParams
  /** The parameters of the start, where the schema of the job may have made others of them. */
  readonly startParams?: JobParams
  /** The parameters that select records, if the definition says so. */
  readonly selectedBy?: readonly string[]
  /** The partition that the run reads, if it reads one. */
  readonly partition?: Partition
  /** The messages of failures of the datasource and the target. */
  readonly failures: { readonly datasource: string; readonly target: string }
}

/** The resources that a run holds at once: of its datasource, its target and its dead-letter target. */
export function needsOf({ datasource, cursor, target, tolerance }: IngestionPlan): ResourceNeed[] {
  return [
    ...checkedNeeds('datasource', datasource, cursor?.parallel ?? 1),
    ...checkedNeeds('target', target, { toleratesFailures: tolerance !== undefined }),
    ...checkedNeeds('target', tolerance?.deadLetters, {}),
  ]
}
