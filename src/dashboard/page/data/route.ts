import { signal } from '@preact/signals'

/** Filters of the log, as texts. */
export type LogQuery = Readonly<Record<'type' | 'id' | 'state' | 'from' | 'to' | 'page', string>>

/** Which jobs the overview lists. */
export const shownJobs = ['all', 'running', 'failing', 'queued', 'scheduled', 'paused'] as const

/** Which jobs the overview lists. */
export type ShownJobs = (typeof shownJobs)[number]

/** Names a run in the log. */
export interface RunNames {
  readonly executionId: string
  readonly startTime: number
}

/** A view of the page, with what it shows. */
export type Route =
  | { view: 'overview'; show: ShownJobs; find: string }
  | { view: 'job'; type: string; id: string; run?: RunNames; toFailures?: boolean }
  | { view: 'log'; query: LogQuery }
  | { view: 'unknown' }

/** The overview with all jobs. */
export const home: Route & { view: 'overview' } = { view: 'overview', show: 'all', find: '' }

/** The log without filters. */
export const wholeLog: Route & { view: 'log' } = {
  view: 'log',
  query: { type: '', id: '', state: '', from: '', to: '', page: '' },
}

/** The view that the address names. */
export const route = signal(parse(location.hash))

/** Follows the address. */
export function startRouting(onChange: (before: Route) => void): void {
  window.addEventListener('hashchange', () => {
    const before = route.value
    route.value = parse(location.hash)
    onChange(before)
  })
}

/** Changes the address without a new entry in the history, such as while somebody types. */
export function replaceRoute(to: Route): void {
  history.replaceState(null, '', linkTo(to))
  route.value = to
}

/** The address of a view. */
export function linkTo(to: Route): string {
  if (to.view === 'overview') return `#/${queryOf({ show: to.show === 'all' ? '' : to.show, find: to.find })}`
  if (to.view === 'log') return `#/log${queryOf(to.query)}`
  if (to.view === 'unknown') return '#/'
  const { executionId: run = '', startTime: at = '' } = to.run ?? {}
  const query = queryOf({ run, at: String(at), show: to.toFailures ? 'failed' : '' })
  return `#/job/${encodeURIComponent(to.type)}/${encodeURIComponent(to.id)}${query}`
}

/** The address of a job, or of one of its runs. */
export function linkToJob(type: string, id: string, run?: RunNames): string {
  return linkTo({ view: 'job', type, id, ...(run && { run }) })
}

/** The minute of a time, as a field for times has it. */
export function minuteOf(time: number): string {
  if (Math.abs(time) > 8.64e15) return ''
  return new Date(time - 60_000 * new Date(time).getTimezoneOffset()).toISOString().slice(0, 16)
}

function parse(hash: string): Route {
  const [, path = '', search = ''] = /^#?([^?]*)\??(.*)$/s.exec(hash) ?? []
  const query = new URLSearchParams(search)
  const read = (name: string) => query.get(name) ?? ''
  const [, view = '', type, id, ...more] = path.split('/')
  if (view === '') {
    const show = shownJobs.find((one) => one === read('show')) ?? 'all'
    return { view: 'overview', show, find: read('find') }
  }
  if (view === 'log' && type === undefined) {
    const { query: empty } = wholeLog
    const given = Object.fromEntries(Object.keys(empty).map((name) => [name, read(name)]))
    return { view: 'log', query: { ...empty, ...given } }
  }
  if (view === 'job' && type && id && more.length === 0) {
    const toFailures = read('show') === 'failed'
    return { ...jobRoute(type, id, read('run'), Number(read('at'))), ...(toFailures && { toFailures }) }
  }
  return { view: 'unknown' }
}

function jobRoute(type: string, id: string, executionId: string, startTime: number): Route {
  try {
    const job = { view: 'job', type: decodeURIComponent(type), id: decodeURIComponent(id) } as const
    return executionId === '' ? job : { ...job, run: { executionId, startTime } }
  } catch {
    return { view: 'unknown' }
  }
}

function queryOf(values: Record<string, string>): string {
  const given = Object.entries(values).filter(([, value]) => value !== '')
  return given.length === 0 ? '' : `?${new URLSearchParams(given)}`
}
