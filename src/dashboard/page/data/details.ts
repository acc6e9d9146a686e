import { computed, effect, signal } from '@preact/signals'
import { detailOf, type Status } from './detail.js'
import { isLive, type Job, jobs, keyOf } from './jobs.js'
import { route } from './route.js'
import { client } from './server.js'

/** How often the details of live runs are read while somebody can see them, in milliseconds. Events do not have them. */
const interval = 2000

/** Up to how many live runs have details. */
const most = 200

const details = signal<ReadonlyMap<string, Status>>(new Map())

/** The status of a job with the last detail of the same run. A count beside other figures is of the same moment as they are. */
export function withDetail(job: Job): Status | undefined {
  const { status } = job
  if (!status || !isLive(job)) return status
  const known = details.value.get(job.key)
  return known?.startTime !== status.startTime || status.detail ? status : withFiguresOf(known, status)
}

/** A status with the detail of an earlier one of the same run, and with its counts if the detail has figures too. */
export function withFiguresOf(earlier: Status, status: Status): Status {
  const { executionId, count, lastId, detail = {} } = earlier
  const named = { ...status, ...(executionId !== undefined && { executionId }), detail }
  if (detailOf(earlier).progress === undefined) return named
  return { ...named, count, ...(lastId !== undefined && { lastId }) }
}

/** The view of a job needs no details of others. */
function shownJob(): { type: string; id: string } | undefined {
  const { value: shown } = route
  return shown.view === 'job' ? { type: shown.type, id: shown.id } : undefined
}

/** Reads the details of what runs, for as long as the page is open, and at once when another view is shown. */
export function followDetails(): void {
  const shown = computed(() => JSON.stringify([route.value.view, shownJob()]))
  const read = async () => {
    const runs = [...(jobs.value?.values() ?? [])].some((job) => isLive(job) && job.status?.state !== 'queued')
    if (!runs || document.hidden || route.value.view === 'log') return
    const { value: asked } = shown
    const { hits } = await client.search({ ...shownJob(), state: 'running', size: most, detail: true })
    if (asked === shown.value)
      details.value = new Map(hits.map((status): [string, Status] => [keyOf(status.type, status.id), status]))
  }
  let timer: ReturnType<typeof setTimeout> | undefined
  const readIn = (delay: number) => {
    clearTimeout(timer)
    timer = setTimeout(() => read().then(again, forget), delay)
  }
  const again = () => readIn(interval)
  const forget = () => {
    // Without details, a run is shown with what its events say.
    details.value = new Map()
    again()
  }
  let delay = interval / 4
  effect(() => {
    if (shown.value) readIn(delay)
    delay = 0
  })
}
