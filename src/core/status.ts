import type { EndedState, JobState, LiveState } from './lifecycle.js'
import type { ExecutionRecord, JobDetail } from './storage.js'

/** What every status has. */
export interface StatusBase {
  /** The job's type. */
  type: string
  /** The job's id. */
  id: string
  /** The id of this execution in the log: the job's id followed by a time-ordered UUID. */
  executionId: string
  /** When it began, in epoch milliseconds of the storage's clock. */
  startTime: number
  /** One sentence for a person. */
  infos: string
  /** Records processed so far: never more than the target holds durably. */
  count: number
  /** The last known value of the primary key column, always as text. */
  lastId?: string
  /** The id of the execution that this one goes on from, whose node died or was closed. */
  resumedFrom?: string
}

/** The job waits for a free slot under `concurrency`; `startTime` is when it was accepted. */
export interface QueuedStatus extends StatusBase {
  state: 'queued'
  /** Never there: a job that waits has reported nothing yet. */
  detail?: undefined
}

/** What every status has of an execution that has left the line. */
export interface BegunStatus extends StatusBase {
  /** What the job says of the execution beside its progress: of an ingestion, an `IngestionDetail`. Not on the wire. */
  detail?: JobDetail
}

/** The job runs. */
export interface RunningStatus extends BegunStatus {
  state: 'running'
}

/** The job was asked to stop and has not stopped yet. */
export interface AbortingStatus extends BegunStatus {
  state: 'aborting'
}

/** The job was stopped. */
export interface AbortedStatus extends BegunStatus {
  state: 'aborted'
  /** When it ended, in epoch milliseconds of the storage's clock. */
  endTime: number
}

/** The job failed. */
export interface FailedStatus extends BegunStatus {
  state: 'error'
  /** When it ended, in epoch milliseconds of the storage's clock. */
  endTime: number
  /** The messages of the error and its causes, outermost first, secrets redacted. */
  error: string[]
}

/** The job did all that it had to do. */
export interface SuccessfulStatus extends BegunStatus {
  state: 'successful'
  /** When it ended, in epoch milliseconds of the storage's clock. */
  endTime: number
}

/** The status of an execution that holds its job. */
export type LiveStatus = QueuedStatus | RunningStatus | AbortingStatus

/** The status of an execution that has ended. */
export type EndedStatus = AbortedStatus | FailedStatus | SuccessfulStatus

/** The status of an execution: told apart by `state`, with only the fields that the state has. */
export type JobStatus = LiveStatus | EndedStatus

const infos: Record<JobState, string> = {
  queued: 'The job is waiting for a free slot.',
  running: 'The job is running.',
  aborting: 'The job is being aborted.',
  aborted: 'The job has been aborted.',
  error: 'The job has failed.',
  successful: 'The job is done.',
}

/** The status that an execution's record shows. It is frozen. */
export function toStatus(record: ExecutionRecord & { state: LiveState }): LiveStatus
export function toStatus(record: ExecutionRecord & { state: EndedState }): EndedStatus
export function toStatus(record: ExecutionRecord): JobStatus
export function toStatus(record: ExecutionRecord): JobStatus {
  const { state, type, id, executionId, startTime, endTime, count, lastId, detail, error, resumedFrom } = record
  return Object.freeze({
    state,
    type,
    id,
    executionId,
    startTime,
    ...(endTime !== undefined && { endTime }),
    infos: infos[state],
    ...(error !== undefined && { error }),
    count,
    ...(lastId !== undefined && { lastId }),
    ...(detail !== undefined && { detail }),
    ...(resumedFrom !== undefined && { resumedFrom }),
  }) as JobStatus
}

/** Whether two records of one execution, in one state, show the same status. */
export function areAlike(one: ExecutionRecord, other: ExecutionRecord): boolean {
  if (one.count !== other.count || one.lastId !== other.lastId) return false
  return one.detail === other.detail || JSON.stringify(one.detail) === JSON.stringify(other.detail)
}
