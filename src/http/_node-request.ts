import { Readable } from 'node:stream'
import type { JobsHandler, JobsRequest, TextStream } from './handler.js'

/** What is used of the request of node and of frameworks on it. Some remember the address that came. */
export interface NodeRequest {
  method?: string | undefined
  url?: string | undefined
  originalUrl?: string | undefined
  headers: Record<string, string | string[] | undefined>
}

/** The address that a handler covers: the rest that a mount on a path leaves, or else the one that came. */
export function coveredUrl(handler: JobsHandler, { url = '', originalUrl = url }: NodeRequest): string | undefined {
  if (handler.covers(url)) return url
  return handler.covers(originalUrl) ? originalUrl : undefined
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
