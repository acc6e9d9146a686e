import type { Clock, Logger } from '../base/index.js'
import {
  type ExecutionRecord,
  type Job,
  type JobContext,
  type JobDetail,
  type JobParams,
  type JobStatus,
  toStatus,
  validParams,
} from '../model/index.js'
import type { Redactor } from '../redaction/index.js'

/** What a running job can do with its partitions and, in a partition, with its siblings and its parent. */
export interface Partitions {
  /** Calls `listener` when a partition may have changed. Returns a function that removes it. */
  onChange(listener: () => void): () => void
  /** The live or last execution of a partition. */
  find(n: number): Promise<ExecutionRecord | undefined>
  /** The numbers of the live partitions, of any scheme. */
  live(): Promise<number[]>
  /** An earlier execution of a partition, when it has ended. */
  findEnded(record: ExecutionRecord): Promise<ExecutionRecord | undefined>
  /** Queues a partition for any registry, unless it is queued or running. */
  start(n: number): Promise<void>
  /** Adds a queued partition to the queue again, in case the queue was lost with its process. */
  enqueue(record: ExecutionRecord): Promise<void>
  /** Runs a partition here, in the parent's slot, if it is queued or orphaned. Resolves when it has ended here. */
  run(record: ExecutionRecord): Promise<void>
  /** Requests an abort of a partition without waiting for its end. */
  abort(n: number): Promise<void>
  /** The execution of the parent: of a partition, or of itself. */
  parent(): Promise<ExecutionRecord | undefined>
  /** The execution id of the parent, as last seen. */
  readonly parentId: string | undefined
}

/** A reset of what a job stores outside of storage. */
export interface TargetReset {
  readonly checkpoint: unknown
  /** The last execution of the job, when the reset began. */
  readonly executionId: string | undefined
  /** When the reset began, in epoch milliseconds. */
  readonly time: number
  readonly signal: AbortSignal
  /** The last execution of the job by now. */
  latest(): Promise<string | undefined>
}

/** What the jobs that the library makes receive. */
export interface ExecutionContext extends JobContext {
  /** The job's type. */
  readonly type: string
  /** The job's id. */
  readonly id: string
  /** The id of this execution in the log. */
  readonly executionId: string
  /** Which attempt of the execution this is, from 1. */
  readonly attempt: number
  /** The records counted so far in this execution: 0, unless an earlier attempt made progress. */
  readonly count: number
  /** The last detail that this execution reported: `undefined`, unless an earlier attempt reported one. */
  readonly detail: JobDetail | undefined
  /** Minimum time between two saves of progress, in milliseconds. */
  readonly progressInterval: number
  readonly clock: Clock
  readonly logger: Logger
  readonly redactor: Redactor
  /** The number of the partition, in an execution of a partition. */
  readonly partition?: number
  readonly partitions: Partitions
  /** Keeps a line as `log` does, of an earlier time in epoch milliseconds. */
  logFrom(time: number, text: string): void
  /** The last executions of the job before this one, as far as the log has them. */
  earlier(): Promise<readonly ExecutionRecord[]>
  /** Logs a warning, once per execution. */
  warnOnce(message: string): void
}

/** A job that the library makes. */
export interface LibraryJob extends Job {
  /** The number of the partition, for the job of a partition. Its type and id are those of its parent. */
  readonly partition?: number
  run(context: ExecutionContext): unknown
  /** The kind of its target, for lists of jobs. */
  readonly targetKind?: string
  /** What a full refresh does to its target, for lists of jobs. Absent where it is refused. */
  readonly refreshEffect?: 'replace' | 'merge' | 'truncate'
  /** Throws `invalid_options` for valid parameters that the job cannot run with. */
  checkParams?(params: JobParams): void
  /** How far a checkpoint is from the beginning. Without it, every change of the checkpoint counts as progress. */
  distanceOf?(checkpoint: unknown): number
  /** Whether it counts records again that it has counted before, so that a higher count is no progress. Default `false`. */
  readonly repeatsRecords?: boolean
  /**
   * The checkpoint that a full refresh begins with, at `time` in epoch milliseconds. Throws `invalid_options` when the job has no full
   * refresh.
   */
  refreshCheckpoint?(time: number): unknown
  /** Throws `invalid_options` for a full refresh that could not be done, and `target` when that is not known. Changes nothing. */
  checkRefresh?(signal: AbortSignal): Promise<void>
  /** What an execution of a job with `resume: 'restart'` keeps of the checkpoint that it begins with. Default: nothing. */
  restartCheckpoint?(checkpoint: unknown): unknown
  /**
   * The checkpoint of a `reset`: that of a value, or `null`. May be a promise. Throws `invalid_options` for a value that no execution can
   * resume from, and `datasource` when that is not known. Without it, any JSON value is a checkpoint.
   */
  resetCheckpoint?(value: unknown, time: number, signal: AbortSignal): unknown
  /** A checkpoint in the form that a `reset` takes, or `undefined` when none leads there. Without it, a checkpoint is shown as stored. */
  shownCheckpoint?(checkpoint: unknown): unknown
  /** Resets what the job stores outside of storage. Throws `lease_lost` when an execution has begun since. */
  resetTarget?(request: TargetReset): Promise<void>
  /** Makes the job of a partition, for a job with partitions. They run as executions of their own in any registry. */
  makePartition?(n: number): Omit<LibraryJob, 'type' | 'id' | 'partition' | 'makePartition'>
}

/**
 * The parameters that a job receives for those that were given: a promise only where a schema validates them. Throws `invalid_options`
 * when the job cannot run with them.
 */
export function checkParams(job: LibraryJob, given: JobParams, name?: string): JobParams | Promise<JobParams> {
  const accept = (params: JobParams) => {
    job.checkParams?.(params)
    return params
  }
  const params = validParams(job.params, given, name)
  return params instanceof Promise ? params.then(accept) : accept(params)
}

/**
 * Checks the parameters with which a schedule starts its job: throws `invalid_options`, or calls `onRefused` where the schema answers
 * later. They are checked again at each start.
 */
export function checkScheduledParams(job: LibraryJob, onRefused: (error: unknown) => void): void {
  const { schedule } = job
  if (!schedule || schedule.enabled === false) return
  const checked = checkParams(job, schedule.params ?? {}, 'schedule.params')
  if (checked instanceof Promise) checked.catch(onRefused)
}

/** What a job of the library has in common with others. */
export function publicJobOf(job: LibraryJob): Job {
  const {
    makePartition: _,
    distanceOf: __,
    repeatsRecords: ___,
    targetKind: _______,
    refreshEffect: ____________,
    checkParams: ________,
    ...others
  } = job
  const { refreshCheckpoint: ____, resetCheckpoint: _____, resetTarget: ______, ...rest } = others
  const { restartCheckpoint: _________, checkRefresh: __________, shownCheckpoint: ___________, ...common } = rest
  return common as Job
}

/** The status of an execution, with where the next run begins. As stored, where the job is not known. */
export function statusOf(record: ExecutionRecord, job: LibraryJob | undefined, queueProblem?: string): JobStatus {
  const { checkpoint } = record
  if (checkpoint === undefined || checkpoint === null || job?.resume === 'restart')
    return toStatus(record, undefined, queueProblem)
  return toStatus(record, job?.shownCheckpoint ? job.shownCheckpoint(checkpoint) : checkpoint, queueProblem)
}

/** The checkpoint that an execution of a job that starts over begins with. */
export function restartCheckpointOf(job: LibraryJob, checkpoint: unknown): unknown {
  return job.restartCheckpoint?.(checkpoint) ?? null
}
