import { signal } from '@preact/signals'
import type { Status } from './detail.js'
import { isLive, type Job, jobs, keyOf } from './jobs.js'
import { route } from './route.js'
import { client } from './server.js'

/** How often the details of live runs are read while somebody can see them, in milliseconds. Events do not have them. */
const interval = 2000

/** Up to how many live runs have details. */
const most = 200

const details = signal<ReadonlyMap<string, Status>>(new Map())

/** The status of a job with the last detail of the same run. */
export function withDetail(job: Job): Status | undefined {
  const { status } = job
  const known = details.value.get(job.key)
  if (!status || known?.startTime !== status.startTime || status.detail) return status
  const { executionId, detail = {} } = known
  return { ...status, ...(executionId !== undefined && { executionId }), detail }
}

/** The view of a job needs no details of others. */
function shownJob(): { type: string; id: string } | undefined {
  const { value: shown } = route
  return shown.view === 'job' ? { type: shown.type, id: shown.id } : undefined
}

/** Reads the details of what runs, for as long as the page is open. */
export function followDetails(): void {
  const read = async () => {
    const runs = [...(jobs.value?.values() ?? [])].some((job) => isLive(job) && job.status?.state !== 'queued')
    if (!runs || document.hidden || route.value.view === 'log') return
    const { hits } = await client.search({ ...shownJob(), state: 'running', size: most, detail: true })
    details.value = new Map(hits.map((status): [string, Status] => [keyOf(status.type, status.id), status]))
  }
  const readAgain = () => {
    // Without details, a run is shown with what its events say.
    const next = () => setTimeout(readAgain, interval)
    read().then(next, next)
  }
  setTimeout(readAgain, interval / 4)
}
