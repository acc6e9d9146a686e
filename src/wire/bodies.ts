import { JobError, type JobErrorCode, jobErrorCodes } from '../core/base/index.js'
import {
  type EndedStatus,
  type Failure,
  isEnded,
  isLive,
  type JobDetail,
  type JobState,
  type JobStatus,
  type LiveStatus,
} from '../core/model/index.js'
import { commonRedactor } from '../core/redaction/index.js'
import type { SearchResult } from '../core/storage/index.js'

// Shared with `headgate/client`. It imports as little as possible, so that browsers load little.

/** A status as the protocol prints it. */
export interface WireStatus {
  /** The version of the form. */
  version: 1
  /** The job's id. */
  id: string
  /** Whether the execution runs, also while it aborts. */
  is_running: boolean
  /** Whether an abort was requested. Stays on the aborted status. */
  is_aborting?: true
  /** When it began, in epoch milliseconds. */
  start_time: number
  /** When it ended, in epoch milliseconds. */
  end_time?: number
  /** One sentence about the state, for people. */
  infos: string
  /** The messages of the error and its causes, outermost first; in state `error` only. */
  error?: string[]
  /** The state of the execution. */
  state: JobState
  /** Records processed so far. */
  count: number
  /** The last known value of the primary key column. */
  last_id?: string
  /** What the protocol does not have, when the call asks for it. */
  detail?: WireDetail
}

/** What headgate knows of an execution beside the status of the protocol. */
export interface WireDetail {
  /** The id of the execution in the log. */
  execution_id: string
  /** The name of the registry that runs or ran it. */
  node?: string
  /** The lease of a live execution: until when it holds, in epoch milliseconds of the storage's clock. */
  lease?: { until: number }
  /** The id of the orphan that it resumes. */
  resumed_from?: string
  /** Why it was asked to abort. */
  abort_reason?: string
  /** The parameters of the start. */
  params?: Record<string, unknown>
  /** The last lines that the job logged, newest last, each after its time in ISO 8601. */
  log?: readonly string[]
  /** What is known of a failure beside its messages. */
  failure?: WireFailure
  /** What the job reports with its progress: an `IngestionDetail` for an ingestion. */
  progress?: Record<string, unknown>
  /** Where the next run begins, in the form that a reset takes. */
  checkpoint?: unknown
}

/** What is known of a failure beside its messages. */
export interface WireFailure extends Omit<Failure, 'isTransient'> {
  /** Whether another run may succeed without a change. */
  is_transient: boolean
}

/** Makes the detail of a status. */
export type DetailOf = (status: JobStatus) => WireDetail

/** The answer about one job. */
export interface WireJob {
  /** The job's id. */
  _id: string
  /** The job's type. */
  type: string
  /** Whether the job is defined or has ever run. */
  found: boolean
  /** The status, where there is one. */
  status?: WireStatus
}

/** An entry of the log. */
export interface WireHit {
  /** The id of the execution in the log. */
  _id: string
  /** The status, under the job's type. */
  _source: Record<string, WireStatus>
}

/** A list of jobs, or of entries of the log. */
export interface WireHits<Hit> {
  hits: {
    /** The total number of matches. */
    total: number
    hits: Hit[]
  }
}

/** The answer to a call that failed. */
export interface WireError {
  error: {
    /** The kind of error, for programs. */
    type: WireErrorType
    /** The reason, for people. */
    reason: string
  }
  /** The HTTP status. */
  status: number
}

/** The types of an error body, and the HTTP status of each. */
export const wireErrors = {
  invalid_request: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  not_defined: 404,
  method_not_allowed: 405,
  already_running: 409,
  paused: 409,
  aborted: 409,
  payload_too_large: 413,
  uri_too_long: 414,
  unsupported_media_type: 415,
  internal: 500,
  not_supported: 501,
  closed: 503,
  storage: 503,
  dispatcher: 503,
  datasource: 503,
  target: 503,
} as const

/** The kind of error, for programs. */
export type WireErrorType = keyof typeof wireErrors

