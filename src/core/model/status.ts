import type { ExecutionRecord, JobDetail } from './execution-record.js'
import type { Failure } from './failure.js'
import { type EndedState, isLive, type JobState, type LiveState } from './lifecycle.js'

/** The fields of every status. */
export interface StatusBase {
  /** The job's type. */
  type: string
  /** The job's id. */
  id: string
  /** The id of this execution in the log: the job's id followed by a time-ordered UUID. */
  executionId: string
  /** When the execution began, in epoch milliseconds of the storage's clock. */
  startTime: number
  /** One sentence about the state, for people. */
  infos: string
  /** Records processed so far. Never more than the target holds durably. */
  count: number
  /** The last known value of the primary key column, always as text. */
  lastId?: string
  /** The name of the registry that runs or ran it, or queues it. Absent while any registry may claim it. Not part of the protocol. */
  node?: string
  /** The id of the orphan that this execution resumes: its node died or closed. */
  resumedFrom?: string
  /** The parameters of the start, if there were any. */
  params?: Readonly<Record<string, unknown>>
  /**
   * Where the next run of the job begins after this execution, in the form that `reset` takes. Absent when it begins at the beginning, in
   * events, and in the status that `finished` and `onEnd` give. Not part of the protocol.
   */
  checkpoint?: unknown
  /** Why the execution was asked to abort: the `reason` of the abort, or {@link closedReason} when its registry closed. */
  abortReason?: string
}

/** The `abortReason` of an execution that was stopped because its registry closed, and not by an abort. */
export const closedReason = 'The registry was closed.'

/** The fields of every status of a live execution. */
export interface LiveBase {
  /**
   * The lease of its node: until when it holds, in epoch milliseconds of the storage's clock. Absent while any registry may claim the
   * execution. Not part of the protocol.
   */
  lease?: { until: number }
}

/** The job is queued until a slot is free. `startTime` is when it was accepted. */
export interface QueuedStatus extends StatusBase, LiveBase {
  state: 'queued'
  /** Always absent: a queued job has not reported anything. */
  detail?: undefined
}

/** The fields of every status of an execution that has left the queue. */
export interface BegunStatus<Detail extends object = JobDetail> extends StatusBase {
  /** Extra data that the job reports with its progress: an `IngestionDetail` for an ingestion. Not part of the protocol. */
  detail?: Detail
  /** The last lines of `context.log`, newest last, each after its time in ISO 8601. Not part of the protocol. */
  log?: readonly string[]
}

/** The job runs. */
export interface RunningStatus<Detail extends object = JobDetail> extends BegunStatus<Detail>, LiveBase {
  state: 'running'
}

/** The job was asked to stop and still runs. */
export interface AbortingStatus<Detail extends object = JobDetail> extends BegunStatus<Detail>, LiveBase {
  state: 'aborting'
}

/** The job was stopped. */
export interface AbortedStatus<Detail extends object = JobDetail> extends BegunStatus<Detail> {
  state: 'aborted'
  /** When it ended, in epoch milliseconds of the storage's clock. */
  endTime: number
}

/** The job failed. */
export interface FailedStatus<Detail extends object = JobDetail> extends BegunStatus<Detail> {
  state: 'error'
  /** When it ended, in epoch milliseconds of the storage's clock. */
  endTime: number
  /** The messages of the error and its causes, outermost first, secrets redacted. */
  error: string[]
  /** What is known of the failure beside the messages. Absent when a lease expired. Not part of the protocol. */
  failure?: Readonly<Failure>
}

/** The job completed its work. */
export interface SuccessfulStatus<Detail extends object = JobDetail> extends BegunStatus<Detail> {
  state: 'successful'
  /** When it ended, in epoch milliseconds of the storage's clock. */
  endTime: number
}

/** The status of a live execution. */
export type LiveStatus<Detail extends object = JobDetail> =
  | QueuedStatus
  | RunningStatus<Detail>
  | AbortingStatus<Detail>

/** The status of an ended execution. */
export type EndedStatus<Detail extends object = JobDetail> =
  | AbortedStatus<Detail>
  | FailedStatus<Detail>
  | SuccessfulStatus<Detail>

/** The status of an execution, discriminated by `state`. */
export type JobStatus<Detail extends object = JobDetail> = LiveStatus<Detail> | EndedStatus<Detail>

/**
 * The type of the detail of a job: what the caller names, else what is known of the type of the job, else any JSON object. What the caller
 * names is not checked.
 */
export type DetailByType<Known extends Record<string, object>, Type extends string, Named extends object = never> = [
  Named,
] extends [never]
  ? Type extends keyof Known
    ? Known[Type]
    : JobDetail
  : Named

const infos: Record<JobState, string> = {
  queued: 'The job is waiting for a free slot.',
  running: 'The job is running.',
  aborting: 'The job is being aborted.',
  aborted: 'The job has been aborted.',
  error: 'The job has failed.',
  successful: 'The job is done.',
}

/** The status of an execution record, with the checkpoint to show, and why its queue hands out nothing. Frozen. */
export function toStatus(record: ExecutionRecord & { state: LiveState }, checkpoint?: unknown): LiveStatus
export function toStatus(record: ExecutionRecord & { state: EndedState }, checkpoint?: unknown): EndedStatus
export function toStatus(record: ExecutionRecord, checkpoint?: unknown, queueProblem?: string): JobStatus
export function toStatus(record: ExecutionRecord, checkpoint?: unknown, queueProblem?: string): JobStatus {
  const { state, type, id, executionId, startTime, endTime, count, lastId, detail, logTail, error, resumedFrom } =
    record
  const { params, node, leaseUntil, failure } = record
  const abortReason = abortReasonOf(record)
  // Every change of every execution passes here: assignments are faster than spreads.
  const status: Record<string, unknown> = { state, type, id, executionId, startTime }
  if (endTime !== undefined) status.endTime = endTime
  const isStuck = state === 'queued' && queueProblem !== undefined
  status.infos = isStuck ? `The job is waiting. ${queueProblem}` : infos[state]
  if (error !== undefined) status.error = error
  if (failure !== undefined) status.failure = failure
  status.count = count
  if (lastId !== undefined) status.lastId = lastId
  if (detail !== undefined) status.detail = detail
  if (logTail !== undefined) status.log = logTail
  if (node !== null) status.node = node
  if (leaseUntil !== null && isLive(state)) status.lease = { until: leaseUntil }
  if (resumedFrom !== undefined) status.resumedFrom = resumedFrom
  if (params !== undefined) status.params = params
  if (checkpoint !== undefined) status.checkpoint = checkpoint
  if (abortReason !== undefined) status.abortReason = abortReason
  return Object.freeze(status) as unknown as JobStatus
}

/** Why an execution was asked to abort. One that is stopped for others to resume is an orphan: storage has no request to abort it. */
export function abortReasonOf({ state, abortReason, isOrphaned }: ExecutionRecord): string | undefined {
  return abortReason ?? (state === 'aborted' && isOrphaned ? closedReason : undefined)
}

/** Whether two records of one execution in one state give the same status. */
export function hasSameProgress(one: ExecutionRecord, other: ExecutionRecord): boolean {
  if (one.count !== other.count || one.lastId !== other.lastId) return false
  return one.detail === other.detail || JSON.stringify(one.detail) === JSON.stringify(other.detail)
}
