import { Readable } from 'node:stream'
import { createAbortController } from '../index.js'
import { flushTime } from './_stream.js'
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

/** What is used of node's response, to know when its client goes away, and to cut off one that does not read. */
export interface NodeConnection {
  writableFinished?: boolean
  destroyed?: boolean
  once?(event: 'close', listener: () => void): unknown
  destroy(): unknown
}

/** A request of node as a handler takes it. */
export function toJobsRequest(
  request: NodeRequest,
  response: NodeConnection,
  url: string,
  native: unknown = request,
): JobsRequest {
  const { method = 'GET', headers } = request
  let signal: AbortSignal | undefined
  return {
    method,
    url,
    headers: { get: (name) => headerOf(headers, name.toLowerCase()) },
    native,
    // Most calls are answered before anybody asks for it.
    get signal() {
      signal ??= signalOf(response)
      return signal
    },
  }
}

/** Aborts when the connection is gone before the response was written. */
function signalOf(response: NodeConnection): AbortSignal {
  const gone = createAbortController()
  const close = () => {
    if (!response.writableFinished) gone.abort()
  }
  if (response.destroyed) close()
  else response.once?.('close', close)
  return gone.signal
}

/**
 * A stream of an answer as node's, which reads one piece ahead and not sixteen: what waits is bounded where it is made. It
 * destroys the response when it fails, or when it is over and the client does not read what is left.
 */
export function toReadable(body: TextStream, response: NodeConnection): Readable {
  const readable = Readable.from(body, { highWaterMark: 1 })
  let timer: NodeJS.Timeout | undefined
  const stop = body.onEnd?.(() => {
    timer = setTimeout(() => response.destroy(), flushTime).unref()
  })
  readable.once('error', () => response.destroy())
  response.once?.('close', () => {
    clearTimeout(timer)
    stop?.()
    readable.destroy()
  })
  return readable
}

function headerOf(headers: NodeRequest['headers'], key: string): string | null {
  if (Object.hasOwn(headers, key)) return String(headers[key])
  // Where HTTP/2 has what is `Host` in HTTP/1.
  return key === 'host' && headers[':authority'] !== undefined ? String(headers[':authority']) : null
}
