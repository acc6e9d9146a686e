import type { WireDefinedJob, WireHealth, WireHits, WirePaused, WireUnpaused } from '../wire/index.js'
import { type Asked, fieldsOf, isJob, isList, isText, isTime, isWhole } from './answers.js'

/** Returns a check that a body is a list of defined jobs. */
export function areDefinedJobs(hasDetail?: boolean): (body: unknown) => body is WireHits<WireDefinedJob> {
  return (body): body is WireHits<WireDefinedJob> => isList(body, (job) => isDefinedJob(job, hasDetail))
}

function isDefinedJob(value: unknown, hasDetail?: boolean): boolean {
  if (!isJob(value, hasDetail) || !value.found) return false
  const { datasource = '', target = '', full_refresh = 'merge', schedule, next_run = 0, paused } = fieldsOf(value)
  return (
    [datasource, target].every(isText) &&
    ['replace', 'merge', 'truncate'].includes(full_refresh as string) &&
    isTime(next_run) &&
    (schedule === undefined || isSchedule(schedule)) &&
    (paused === undefined || isPause(paused))
  )
}

function isSchedule(value: unknown): boolean {
  const { cron, time_zone, every } = fieldsOf(value)
  return cron === undefined ? Number.isSafeInteger(every) : isText(cron) && isText(time_zone)
}

function isPause(value: unknown): boolean {
  const { since, of_all, reason = '', by = '' } = fieldsOf(value)
  return isTime(since) && typeof of_all === 'boolean' && [reason, by].every(isText)
}

/** Whether a body is the health of a registry. */
export function isHealth(body: unknown): body is WireHealth {
  const {
    status,
    node,
    storage,
    running,
    queued,
    lease_ms,
    oldest_renewal_ms = 0,
    overdue = [],
    queue_problem = '',
  } = fieldsOf(body)
  const { reachable, latency_ms, error = '' } = fieldsOf(storage)
  return (
    [status, node, error, queue_problem].every(isText) &&
    typeof reachable === 'boolean' &&
    [running, queued, lease_ms, latency_ms, oldest_renewal_ms].every(isWhole) &&
    Array.isArray(overdue) &&
    overdue.every((job) => {
      const { _id, type, since } = fieldsOf(job)
      return isText(_id) && isText(type) && isTime(since)
    })
  )
}

/** Returns a check that a body is about the pause that the call asked for. */
export function isPausedOf(asked: Asked): (body: unknown) => body is WirePaused {
  return (body): body is WirePaused => isAbout(asked, body) && isPause(fieldsOf(body).paused)
}

/** Returns a check that a body is about the end of the pause that the call asked for. */
export function isUnpausedOf(asked: Asked): (body: unknown) => body is WireUnpaused {
  return (body): body is WireUnpaused => isAbout(asked, body) && typeof fieldsOf(body).was_paused === 'boolean'
}

function isAbout({ type, id }: Asked, body: unknown): boolean {
  const fields = fieldsOf(body)
  return fields.type === type && fields._id === id
}
