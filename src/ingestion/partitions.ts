import { JobError } from '../core/errors.js'
import { type Rule, rule } from '../core/options.js'
import type { ReadCursor, ReadRange } from './cursor.js'

/** What a datasource cuts a query into. */
export interface Partitioning {
  /** The values that parts begin at, beside the first one, in ascending order: fewer than asked for where there is less. */
  readonly bounds: readonly string[]
  /** What lets reads in other sessions, and processes, see what was seen now; `undefined` where there is no such thing. */
  readonly snapshot?: string | undefined
  /** The `position` of a part that has read nothing: what a read has to know that goes on with the part later. Default: none. */
  readonly start?: unknown
  /** Lets go of the snapshot. Never rejects. */
  release(): Promise<void>
}

/** How many parts there are to be, or the values that they begin at, beside the first one. */
export type Cuts = number | readonly string[]

/** What a datasource is told that is to cut a query. */
export interface PartitionOptions {
  /** Aborts when it is to stop. */
  readonly signal: AbortSignal
  /** The cursor: parts are ranges of its first column, behind its `position`. */
  readonly cursor: ReadCursor
  readonly cuts: Cuts
}

/** How the parts of an ingestion were cut: what its checkpoint keeps until all are done. */
export interface Scheme {
  /** What tells it from others of the job: the execution that made it. */
  readonly id: string
  readonly bounds: readonly string[]
  readonly snapshot?: string | undefined
  /** Where the whole went on from when it was cut: by a cursor, the position. */
  readonly position?: unknown
  /** What `partition` gave as the position of parts that have read nothing. */
  readonly start?: unknown
  /** Without a cursor: whether parts go on from where they stood before, as the whole had come on. */
  readonly isContinued?: boolean
  /** Whether it was cut by another execution than the one that goes on with it. */
  readonly isResumed: boolean
}

/** A part of an ingestion, as its run knows it. */
export interface Part {
  readonly scheme: string
  /** The execution of the whole. */
  readonly whole: string
  readonly range: ReadRange
  readonly snapshot: string | undefined
  /** Where it goes on as long as it has no place of its own. */
  readonly position: unknown
  /** Whether it goes on from where a part of the same range stood that was cut by another scheme. */
  readonly isContinued: boolean
}

/** The most parts. */
export const maxParts = 256

const boundsRule: Rule = {
  accepts: (value) =>
    Array.isArray(value) && value.length > 0 && value.length < maxParts && value.every(isBound) && areOrdered(value),
  expected: `an array of up to ${maxParts - 1} texts, numbers or bigints in ascending order`,
}

/** What a job may say as `partitions`. */
export const partitionsRule: Rule = {
  accepts: (value) => rule.whole(1, maxParts).accepts(value) || boundsRule.accepts(value),
  expected: `${rule.whole(1, maxParts).expected}, or ${boundsRule.expected}`,
  optional: true,
}

function isBound(value: unknown): value is string | number | bigint {
  return typeof value === 'string' || typeof value === 'bigint' || Number.isFinite(value)
}

/** Texts are ordered as the column is, which is not known here. */
function areOrdered(bounds: readonly (string | number | bigint)[]): boolean {
  const isNext = (bound: string | number | bigint, before: string | number | bigint) =>
    typeof bound === 'string' || typeof before === 'string' ? true : before < bound
  const isNew = new Set(bounds.map(String)).size === bounds.length
  return isNew && bounds.every((bound, n) => n === 0 || isNext(bound, bounds[n - 1] as typeof bound))
}

/** The part of that number. Throws `aborted` when there is none, as it was cut otherwise since. */
export function partIn(
  { id, bounds, snapshot, position, start, isContinued = false }: Scheme,
  n: number,
  whole: string,
): Part {
  if (n > bounds.length) throw new JobError('aborted', 'The job was cut into fewer parts since.')
  const [from, until] = [bounds[n - 1], bounds[n]]
  const range = { ...(from !== undefined && { from }), ...(until !== undefined && { until }) }
  const own = n === 0 ? (position ?? start) : start
  return { scheme: id, whole, range, snapshot, position: own, isContinued }
}

/** The cuts of a job. */
export function cutsOf(partitions: number | readonly (string | number | bigint)[]): Cuts {
  return typeof partitions === 'number' ? partitions : partitions.map(String)
}
