import { effect, signal } from '@preact/signals'
import { hasEnded } from '../../../wire/index.js'
import { isSameRun, messagesOf, stateWords } from './detail.js'
import { formatCount, nameOf } from './format.js'
import { type Job, jobs } from './jobs.js'
import { route } from './route.js'

/** What a screen reader says of runs that have ended. It is said when it changes. */
export const announced = signal('')

/** Up to how many ends are said by name. */
const most = 3

/** How long an announcement stands, in milliseconds: the next one may have the same words. */
const shownFor = 5000

/** Announces the ends of the runs that the view shows, for as long as the page is open. */
export function announceEnds(): void {
  let before: ReadonlyMap<string, Job> | undefined
  let timer: ReturnType<typeof setTimeout> | undefined
  effect(() => {
    const { value: after } = jobs
    const ended = [...(after?.values() ?? [])].filter((job) => hasJustEnded(before?.get(job.key), job))
    before = after
    const { view, ...shown } = route.peek() as { view: string; type?: string; id?: string }
    const told = ended.filter(({ type, id }) => view === 'overview' || (type === shown.type && id === shown.id))
    if (view === 'log' || told.length === 0) return
    announced.value = told.length > most ? `${formatCount(told.length)} runs have ended.` : told.map(endOf).join(' ')
    clearTimeout(timer)
    timer = setTimeout(() => {
      announced.value = ''
    }, shownFor)
  })
}

function hasJustEnded(before: Job | undefined, { status }: Job): boolean {
  if (!before?.status || !status || before.status === status) return false
  return !hasEnded(before.status) && hasEnded(status) && isSameRun(before.status, status)
}

function endOf({ type, id, status }: Job): string {
  const cause = status?.state === 'error' ? `: ${messagesOf(status).at(-1)?.slice(0, 200)}` : '.'
  return `${nameOf({ type, id })}: ${stateWords[status?.state ?? 'never'].toLowerCase()}${cause}`
}