/** The error types of the codes that the API reports. */
const errorTypes: Partial<Record<JobErrorCode, WireErrorType>> = {
  invalid_options: 'invalid_request',
  not_defined: 'not_defined',
  already_running: 'already_running',
  paused: 'paused',
  aborted: 'aborted',
  not_supported: 'not_supported',
  closed: 'closed',
  storage: 'storage',
  dispatcher: 'dispatcher',
  datasource: 'datasource',
  target: 'target',
  unauthorized: 'unauthorized',
  forbidden: 'forbidden',
}

/** The body of an error. */
export function errorBody(type: WireErrorType, reason: string): WireError {
  return { error: { type, reason }, status: wireErrors[type] }
}

/** The body of an error that the API does not explain. */
export const internalError = errorBody('internal', 'The call could not be answered.')

/** The body of a thrown error. Gives details only if the caller can fix it. */
export function thrownBody(error: unknown): WireError {
  const type = JobError.isInstance(error) ? errorTypes[error.code] : undefined
  if (type === undefined) return internalError
  const { code, message } = error as JobError
  return errorBody(type, wireErrors[type] < 500 ? message : jobErrorCodes[code])
}

const basePathHint = ' `url` is that of the API, with its base path, such as `https://host/_siren/connector/jobs`.'

/** The error in a body, which may be anything. Without a known code, the code is `server`. */
export function toError(body: unknown, status: number): JobError {
  const { error } = Object(body) as Partial<WireError>
  const [known] = Object.entries(errorTypes).find(([, type]) => type === error?.type) ?? []
  const code = (known ?? 'server') as JobErrorCode
  const reason =
    typeof error?.reason === 'string'
      ? commonRedactor.shorten(error.reason, maxMessage - 1)
      : `The answer is not one of the jobs API: HTTP status ${status}.${status === 404 ? basePathHint : ''}`
  return new JobError(code, reason, { isTransient: status >= 500 || status === 429 })
}

/** A status as the protocol prints it, its keys in the protocol's order. The detail, if any, comes last. */
export function toWire(status: JobStatus, detailOf?: DetailOf): WireStatus {
  const { id, startTime, infos, state, count, lastId } = status
  return {
    version: 1,
    id,
    is_running: isLive(state) && state !== 'queued',
    ...((state === 'aborting' || state === 'aborted') && { is_aborting: true }),
    start_time: startTime,
    ...('endTime' in status && { end_time: status.endTime }),
    infos,
    ...(status.state === 'error' && { error: boundedMessages(status.error) }),
    state,
    count,
    ...(lastId !== undefined && { last_id: shortened(lastId, maxLastId) }),
    ...(detailOf && { detail: detailOf(status) }),
  }
}

/** The limits of one execution in an answer: the number of messages, and the length of a message and of a last id. */
const maxMessages = 20
const maxMessage = 2001
const maxLastId = 32_768

function boundedMessages(messages: readonly string[]): string[] {
  return messages.slice(0, maxMessages).map((text) => shortened(text, maxMessage))
}

function shortened(text: string, max: number): string {
  return text.length > max ? `${text.slice(0, max - 1)}…` : text
}

/** The body about a job that is defined or has run. */
export function foundBody(type: string, id: string, status?: JobStatus, detailOf?: DetailOf): WireJob {
  return { _id: id, type, found: true, ...(status && { status: toWire(status, detailOf) }) }
}

/** The body about an unknown job. */
export function notFoundBody(type: string, id: string): WireJob {
  return { _id: id, type, found: false }
}

/** The body of a list of jobs. */
export function jobsBody(statuses: readonly JobStatus[], detailOf?: DetailOf): WireHits<WireJob> {
  const hits = statuses.map((status) => foundBody(status.type, status.id, status, detailOf))
  return { hits: { total: hits.length, hits } }
}

/** The body of a page of the log. */
export function searchBody({ total, hits }: SearchResult<JobStatus>, detailOf?: DetailOf): WireHits<WireHit> {
  return { hits: { total, hits: hits.map((status) => toEntry(status, detailOf)) } }
}

/** A status as an entry of the log. Events have this form too. */
export function toEntry(status: JobStatus, detailOf?: DetailOf): WireHit {
  return { _id: status.executionId, _source: { [status.type]: toWire(status, detailOf) } }
}

