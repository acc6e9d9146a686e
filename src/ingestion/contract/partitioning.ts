import { JobError, type Rule, rule } from '../../core/base/index.js'
import type { ReadCursor, ReadRange } from './cursor.js'

/** The ranges that a datasource splits a query into. */
export interface Partitioning {
  /** The values at which the ranges after the first begin, ascending. Fewer than requested if there is less to split. */
  readonly bounds: readonly string[]
  /**
   * Lets reads in other sessions and processes see the same data. The status then reports the consistency `snapshot`. `undefined` if
   * there is no such snapshot.
   */
  readonly snapshot?: string | undefined
  /** The `position` of a partition that has read nothing, for a read that resumes it later. Default: none. */
  readonly start?: unknown
  /** Releases the snapshot. Never rejects. */
  release(): Promise<void>
}

/** How to split a query: the number of ranges, or the values at which those after the first begin. */
export type SplitRequest = number | readonly string[]

/** Options of `partition`. */
export interface PartitionOptions {
  /** Aborts when the call must stop. */
  readonly signal: AbortSignal
  /** The cursor: ranges are of its first column, after its `position`. */
  readonly cursor: ReadCursor
  /** Which ranges to make. */
  readonly split: SplitRequest
}

/** The partitions of an ingestion. Its checkpoint stores them as `scheme` until all are done. */
export interface PartitionPlan {
  /** Identifies the plan within the job. One execution may make several: each time that it loads everything again. */
  readonly id: string
  readonly bounds: readonly string[]
  /** The columns of the cursor that the bounds are values of: none without a cursor. Earlier versions did not store them. */
  readonly columns?: readonly string[]
  readonly snapshot?: string | undefined
  /** Where the parent resumed when it was partitioned: a position, with a cursor. */
  readonly position?: unknown
  /** The `start` of `partition`: the position of partitions that have read nothing. */
  readonly start?: unknown
  /** Without a cursor: whether partitions resume from their earlier checkpoints, because the parent has made progress. */
  readonly isContinued?: boolean
  /** Whether an earlier execution created the plan. */
  readonly isResumed: boolean
  /** Whether the target has stored it from the beginning, and so holds the checkpoint of every partition that has one. */
  readonly isKept?: boolean
  /** What the parent's executions have counted of each partition. Earlier versions did not store it. */
  readonly counted?: readonly (PartitionCounts | null)[]
}

/** The records that a partition has read since it started from the beginning. */
export interface PartitionCounts {
  /** The id of the execution that started from the beginning. */
  readonly origin: string
  readonly read: number
  readonly failed: number
  readonly skipped: number
}

/** A partition of an ingestion, as its run sees it. */
export interface Partition {
  /** The id of the plan that it belongs to. */
  readonly scheme: string
  /** The execution id of the parent. */
  readonly parent: string
  readonly range: ReadRange
  readonly snapshot: string | undefined
  /** Where it begins until it has a position of its own. */
  readonly position: unknown
  /** Whether it resumes the checkpoint that a partition of an earlier plan left for the same range. */
  readonly isContinued: boolean
  /** Whether the target holds its checkpoint, if it has one. The checkpoint in storage then does not count. */
  readonly isKept: boolean
}

/** Maximum number of partitions. */
export const maxPartitions = 256

const boundsRule: Rule = {
  accepts: (value) =>
    Array.isArray(value) &&
    value.length > 0 &&
    value.length < maxPartitions &&
    value.every(isBound) &&
    areOrdered(value),
  expected: `an array of up to ${maxPartitions - 1} texts, numbers or bigints in ascending order`,
}

/** Validates the option `partitions`. */
export const partitionsRule: Rule = {
  accepts: (value) => rule.whole(1, maxPartitions).accepts(value) || boundsRule.accepts(value),
  expected: `${rule.whole(1, maxPartitions).expected}, or ${boundsRule.expected}`,
  optional: true,
}

function isBound(value: unknown): value is string | number | bigint {
  return typeof value === 'string' || typeof value === 'bigint' || Number.isFinite(value)
}

/** Text is in the order of the column, which is not known here. */
function areOrdered(bounds: readonly (string | number | bigint)[]): boolean {
  const isNext = (bound: string | number | bigint, before: string | number | bigint) =>
    typeof bound === 'string' || typeof before === 'string' ? true : before < bound
  const isNew = new Set(bounds.map(String)).size === bounds.length
  return isNew && bounds.every((bound, n) => n === 0 || isNext(bound, bounds[n - 1] as typeof bound))
}

/** The partition with that number. Throws `aborted` when a newer scheme has fewer partitions. */
export function partitionIn(
  { id, bounds, snapshot, position, start, isContinued = false, isKept = false }: PartitionPlan,
  n: number,
  parent: string,
): Partition {
  if (n > bounds.length) throw new JobError('aborted', 'The job has fewer partitions now.')
  const [from, until] = [bounds[n - 1], bounds[n]]
  const range = { ...(from !== undefined && { from }), ...(until !== undefined && { until }) }
  const own = n === 0 ? (position ?? start) : start
  return { scheme: id, parent, range, snapshot, position: own, isContinued, isKept }
}

export function splitRequestOf(partitions: number | readonly (string | number | bigint)[]): SplitRequest {
  return typeof partitions === 'number' ? partitions : partitions.map(String)
}
