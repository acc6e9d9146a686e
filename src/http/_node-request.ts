import { Readable } from 'node:stream'
import type { JobsHandler, JobsRequest, TextStream } from './handler.js'

/** What is used of the request of node and of frameworks on it. Some remember the address that came. */
export interface NodeRequest {
  method?: string | undefined
  url?: string | undefined
  originalUrl?: string | undefined
  /** Of Express: the path that mounts took off the address. */
  baseUrl?: string | undefined
  headers: Record<string, string | string[] | undefined>
}

/**
 * The address that a handler covers: the rest that a mount on a path leaves, or else the whole. An address that a middleware
 * has rewritten is obeyed: what it was before counts no more.
 */
export function coveredUrl(handler: JobsHandler, request: NodeRequest): string | undefined {
  const { url = '' } = request
  if (handler.covers(url)) return url
  const whole = wholeUrl(request)
  return handler.covers(whole) ? whole : undefined
}

/** The address with the path that mounts took off. Express names that path; of others, what is left is its end. */
function wholeUrl({ url = '', originalUrl = url, baseUrl }: NodeRequest): string {
  const [rest, original] = [pathOf(url), pathOf(originalUrl)]
  // A mount puts a slash where it leaves nothing.
  const left = /^[^?]*\/(\?|$)/.test(original) ? rest : rest.replace(/^\/(?=\?|$)/, '')
  if (baseUrl !== undefined) return baseUrl + left
  return left !== '' && original.endsWith(left) ? original : url
}

/** An address from its path on. */
function pathOf(url: string): string {
  return url.replace(/^[a-z][a-z\d+.-]*:\/\/[^/?#]*/i, '')
}

/** A request of node as a handler takes it. */
export function toJobsRequest(request: NodeRequest, url: string, native: unknown = request): JobsRequest {
  const { method = 'GET', headers } = request
  return { method, url, headers: { get: (name) => headerOf(headers, name.toLowerCase()) }, native }
}

/** A stream of an answer as node's, which reads one piece ahead and not sixteen: what waits is bounded where it is made. */
export function toReadable(body: TextStream): Readable {
  return Readable.from(body, { highWaterMark: 1 })
}

function headerOf(headers: NodeRequest['headers'], key: string): string | null {
  if (Object.hasOwn(headers, key)) return String(headers[key])
  // Where HTTP/2 has what is `Host` in HTTP/1.
  return key === 'host' && headers[':authority'] !== undefined ? String(headers[':authority']) : null
}