type Seen<Status> = Status extends JobStatus
  ? Omit<
      Status,
      | 'executionId'
      | 'node'
      | 'lease'
      | 'detail'
      | 'log'
      | 'failure'
      | 'resumedFrom'
      | 'abortReason'
      | 'params'
      | 'checkpoint'
    >
  : never

/** The status of a job on a server: the fields of a `JobStatus` that the HTTP API sends. */
export type RemoteStatus = Seen<JobStatus>

/** The status of a live execution on a server. */
export type RemoteLiveStatus = Seen<LiveStatus>

/** The status of an ended execution on a server. */
export type RemoteEndedStatus = Seen<EndedStatus>

/** A status with the id of its execution, as in the log and in events. */
export type LoggedStatus = RemoteStatus & {
  /** The id of the execution in the log: the job's id followed by a time-ordered UUID. */
  executionId: string
}

/** The status of an ended execution, with its id. */
export type LoggedEndedStatus = RemoteEndedStatus & Pick<LoggedStatus, 'executionId'>

/** What a call with `detail: true` adds to a status. */
export interface RemoteDetail<Progress extends object = JobDetail> {
  /** The id of the execution in the log. */
  executionId: string
  /** The name of the registry that runs or ran it. Absent while any registry may claim it. */
  node?: string
  /** The lease of a live execution: until when it holds, in epoch milliseconds of the storage's clock. */
  lease?: { readonly until: number }
  /** The id of the orphan that it resumes: its node died or closed. */
  resumedFrom?: string
  /** Why it was asked to abort. */
  abortReason?: string
  /** The parameters of the start, secrets redacted. */
  params?: Readonly<Record<string, unknown>>
  /** The last lines that the job logged, newest last, each after its time in ISO 8601. */
  log?: readonly string[]
  /** What is known of a failure beside its messages: how often it was tried, where it failed, and the stack. Secrets redacted. */
  failure?: Readonly<Failure>
  /** What the job reports with its progress, secrets redacted: an `IngestionDetail` for an ingestion. */
  progress?: Readonly<Progress>
  /** Where the next run begins, in the form that `reset` takes, secrets redacted. Absent when it begins at the beginning. */
  checkpoint?: unknown
}

/** A status, with its detail if the call has asked for it. */
export type Detailed<Status, Options, Progress extends object = JobDetail> = Options extends { detail: true }
  ? Status & { detail: RemoteDetail<Progress> }
  : Status

/** Converts a status of the protocol. Frozen, like the statuses of a registry. */
export function fromWire(type: string, wire: WireStatus): RemoteStatus {
  return Object.freeze(readStatus(type, wire)) as RemoteStatus
}

/** The status that an entry of the log holds. */
export function fromEntry({ _id, _source }: WireHit): LoggedStatus {
  const [[type, wire] = ['', undefined]] = Object.entries(_source)
  return Object.freeze({ executionId: _id, ...readStatus(type, wire as WireStatus) }) as LoggedStatus
}

/** Its texts are bounded here too, as the server may be another one. */
function readStatus(type: string, { id, state, infos, error, count, ...wire }: WireStatus): object {
  return {
    state,
    type,
    id,
    startTime: wire.start_time,
    ...(wire.end_time !== undefined && { endTime: wire.end_time }),
    infos: shortened(infos, maxMessage),
    ...(error !== undefined && { error: boundedMessages(error) }),
    count,
    ...(wire.last_id !== undefined && { lastId: shortened(wire.last_id, maxLastId) }),
    ...(wire.detail && { detail: readDetail(wire.detail) }),
  }
}

/** A detail, its names as in TypeScript. */
function readDetail(detail: WireDetail): RemoteDetail {
  const { failure } = detail
  return Object.freeze({ ...named(detail), ...(failure && { failure: named(failure) }) }) as RemoteDetail
}

function named(fields: object): object {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [toOptionName(name), value]))
}

function toOptionName(name: string): string {
  return name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())
}

/** The name of a query parameter on the wire: `startTimeFrom` is `start_time_from`. */
export function toWireName(option: string): string {
  return option.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

/** Whether the status is of an execution that has ended. */
export function hasEnded<Status extends RemoteStatus>(status: Status): status is Status & RemoteEndedStatus {
  return isEnded(status.state)
}
