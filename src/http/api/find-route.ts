import { checkValue, invalid, rule } from '../../adapter.js'
import { errorBody, thrownBody, type WireErrorType, wireErrors } from '../../wire/index.js'
import { jobFilter, readQuery } from './parameters.js'
import type { NamedJob, Reply, Route } from './route.js'
import { routes } from './routes/index.js'

/** A route, with the job that the path names. */
export interface Found {
  route: Route
  job: NamedJob
}

const routeOf = new Map(routes.map((route) => [route.path, route]))

const methodsOf = { GET: ['GET', 'HEAD'], POST: ['POST'] }

/**
 * Finds the route for a method and a raw path. Without one, returns a function that creates the reply. The reply may
 * quote a long URL, so it is created after authorization. The base path and the names of calls are literal. Only the
 * type and the id are decoded, so a guard that compares the raw path sees every call.
 */
export function findRoute(method: string, path: string, base: string): Found | (() => Reply) {
  const below = isUnder(base, path) ? path.slice(base.length) : undefined
  const isList = below === '/' || (below === '' && base !== '')
  const parts = below === undefined ? [] : partsOf(below)
  const route = routeOf.get(isList ? '/' : templateOf(parts))
  if (!route) return () => refusal('not_found', 'path', pathsUnder(base), path)
  const allowed: readonly string[] = methodsOf[route.method]
  if (!allowed.includes(method)) return () => wrongMethod(allowed, method)
  try {
    return { route, job: isList ? {} : jobIn(parts) }
  } catch (error) {
    const body = thrownBody(error)
    return () => ({ status: body.status, body })
  }
}

/** Whether a path is the base path or below it. The base path `/` is passed as an empty text. */
export function isUnder(base: string, path: string): boolean {
  return path.startsWith(base) && (path.length === base.length || path[base.length] === '/')
}

/** The job that a call is about. Invalid values of the query, which will be refused, are left out. */
export function jobOf({ route, job }: Found, query: URLSearchParams): NamedJob {
  const { type, id } = jobFilter
  if (route.parameters.type !== type) return job
  const named = [...query].filter(([name]) => name === type.name || name === id.name)
  try {
    return readQuery(new URLSearchParams(named), jobFilter)
  } catch {
    return {}
  }
}

/** Like `split`, in half the time. It runs for every call. */
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

/**
 * The route path that matches the parts of a path. A first part with `_`, also percent-encoded, is literal. Any other
 * first part is a type.
 */
function templateOf([start = '', first, second, ...rest]: readonly string[]): string {
  const type = first === undefined ? '' : /^(_|%5f)/i.test(first) ? `/${first}` : '/{type}'
  const id = second === undefined ? '' : '/{id}'
  return rest.length === 0 ? start + type + id : [start + type + id, ...rest].join('/')
}

/** The job of a path, checked for what storages and URLs can hold. */
function jobIn([, first = '', second]: readonly string[]): NamedJob {
  if (first.startsWith('_')) return {}
  const type = decode(first)
  checkValue('type', type, rule.jobType)
  if (second === undefined) return { type }
  const id = decode(second)
  checkValue('id', id, rule.jobId)
  return { type, id }
}

function decode(part: string): string {
  try {
    return part.includes('%') ? decodeURIComponent(part) : part
  } catch {
    throw invalid('path', 'percent-encoded UTF-8', part)
  }
}

function pathsUnder(base: string): string[] {
  return routes.map((route) => base + route.path)
}

function wrongMethod(allowed: readonly string[], method: string): Reply {
  return { ...refusal('method_not_allowed', 'method', allowed, method), headers: { allow: allowed.join(', ') } }
}

function refusal(type: WireErrorType, field: string, allowed: readonly string[], value: string): Reply {
  const { message } = invalid(field, rule.oneOf(...allowed).expected, value)
  return { status: wireErrors[type], body: errorBody(type, message) }
}
