import { isIngestionType, type Status } from '../data/detail.js'
import { formatCount, nameOf } from '../data/format.js'
import { linkTo, type RunNames } from '../data/route.js'

/** The names of a job. */
type JobNames = Pick<Status, 'type' | 'id'>

/** What a run counts: an ingestion its records, a job of one's own whatever it reports, if it reports anything. */
type Counted = Pick<Status, 'type' | 'count' | 'state'>

/** Whether a run counts something that can be shown. */
export function hasRecords({ type, count, state }: Counted): boolean {
  return state !== 'queued' && (count > 0 || isIngestionType(type))
}

/** What the counts of a job are called. */
export function countTitle(run: Pick<Status, 'type'> | undefined): string {
  return isIngestionType(run?.type ?? '') ? 'Records' : 'Count'
}

/** A count with the word for what it counts. */
export function countText({ type, count }: Pick<Status, 'type' | 'count'>): string {
  return isIngestionType(type) ? `${formatCount(count)} records` : `count ${formatCount(count)}`
}

/** How many records a run has set aside, although it may have succeeded: a link to the last of them. */
export function FailedCount({ failed, job, run }: { failed: number; job: JobNames; run?: RunNames }) {
  const { type, id } = job
  if (failed === 0) return null
  return (
    <a
      class="failed-count is-error"
      href={linkTo({ view: 'job', type, id, ...(run && { run }), toFailures: true })}
      aria-label={`${formatCount(failed)} failed records of ${nameOf(job)}`}
    >
      {formatCount(failed)} failed
    </a>
  )
}

/** The count of a run in a table. */
export function CountCell({ status }: { status: Counted | undefined }) {
  const isShown = status && hasRecords(status)
  return (
    <td data-label={isIngestionType(status?.type ?? '') ? 'Records' : 'Count'} class="number">
      {isShown ? formatCount(status.count) : <span class="muted">–</span>}
    </td>
  )
}
