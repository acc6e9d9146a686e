import { checkValue, invalid, isLive, type JobRegistry, type JobStatus, rule } from '../index.js'
import { calls } from './_calls.js'
import type { EventHub } from './_events.js'
import { health } from './_health.js'
import { hitsText, jsonHeaders } from './_hits.js'
import { type DescribedCall, openApiOf } from './_openapi.js'
import { firstPage, pagesOf, piecesOf } from './_pages.js'
import type { Leavable, ReadGate } from './_read-gate.js'
import type { TextStream } from './_stream.js'
import {
  type abortParameters,
  errorBody,
  type eventParameters,
  foundBody,
  jobsBody,
  notFoundBody,
  type Parameters,
  type readParameters,
  readQuery,
  searchBody,
  searchParameters,
  thrownBody,
  toAbortOptions,
  toEntry,
  type Values,
  type WireErrorType,
  wireErrors,
} from './wire.js'

/** What the API calls of a registry. */
export type ServedRegistry = Pick<
  JobRegistry,
  'has' | 'start' | 'status' | 'running' | 'abort' | 'search' | 'health' | 'on'
> &
  Partial<Pick<JobRegistry, 'redactor'>>

/** What a call does to jobs. */
export type JobsAction = 'read' | 'start' | 'abort' | 'events'

/**
 * The job that a call is about. Its path names it, or a type alone for the list of a type; for `_search` and `_events`, the
 * `type` and the `id` of the query do, one of them or both. Without any, the call is about all jobs.
 */
export interface NamedJob {
  /** The job's type. */
  type?: string
  /** The job's id. */
  id?: string
}

/** An answer before it is printed. */
export interface Reply {
  status: number
  /** What becomes JSON, or a stream that goes out as it is, with a `content-type` among the headers. */
  body: object | TextStream
  headers?: Record<string, string>
  /** Why it is none that one hopes for: messages, for the logger alone. */
  failure?: readonly string[]
}

/** What calls are answered with, beside a registry. */
export interface CallContext {
  /** The path that they are under. */
  readonly base: string
  /** What streams of events come from. */
  readonly hub: EventHub
  /** The request: its method, its headers, by names in any case, and whether its client has gone. */
  readonly request: { readonly method: string; readonly headers: { get(name: string): string | null } } & Leavable
  /** Lets calls read storage. */
  readonly gate: ReadGate
  /** By how much the answer is indented. */
  readonly indent: number
}

/** One call of the API. */
export interface Route extends DescribedCall {
  action: JobsAction
  /** Answers for the job that the path names, with the options that the parameters set. */
  answer(registry: ServedRegistry, job: NamedJob, options: Values<Parameters>, context: CallContext): Promise<Reply>
}

/** Every call of the API. A type never begins with `_`, so no path fits two of them. */
export const routes: readonly Route[] = [
  { ...calls.search, action: 'read', answer: search },
  { ...calls.events, action: 'events', answer: events },
  { ...calls.health, action: 'read', answer: health },
  { ...calls.openapi, action: 'read', answer: describe },
  { ...calls.running, action: 'read', answer: running },
  { ...calls.status, action: 'read', answer: status },
  { ...calls.abort, action: 'abort', answer: abort },
  { ...calls.start, action: 'start', answer: start },
]

const routeOf = new Map(routes.map((route) => [route.path, route]))

/** Whether a path is the base path or under it. The base path `/` is given as nothing. */
export function isUnder(base: string, path: string): boolean {
  return path.startsWith(base) && (path.length === base.length || path[base.length] === '/')
}

/** A call that the API has, of the job that the path names. */
export interface Found {
  route: Route
  job: NamedJob
}

/**
 * The call that a method and a raw path under the base path ask for. Where there is none: what makes the reply, which may
 * quote a long address and waits until somebody is allowed to read it. The base path and the names of calls are literal:
 * only the type and the id are decoded, so a guard that compares the path as it came sees every call.
 */
export function findRoute(method: string, path: string, base: string): Found | (() => Reply) {
  const parts = isUnder(base, path) ? partsOf(path.slice(base.length)) : []
  const route = routeOf.get(templateOf(parts))
  if (!route) return () => refusal('not_found', 'path', pathsUnder(base), path)
  const allowed: readonly string[] = methodsOf[route.method]
  if (!allowed.includes(method)) return () => wrongMethod(allowed, method)
  try {
    return { route, job: jobIn(parts) }
  } catch (error) {
    const body = thrownBody(error)
    return () => ({ status: body.status, body })
  }
}

function wrongMethod(allowed: readonly string[], method: string): Reply {
  return { ...refusal('method_not_allowed', 'method', allowed, method), headers: { allow: allowed.join(', ') } }
}

/** The job that a call is about. What a query says that will be refused is left out. */
export function jobOf({ route, job }: Found, query: URLSearchParams): NamedJob {
  const { type, id } = searchParameters
  if (!Object.values(route.parameters).includes(type)) return job
  const named = [...query].filter(([name]) => name === type.name || name === id.name)
  try {
    return readQuery(new URLSearchParams(named), { type, id })
  } catch {
    return {}
  }
}

function pathsUnder(base: string): string[] {
  return routes.map((route) => base + route.path)
}

const methodsOf = { GET: ['GET', 'HEAD'], POST: ['POST'] }

/** What `split` does, which takes about twice the time, at every call. */
function partsOf(path: string): string[] {
  const parts: string[] = []
  let start = 0
  for (let end = path.indexOf('/'); end >= 0; end = path.indexOf('/', start)) {
    parts.push(path.slice(start, end))
    start = end + 1
  }
  parts.push(path.slice(start))
  return parts
}

function decode(part: string): string {
  try {
    return part.includes('%') ? decodeURIComponent(part) : part
  } catch {
    throw invalid('path', 'percent-encoded UTF-8', part)
  }
}

