import { type ExecutionRecord, isEnded, isLive, isState } from '../model/index.js'
import type { BeginRequest } from './job-storage.js'

/** The last time of a date, in epoch milliseconds. A lease beyond it was granted by nobody, and has expired. */
const lastTime = 8.64e15

/**
 * Whether an execution may begin after the last one of its job. For implementations of `begin`. `now` is the time of the storage: an
 * execution that has ended although its state is live, as others may have written it, may still run until its lease expires.
 */
export function canBegin(
  { resumedFrom, scheduledFor }: BeginRequest,
  last: ExecutionRecord,
  now = Number.POSITIVE_INFINITY,
): boolean {
  const isNext = resumedFrom === undefined || (last.isOrphaned === true && last.executionId === resumedFrom)
  const isLater = scheduledFor === undefined || last.scheduledFor === undefined || scheduledFor > last.scheduledFor
  // A later version may have ended it in a state that is unknown here.
  const hasEnded = isEnded(last.state) || last.endTime !== undefined
  const leaseUntil = last.leaseUntil ?? Number.NEGATIVE_INFINITY
  const mayStillRun = isState(last.state) && isLive(last.state) && leaseUntil > now && leaseUntil <= lastTime
  return hasEnded && !mayStillRun && isNext && isLater
}

/** The error of an execution with an expired lease, for the storage that settles it. */
export function leaseExpired(record: Pick<ExecutionRecord, 'node' | 'leaseUntil'>): string[] {
  const until = timeOf(record.leaseUntil ?? 0)
  return ['The node that ran the job stopped answering.', `The lease of node [${record.node}] expired at ${until}.`]
}

/** A time as text, even if it exceeds the range of a date. */
function timeOf(time: number): string {
  const date = new Date(time)
  return Number.isNaN(date.getTime()) ? String(time) : date.toISOString()
}
