import { JobError, type JobErrorCode, jobErrorCodes } from '../core/errors.js'
import { isEnded, isLive, type JobState } from '../core/lifecycle.js'
import type { EndedStatus, JobStatus, LiveStatus } from '../core/status.js'
import type { SearchResult } from '../core/storage.js'

// Shared with `headgate/client`, so that a browser gets no more than this: no part of the door is imported.

/** A status as the protocol prints it. */
export interface WireStatus {
  /** The version of the form. */
  version: 1
  /** The job's id. */
  id: string
  /** Whether the execution runs, also while it aborts. */
  is_running: boolean
  /** An abort was asked for; stays on the aborted status. */
  is_aborting?: true
  /** When it began, in epoch milliseconds. */
  start_time: number
  /** When it ended, in epoch milliseconds. */
  end_time?: number
  /** One sentence for a person. */
  infos: string
  /** The messages of the error and its causes, outermost first; in state `error` only. */
  error?: string[]
  /** Where the execution is in its life. */
  state: JobState
  /** Records processed so far. */
  count: number
  /** The last known value of the primary key column. */
  last_id?: string
}

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

/** A list: of jobs, or of entries of the log. */
export interface WireHits<Hit> {
  hits: {
    /** How many match in all. */
    total: number
    hits: Hit[]
  }
}

/** The answer to a call that went wrong. */
export interface WireError {
  error: {
    /** What went wrong, for programs. */
    type: WireErrorType
    /** What went wrong, for people. */
    reason: string
  }
  /** The HTTP status. */
  status: number
}

/** The type of an error body, and the HTTP status that it comes with. */
export const wireErrors = {
  invalid_request: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  not_defined: 404,
  method_not_allowed: 405,
  already_running: 409,
  uri_too_long: 414,
  internal: 500,
  closed: 503,
  storage: 503,
} as const

/** What went wrong, for programs. */
export type WireErrorType = keyof typeof wireErrors

/** What the wire makes of the codes that a caller may hear about. */
const errorTypes: Partial<Record<JobErrorCode, WireErrorType>> = {
  invalid_options: 'invalid_request',
  not_defined: 'not_defined',
  already_running: 'already_running',
  closed: 'closed',
  storage: 'storage',
  unauthorized: 'unauthorized',
  forbidden: 'forbidden',
}

/** The body of an error. */
export function errorBody(type: WireErrorType, reason: string): WireError {
  return { error: { type, reason }, status: wireErrors[type] }
}

/** The body of what is nobody's business. */
export const internalError = errorBody('internal', 'The call could not be answered.')

/** The body of what was thrown. What is not the caller's fault is told without details. */
export function thrownBody(error: unknown): WireError {
  const type = JobError.isInstance(error) ? errorTypes[error.code] : undefined
  if (type === undefined) return internalError
  const { code, message } = error as JobError
  return errorBody(type, wireErrors[type] < 500 ? message : jobErrorCodes[code])
}

/** The error that a body tells of, whatever came as one: what no code is known for is the server's. */
export function toError(body: unknown, status: number): JobError {
  const { error } = Object(body) as Partial<WireError>
  const [known] = Object.entries(errorTypes).find(([, type]) => type === error?.type) ?? []
  const code = (known ?? 'server') as JobErrorCode
  const reason =
    typeof error?.reason === 'string'
      ? shortened(error.reason, maxMessage)
      : `The answer is not one of the jobs API: HTTP status ${status}.`
  return new JobError(code, reason, { isTransient: status >= 500 || status === 429 })
}

/** A status as the protocol prints it, its keys in the protocol's order. */
export function toWire(status: JobStatus): WireStatus {
  const { id, startTime, infos, state, count, lastId } = status
  return {
    version: 1,
    id,
    is_running: isLive(state) && state !== 'queued',
    ...((state === 'aborting' || state === 'aborted') && { is_aborting: true }),
    start_time: startTime,
    ...('endTime' in status && { end_time: status.endTime }),
    infos,
    ...('error' in status && { error: status.error.slice(0, maxMessages).map((text) => shortened(text, maxMessage)) }),
    state,
    count,
    ...(lastId !== undefined && { last_id: shortened(lastId, maxLastId) }),
  }
}

/** The most that an answer holds of one execution, whatever storage does: messages, and the characters of one and of a last id. */
const maxMessages = 20
const maxMessage = 2001
const maxLastId = 32_768

function shortened(text: string, max: number): string {
  return text.length > max ? `${text.slice(0, max - 1)}…` : text
}

/** The body about a job that is defined or has run. */
export function foundBody(type: string, id: string, status?: JobStatus): WireJob {
  return { _id: id, type, found: true, ...(status && { status: toWire(status) }) }
}

/** The body about a job that nobody knows. */
export function notFoundBody(type: string, id: string): WireJob {
  return { _id: id, type, found: false }
}

/** The body of a list of jobs. */
export function jobsBody(statuses: readonly JobStatus[]): WireHits<WireJob> {
  const hits = statuses.map((status) => foundBody(status.type, status.id, status))
  return { hits: { total: hits.length, hits } }
}

/** The body of a page of the log. */
export function searchBody({ total, hits }: SearchResult<JobStatus>): WireHits<WireHit> {
  return { hits: { total, hits: hits.map(toEntry) } }
}

/** A status as an entry of the log, which is also what an event tells. */
export function toEntry(status: JobStatus): WireHit {
  return { _id: status.executionId, _source: { [status.type]: toWire(status) } }
}

type Seen<Status> = Status extends JobStatus ? Omit<Status, 'executionId' | 'detail' | 'resumedFrom'> : never

/** A status of a job of a server: what the wire holds of a `JobStatus`. */
export type RemoteStatus = Seen<JobStatus>

/** The status of an execution of a server that holds its job. */
export type RemoteLiveStatus = Seen<LiveStatus>

/** The status of an execution of a server that has ended. */
export type RemoteEndedStatus = Seen<EndedStatus>

/** A status of a server with the id of its execution, as the log and events have it. */
export type LoggedStatus = RemoteStatus & {
  /** The id of the execution in the log: the job's id followed by a time-ordered UUID. */
  executionId: string
}

/** The status that the protocol prints. It is frozen, like those of a registry. */
export function fromWire(type: string, wire: WireStatus): RemoteStatus {
  return Object.freeze(readStatus(type, wire)) as RemoteStatus
}

/** The status that an entry of the log holds. */
export function fromEntry({ _id, _source }: WireHit): LoggedStatus {
  const [[type, wire] = ['', undefined]] = Object.entries(_source)
  return Object.freeze({ executionId: _id, ...readStatus(type, wire as WireStatus) }) as LoggedStatus
}

function readStatus(type: string, { id, state, infos, error, count, ...wire }: WireStatus): object {
  return {
    state,
    type,
    id,
    startTime: wire.start_time,
    ...(wire.end_time !== undefined && { endTime: wire.end_time }),
    infos,
    ...(error !== undefined && { error }),
    count,
    ...(wire.last_id !== undefined && { lastId: wire.last_id }),
  }
}

/** The name of a query parameter on the wire: `startTimeFrom` is `start_time_from`. */
export function toWireName(option: string): string {
  return option.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

/** Whether the status is of an execution that has ended. */
export function hasEnded<Status extends RemoteStatus>(status: Status): status is Status & RemoteEndedStatus {
  return isEnded(status.state)
}