/**
 * The path of the route that parts of a path can be of: a first part with `_`, also percent-encoded, stands for itself, any
 * other is a type.
 */
function templateOf([start = '', first, second, ...rest]: readonly string[]): string {
  const type = first === undefined ? '' : /^(_|%5f)/i.test(first) ? `/${first}` : '/{type}'
  const id = second === undefined ? '' : '/{id}'
  return rest.length === 0 ? start + type + id : [start + type + id, ...rest].join('/')
}

/** The job that a path names: what any storage and URL can hold. */
function jobIn([, first = '', second]: readonly string[]): NamedJob {
  if (first.startsWith('_')) return {}
  const type = decode(first)
  checkValue('type', type, rule.jobType)
  if (second === undefined) return { type }
  const id = decode(second)
  checkValue('id', id, rule.jobId)
  return { type, id }
}

function refusal(type: WireErrorType, field: string, allowed: readonly string[], value: string): Reply {
  const { message } = invalid(field, rule.oneOf(...allowed).expected, value)
  return { status: wireErrors[type], body: errorBody(type, message) }
}

type Job = Required<NamedJob>

async function describe(
  _registry: ServedRegistry,
  _job: NamedJob,
  _options: object,
  { base }: CallContext,
): Promise<Reply> {
  return { status: 200, body: openApiOf(routes, base) }
}

/** A long page of the log is read and printed as its client takes it. */
async function search(
  registry: ServedRegistry,
  _: object,
  filter: Values<typeof searchParameters>,
  { gate, request, hub, indent }: CallContext,
): Promise<Reply> {
  const pages = pagesOf((page) => gate.read(() => registry.search(page), request), filter)
  const { value: first = { total: 0, hits: [] } } = await pages.next()
  if ((filter.size ?? 0) <= firstPage || first.hits.length < firstPage) return { status: 200, body: searchBody(first) }
  async function* pieces() {
    yield first.hits
    for await (const { hits } of pages) yield hits
  }
  const onEnd = hub.onEnd.bind(hub)
  const body = hitsText({ total: first.total, pieces: pieces(), toHit: toEntry, onEnd }, indent)
  return { status: 200, body, headers: jsonHeaders }
}

async function running(
  registry: ServedRegistry,
  { type }: Pick<Job, 'type'>,
  { includeQueued = false }: Values<typeof readParameters>,
  { gate, request, hub, indent }: CallContext,
): Promise<Reply> {
  const live = await gate.read(() => registry.running(type), request)
  if (live.length === 0 && !registry.has(type)) {
    const { total } = await gate.read(() => registry.search({ type, size: 0 }), request)
    const reason = `No job of type [${type}] is defined, and the log has none.`
    if (total === 0) return { status: 404, body: errorBody('not_defined', reason) }
  }
  const shown = live.filter(({ state }) => includeQueued || state !== 'queued')
  if (shown.length <= longestList) return { status: 200, body: jobsBody(shown) }
  const toHit = (status: JobStatus) => foundBody(status.type, status.id, status)
  const onEnd = hub.onEnd.bind(hub)
  const body = hitsText({ total: shown.length, pieces: piecesOf(shown), toHit, onEnd }, indent)
  return { status: 200, body, headers: jsonHeaders }
}

/** The longest list of jobs that is printed at once. */
const longestList = 100

async function status(
  registry: ServedRegistry,
  { type, id }: Job,
  { includeQueued = false }: Values<typeof readParameters>,
  { gate, request }: CallContext,
): Promise<Reply> {
  const status = await gate.read(() => registry.status(type, id), request)
  if (!status && !registry.has(type, id)) return { status: 404, body: notFoundBody(type, id) }
  const isHidden = status?.state === 'queued' && !includeQueued
  if (!isHidden) return { status: 200, body: foundBody(type, id, status) }
  const { hits } = await gate.read(() => registry.search({ type, id, size: 1 }), request)
  return { status: 200, body: foundBody(type, id, hits[0]) }
}

/**
 * Asks storage behind the gate, also when the client has gone, and waits for the end of the job outside of it, for as long as
 * the client does.
 */
async function abort(
  registry: ServedRegistry,
  { type, id }: Job,
  options: Values<typeof abortParameters>,
  { request, gate }: CallContext,
): Promise<Reply> {
  const wait = toAbortOptions(options)
  const { signal } = wait.timeout === 0 ? {} : request
  const ask = () =>
    new Promise<{ stopped: Promise<JobStatus | undefined> }>((resolve, reject) => {
      const onAsked = () => resolve({ stopped })
      const stopped = registry.abort(type, id, { ...wait, ...(signal && { signal }), onAsked })
      stopped.then(onAsked, reject)
    })
  const { stopped } = await gate.read(ask)
  const status = await stopped
  if (!status) return { status: 404, body: notFoundBody(type, id) }
  return { status: isLive(status.state) ? 202 : 200, body: foundBody(type, id, status) }
}

async function start(
  registry: ServedRegistry,
  { type, id }: Job,
  _: object,
  { gate, request }: CallContext,
): Promise<Reply> {
  const { status } = await gate.read(() => registry.start(type, id), request)
  return { status: 201, body: foundBody(type, id, status) }
}

async function events(
  _: ServedRegistry,
  __: object,
  filter: Values<typeof eventParameters>,
  { hub, request }: CallContext,
): Promise<Reply> {
  await hub.check({ opens: request.method !== 'HEAD' })
  return { status: 200, body: hub.stream(filter, request.headers.get('last-event-id')), headers: streamHeaders }
}

/** Nobody on the way may hold pieces back, to compress them or to gather more. */
const streamHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store, no-transform',
  'x-accel-buffering': 'no',
}
