import { type JobState, jobStates } from '../core/lifecycle.js'
import type { WireHit, WireHits, WireJob, WireStatus } from '../http/wire-bodies.js'

// What an answer must be for it to be read: whoever answers may be no server of headgate.

/** Whether a body is that of a job. */
export function isJob(body: unknown): body is WireJob {
  const { _id, type, found, status } = fieldsOf(body)
  return isText(_id) && isText(type) && typeof found === 'boolean' && (status === undefined || isStatus(status))
}

/** Whether a body is that of a job that has a status. */
export function isJobWithStatus(body: unknown): body is WireJob {
  return isJob(body) && body.status !== undefined
}

/** Whether a body is that of a call about a job that stops, or that nobody knows. */
export function isAborted(body: unknown): body is WireJob {
  return isJob(body) && (body.status !== undefined || !body.found)
}

/** Whether a body is a list of jobs. */
export function isJobs(body: unknown): body is WireHits<WireJob> {
  return isList(body, isJobWithStatus)
}

/** Whether a body is a page of the log. */
export function isLog(body: unknown): body is WireHits<WireHit> {
  return isList(body, isEntry)
}

/** Whether something is an entry of the log. */
export function isEntry(value: unknown): value is WireHit {
  const { _id, _source } = fieldsOf(value)
  const statuses = Object.values(fieldsOf(_source))
  return isText(_id) && statuses.length === 1 && isStatus(statuses[0])
}

function isList(body: unknown, isHit: (hit: unknown) => boolean): boolean {
  const { total, hits } = fieldsOf(fieldsOf(body).hits)
  return isNumber(total) && Array.isArray(hits) && hits.every(isHit)
}

function isStatus(value: unknown): value is WireStatus {
  const { id, state, count, start_time = 0, end_time = 0, infos = '', last_id = '', error = [] } = fieldsOf(value)
  return (
    [id, infos, last_id].every(isText) &&
    [count, start_time, end_time].every(isNumber) &&
    jobStates.includes(state as JobState) &&
    Array.isArray(error) &&
    error.every(isText)
  )
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}

function isNumber(value: unknown): boolean {
  return Number.isFinite(value)
}
