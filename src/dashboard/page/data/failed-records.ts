import { computed, effect, signal } from '@preact/signals'
import { detailOf, numberOf, type Status } from './detail.js'
import { endedCount, isLive, type Job, jobs, keyOf } from './jobs.js'
import { remedyFor } from './next-steps.js'
import { route } from './route.js'
import { client } from './server.js'

/** How long after an end, how far apart, and how often without one the details of the last runs are read, in milliseconds. */
const readAfter = 1000
const readApart = 15_000
const readEvery = 60_000

/** What the details of a last run tell: when it began, how many records have failed, whether a retry may help, and with which parameters. */
interface LastRun {
  readonly startTime: number
  readonly failed: number
  readonly mayRetry: boolean
  readonly params: Record<string, unknown> | undefined
}

const known = signal<ReadonlyMap<string, LastRun>>(new Map())

/** How many records of a run have failed, where it tells that. */
export function failedOf(status: Status | undefined): number {
  return numberOf(detailOf(status).progress?.failed) ?? 0
}

/** How many records have failed in the last run of a job. */
export function failedLastOf({ key, status }: Job): number {
  const last = known.value.get(key)
  return last && last.startTime === status?.startTime && 'endTime' in status ? last.failed : 0
}

/** Whether it is known that a retry of the last run of a job may help. */
export function mayRetry({ key, status }: Job): boolean {
  const last = known.value.get(key)
  return last?.mayRetry === true && last.startTime === status?.startTime
}

/** A job with the parameters of its last run, which a retry asks for. */
export function withLastParams(job: Job): Job {
  const { status } = job
  const { params, startTime } = known.value.get(job.key) ?? {}
  if (!status || params === undefined || startTime !== status.startTime) return job
  return { ...job, status: { ...status, detail: { ...status.detail, params } } }
}

/** Reads how many records have failed while the overview is shown, for as long as the page is open. The list of jobs does not tell it. */
export function followFailedRecords(): void {
  let timer: ReturnType<typeof setTimeout> | undefined
  let readAt = Number.NEGATIVE_INFINITY
  const readIn = (delay: number) => {
    clearTimeout(timer)
    const wait = Math.max(delay, readAt + readApart - performance.now())
    timer = setTimeout(() => {
      readAt = performance.now()
      read().then(...again)
    }, wait)
  }
  const again = [() => readIn(readEvery), () => readIn(readEvery)] as const
  const hasJobs = computed(() => jobs.value !== undefined)
  effect(() => {
    // With each end anew.
    const isDue = endedCount.value >= 0 && hasJobs.value && route.value.view === 'overview'
    if (isDue) readIn(readAfter)
    else clearTimeout(timer)
  })
}

async function read(): Promise<void> {
  const mayTell = [...(jobs.peek()?.values() ?? [])].some(
    (job) => job.status && !isLive(job) && (job.type === 'ingestion' || job.status.state === 'error'),
  )
  if (!mayTell || document.hidden) return
  const list = await client.jobs({ detail: true })
  known.value = new Map(
    list.flatMap(({ type, id, status }) => {
      const failed = failedOf(status)
      const { failure, params } = detailOf(status)
      const mayRetry = failure !== undefined && !['mend', 'restart'].includes(remedyFor(status))
      return status && (failed > 0 || mayRetry)
        ? [[keyOf(type, id), { startTime: status.startTime, failed, mayRetry, params }]]
        : []
    }),
  )
}
