import type { Failure } from './failure.js'
import type { JobState } from './lifecycle.js'

/** Identifies a job, or a partition of a job. */
export interface JobKey {
  /** The job's type. */
  type: string
  /** The job's id. */
  id: string
  /** The number of the partition, from 0. Absent for the job itself. */
  partition?: number
}

/** The key of a job or a partition, without other fields. */
export function keyOf({ type, id, partition }: Readonly<JobKey>): JobKey {
  return partition === undefined ? { type, id } : { type, id, partition }
}

/** The fields that identify an execution. */
export type ExecutionKey = JobKey & Pick<ExecutionRecord, 'executionId'>

/** Extra data that a job reports with its progress: a JSON object that only the job and its users interpret. */
export type JobDetail = Record<string, unknown>

/** The stored state of one execution: of a job, or of one of its partitions. */
export interface ExecutionRecord extends JobKey {
  /** The id in the log: the job's id followed by a UUID that orders the log. */
  executionId: string
  /** The current state. */
  state: JobState
  /** Fencing number: grows with each execution of the job. A writer with a lower epoch is rejected. */
  epoch: number
  /** The name of the registry instance that runs it. `null` while the execution is unclaimed: any registry may claim it. */
  node: string | null
  /** When the execution was accepted or, once it runs, when it began to run. Epoch milliseconds of the storage's clock. */
  startTime: number
  /** When the execution ended. Set in ended states only. */
  endTime?: number
  /**
   * When the lease expires, in epoch milliseconds of the storage's clock. `null` while the execution is unclaimed, as it has no lease.
   * Has no meaning in ended states.
   */
  leaseUntil: number | null
  /** Records processed so far. */
  count: number
  /** The last known value of the primary key column. */
  lastId?: string
  /** Where the next execution resumes: a JSON value that only the job interprets. */
  checkpoint?: unknown
  /** Extra data that the job reported with its progress: a JSON object. */
  detail?: JobDetail
  /** The messages of the error and its causes, outermost first. Set in state `error` only. */
  error?: string[]
  /** What is known of the failure beside the messages. Set in state `error` only, and not when a lease expired. */
  failure?: Failure
  /** Set when the execution is an orphan: its node died or closed, and another node may resume the job. */
  isOrphaned?: true
  /** The id of the orphan that this execution resumes. */
  resumedFrom?: string
  /** How many nodes in a row were lost without progress. Set with `resumedFrom`; limits automatic resumes. */
  takeovers?: number
  /** The latest scheduled time that an execution of the job was started for, in epoch milliseconds. */
  scheduledFor?: number
  /** The parameters of the start: a JSON object. An execution that resumes an orphan has those of the orphan. */
  params?: Record<string, unknown>
  /** Why the execution was asked to abort: up to 1,000 characters. */
  abortReason?: string
  /** The last lines that the job logged, newest last: up to 100 lines of up to 1,000 characters. */
  logTail?: string[]
  /** Set when somebody wants to be notified of the end: the storage lists it in `ends` until that is done. */
  notifiesEnd?: true
  /** Set when the notification of the end is done. */
  isEndNotified?: true
}

/** Maximum number of lines of `logTail`. */
export const maxLogLines = 100

/** Maximum length of a line of `logTail`, of a reason, and of the name of a person, in characters. */
export const maxTextLength = 1000

/** The progress of an execution. */
export interface Progress {
  /** Records processed so far. */
  count?: number
  /** The last known value of the primary key column. */
  lastId?: string
  /** Where the next execution resumes: a JSON value. `null` starts from the beginning. */
  checkpoint?: unknown
  /** Extra data of the execution: a JSON object. Replaces the previous one. */
  detail?: JobDetail
  /** The last lines that the job logged, newest last: up to 100 lines of up to 1,000 characters. Replaces the previous ones. */
  logTail?: string[]
}
