import { isEnded, isLive, isState, type JobState } from '../core/model/index.js'
import type { WireDetail, WireHit, WireHits, WireJob, WireStatus } from '../wire/index.js'

// Checks of answers. The answer may come from another server, or from a cache that mixes answers up.

/** What a call asks about. */
export interface Asked {
  readonly type?: string | undefined
  readonly id?: string | undefined
  readonly state?: JobState | undefined
  /** Whether each status has a detail. */
  readonly detail?: boolean | undefined
}

/** What a call for a page asks about. */
export interface AskedPage extends Asked {
  readonly size?: number | undefined
}

/** Whether a body is about a job. */
export function isJob(body: unknown, hasDetail = false): body is WireJob {
  const { _id, type, found, status } = fieldsOf(body)
  if (!isText(_id) || !isText(type) || typeof found !== 'boolean') return false
  return status === undefined || (found && isStatus(status, _id, hasDetail))
}

/** Returns a check that a body is about the job that the call asked for. */
export function isJobOf({ type, id, detail }: Asked): (body: unknown) => body is WireJob {
  return (body): body is WireJob => isJob(body, detail) && body.type === type && body._id === id
}

/** Returns a check that a body has a status of the job that the call asked for. */
export function isStatusOf(asked: Asked): (body: unknown) => body is WireJob {
  return (body): body is WireJob => isJobOf(asked)(body) && body.status !== undefined
}

/** Returns a check of the answer to an abort: a status of the job, unless the server does not know it. */
export function isAbortOf(asked: Asked): (body: unknown) => body is WireJob {
  return (body): body is WireJob => isJobOf(asked)(body) && (body.status !== undefined || !body.found)
}

/** Returns a check that a body is a list of live jobs of a type. */
export function isJobsOf({ type, detail }: Asked): (body: unknown) => body is WireHits<WireJob> {
  const isHit = (hit: unknown) =>
    isJob(hit, detail) && hit.status !== undefined && isLive(hit.status.state) && hit.type === type
  return (body): body is WireHits<WireJob> => isList(body, isHit)
}

/** How many entries a page of the log has at most, unless the call asks for a size. */
const defaultSize = 10

/** Returns a check that a body is a page of the log, with matching entries only, and no more than were asked for. */
export function isLogOf({ size = defaultSize, ...asked }: AskedPage): (body: unknown) => body is WireHits<WireHit> {
  const isHit = (hit: unknown) => isEntry(hit, asked.detail) && isAbout(asked, hit)
  return (body): body is WireHits<WireHit> => isList(body, isHit, size)
}

/** Whether an entry of the log matches the call. */
export function isAbout({ type, id, state }: Asked, { _source }: WireHit): boolean {
  const [[ofType, status] = ['', undefined]] = Object.entries(_source)
  return (type ?? ofType) === ofType && (id ?? status?.id) === status?.id && (state ?? status?.state) === status?.state
}

/** Whether a value is an entry of the log. */
export function isEntry(value: unknown, hasDetail = false): value is WireHit {
  const { _id, _source } = fieldsOf(value)
  const [status, ...more] = Object.values(fieldsOf(_source))
  return isText(_id) && more.length === 0 && isStatus(status, undefined, hasDetail) && _id.startsWith(status.id)
}

export function isList(body: unknown, isHit: (hit: unknown) => boolean, size = Number.POSITIVE_INFINITY): boolean {
  const { total, hits } = fieldsOf(fieldsOf(body).hits)
  return isWhole(total) && Array.isArray(hits) && hits.length <= size && hits.every(isHit)
}

/** Whether a value is a status whose fields do not contradict each other. */
function isStatus(value: unknown, ofId: unknown, hasDetail: boolean): value is WireStatus {
  const { version, id, state, count, start_time, infos, last_id = '', ...fields } = fieldsOf(value)
  if (!isState(state) || version !== 1 || (ofId ?? id) !== id) return false
  const isAborting = state === 'aborting' || state === 'aborted'
  return (
    [id, infos, last_id].every(isText) &&
    isWhole(count) &&
    isTime(start_time) &&
    fields.is_running === (state === 'running' || state === 'aborting') &&
    fields.is_aborting === (isAborting || undefined) &&
    (isEnded(state) ? isTime(fields.end_time) : fields.end_time === undefined) &&
    (state === 'error' ? areTexts(fields.error) : fields.error === undefined) &&
    (hasDetail ? isDetail(fields.detail, id as string) : fields.detail === undefined)
  )
}

function isDetail(value: unknown, id: string): value is WireDetail {
  const { execution_id, params = {}, progress = {}, log = [], failure = {}, ...texts } = fieldsOf(value)
  return (
    isText(execution_id) &&
    execution_id.startsWith(id) &&
    [params, progress, failure].every(
      (fields) => typeof fields === 'object' && fields !== null && !Array.isArray(fields),
    ) &&
    areTexts(log) &&
    [texts.node ?? '', texts.resumed_from ?? '', texts.abort_reason ?? ''].every(isText)
  )
}

export function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
}

export function isText(value: unknown): value is string {
  return typeof value === 'string'
}

function areTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every(isText)
}

/** Whether a value is a time that a date can have, in epoch milliseconds. */
export function isTime(value: unknown): boolean {
  return isWhole(value) && (value as number) <= 8.64e15
}

export function isWhole(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
