import { computed, effect, signal } from '@preact/signals'
import type { RemoteJob } from '../../../client/index.js'
import { hasEnded } from '../../../wire/index.js'
import type { Status } from './detail.js'
import { addSample } from './rates.js'
import { client, codeOf, hasEvents, reach } from './server.js'

/** A job: what the server defines, and the last status that is known. */
export interface Job {
  readonly key: string
  readonly type: string
  readonly id: string
  /** Absent for a job that another registry defines. */
  readonly definition?: RemoteJob
  readonly status?: Status
}

/** All jobs, by their keys. `undefined` until the server has answered. */
export const jobs = signal<ReadonlyMap<string, Job> | undefined>(undefined)

/** Why the jobs could not be read the last time. */
export const jobsError = signal<unknown>(undefined)

/** When the jobs were last read, by the clock of this browser. */
export const lastRead = signal(Date.now())

/** How many runs have ended since the page was opened. */
export const endedCount = signal(0)

/** The jobs by type and id. */
export const sortedJobs = computed(() =>
  [...(jobs.value?.values() ?? [])].sort((one, other) => compare(one.type, other.type) || compare(one.id, other.id)),
)

/** The pause of all jobs, if there is one. */
export const pauseOfAll = computed(() => {
  for (const { definition } of jobs.value?.values() ?? []) if (definition?.paused?.isOfAll) return definition.paused
  return undefined
})

/** How long the list of jobs is at least left as it is, in milliseconds. Events change it in between. */
const refreshInterval = 30_000
const shortestRefresh = 4000
const secondRead = 1000
const pollInterval = 5000
const retryAfter = 3000

/** How long events are collected before the page changes, in milliseconds. A long list takes a while to change. */
const collectFor = 250
const collectForMany = 1000
const many = 200

/** The key of a job. */
export function keyOf(type: string, id: string): string {
  return JSON.stringify([type, id])
}

/** Whether a job runs or waits. */
export function isLive({ status }: Pick<Job, 'status'>): boolean {
  return status !== undefined && !hasEnded(status)
}

let refreshing: Promise<void> | undefined
let refreshedAt = 0

/** Reads the jobs of the server again. */
export function refreshJobs(): Promise<void> {
  refreshing ??= readJobs().finally(() => {
    refreshing = undefined
    refreshedAt = Date.now()
  })
  return refreshing
}

/** Reads the jobs after something was changed: a read that is under way may not know of that. */
export async function rereadJobs(): Promise<void> {
  await refreshing
  await refreshJobs()
}

async function readJobs(): Promise<void> {
  const asked = jobs.value ?? new Map<string, Job>()
  try {
    const read = await client.jobs()
    const next = new Map<string, Job>()
    for (const definition of read) {
      const { type, id } = definition
      const key = keyOf(type, id)
      const known = jobs.value?.get(key)
      // An event that came meanwhile is newer than the list.
      const isNewer = known !== asked.get(key)
      const status = isNewer ? known?.status : newerOf(definition.status, known?.status)
      next.set(key, { key, type, id, definition, ...(status && { status }) })
      if (hasEvents.value === false && status) addSample(key, status)
    }
    for (const [key, job] of jobs.value ?? []) if (!next.has(key) && job.definition === undefined) next.set(key, job)
    jobs.value = next
    jobsError.value = undefined
    lastRead.value = Date.now()
  } catch (error) {
    jobsError.value = error
    if (codeOf(error) === 'forbidden') reach.value = 'forbidden'
  }
}

/** The status of the list, or that of an event about the same execution that is further. */
function newerOf(status: Status | undefined, known: Status | undefined): Status | undefined {
  if (!status || known?.startTime !== status.startTime) return status
  return known.state === status.state && known.count >= status.count ? known : withIdOf(known, status)
}

/** A status with the id of its execution as another status of the same run has it. */
function withIdOf(known: Status | undefined, status: Status): Status {
  const { executionId } = known?.startTime === status.startTime ? known : {}
  return executionId === undefined ? status : { executionId, ...status }
}

/** Takes a status that the server has just sent. */
export function takeStatus(status: Status): void {
  if (collected.push(status) > 1) return
  setTimeout(applyCollected, (jobs.value?.size ?? 0) > many ? collectForMany : collectFor)
}

const collected: Status[] = []

function applyCollected(): void {
  // The first list comes first.
  if (jobs.value === undefined && refreshing) return void setTimeout(applyCollected, collectFor)
  const next = new Map(jobs.value)
  let ended = 0
  for (const status of collected.splice(0)) {
    const key = keyOf(status.type, status.id)
    const job = next.get(key) ?? { key, type: status.type, id: status.id }
    if (job.status && isOlder(status, job.status)) continue
    addSample(key, status)
    if (hasEnded(status) && isLive(job)) ended++
    next.set(key, { ...job, status: withIdOf(job.status, status) })
  }
  jobs.value = next
  endedCount.value += ended
  if (ended > 0) refreshSoon()
}

/** Whether a status is of an earlier run, or of an earlier state: the answer to a call may come after events that followed it. */
function isOlder(status: Status, known: Status): boolean {
  if (status.startTime !== known.startTime) return status.startTime < known.startTime
  return stageOf(status) < stageOf(known)
}

function stageOf(status: Status): number {
  return hasEnded(status) ? 3 : ['queued', 'running', 'aborting'].indexOf(status.state)
}

let isRefreshDue = false

/** Reads the jobs again a little later: a schedule has another next run, and a pause may have begun. */
function refreshSoon(apart = shortestRefresh): void {
  if (isRefreshDue) return
  isRefreshDue = true
  const refresh = () => {
    isRefreshDue = false
    void refreshJobs()
  }
  setTimeout(refresh, Math.max(0, refreshedAt + apart - Date.now()))
}

/** Reads the jobs, and follows them for as long as the page is open. */
export function followJobs(): void {
  void refreshJobs()
  void follow()
  // What changed after the jobs were read and before the stream was open, no event tells. The first list is drawn before that.
  effect(() => {
    if (hasEvents.value) void Promise.resolve(refreshing).then(() => refreshSoon(secondRead))
  })
  setInterval(() => {
    const isDue = Date.now() - refreshedAt > (hasEvents.value === false ? pollInterval : refreshInterval)
    const isAway = reach.value === 'offline' || reach.value === 'expired' || jobsError.value !== undefined
    if ((isDue || isAway) && !document.hidden) void refreshJobs()
  }, 2500)
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden && Date.now() - refreshedAt > pollInterval) void refreshJobs()
  })
}

async function follow(): Promise<void> {
  for (;;) {
    try {
      for await (const { status } of client.events({ includeQueued: true, onGap: () => void refreshJobs() }))
        takeStatus(status)
    } catch (error) {
      hasEvents.value = false
      // A server whose storage cannot be watched, or a user who may read only.
      if (['invalid_options', 'not_supported', 'forbidden'].includes(codeOf(error) ?? '')) return
    }
    await new Promise((resolve) => setTimeout(resolve, retryAfter))
  }
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0
}
