import { Readable } from 'node:stream'
import { createAbortController } from '../../adapter.js'
import { flushTime } from '../answers/index.js'
import { alreadyRead, answersEarly, collected, fromPath } from '../api/index.js'
import type { JobsAnswer, JobsHandler, JobsRequest, TextStream } from '../index.js'

/** The part of the request of Node, and of frameworks on it, that headgate uses. Some keep the original URL. */
export interface NodeRequest {
  method?: string | undefined
  url?: string | undefined
  originalUrl?: string | undefined
  /** In Express, the path that mounts removed from the URL. */
  baseUrl?: string | undefined
  /** In Express, the values of the parameters of the mount path. */
  params?: unknown
  headers: Record<string, string | string[] | undefined>
  /** What a parser, such as `express.json()`, has made of the body. In Fastify, its stream; in Koa, the body of the answer. */
  body?: unknown
  /** In Koa, the request of Node. */
  req?: unknown
  /** In Fastify, the request of Node. */
  raw?: unknown
  /** In Koa, its own request, on which a parser puts the body. */
  request?: object | undefined
  /** The connection. */
  socket?: NodeSocket | undefined
}

/** The part of Node's connection that headgate uses. */
export interface NodeSocket {
  destroyed?: boolean
  once(event: 'close', listener: () => void): unknown
}

/**
 * The URL that a handler covers, or `undefined`. Under a mount, it is the whole URL when the base path is under the
 * mount path, otherwise the rest that the mount leaves. A call has only one of them, so that a guard on one cannot be
 * bypassed with the other. So a mount path with parameters, which may have any value, never counts as a part of the
 * base path. A URL that a middleware has rewritten replaces the original.
 */
export function coveredUrl(handler: JobsHandler, request: NodeRequest): string | undefined {
  const { url = '' } = request
  const { mount, whole } = mountedUrl(request)
  const covered = !hasParameters(request) && isWithin(mount, handler.basePath) ? whole : url
  return handler.covers(covered) ? covered : undefined
}

/** Whether the mount path of Express has parameters. Koa's parameters are of routes, which remove nothing. */
function hasParameters({ baseUrl, params }: NodeRequest): boolean {
  return baseUrl !== undefined && Object.keys(Object(params)).length > 0
}

/** Whether a path equals or is below that of a mount. Routers may ignore case, as Express does. */
function isWithin(mount: string, path: string): boolean {
  const [prefixPath, base] = [mount.toLowerCase(), path.toLowerCase()]
  return prefixPath !== '' && (base === prefixPath || base.startsWith(`${prefixPath}/`))
}

/**
 * The path that mounts removed, and the URL with it. Express names that path; for other frameworks, the rest is the
 * end of the original URL.
 */
function mountedUrl({ url = '', originalUrl = url, baseUrl }: NodeRequest): { mount: string; whole: string } {
  const [rest, original] = [fromPath(url), fromPath(originalUrl)]
  // A mount leaves a slash where nothing remains.
  const left = /^[^?]*\/(\?|$)/.test(original) ? rest : rest.replace(/^\/(?=\?|$)/, '')
  if (baseUrl !== undefined) return { mount: baseUrl, whole: baseUrl + left }
  if (left === '' || !original.endsWith(left)) return { mount: '', whole: url }
  return { mount: original.slice(0, -left.length), whole: original }
}

/**
 * Returns a function that removes a prefix, and what precedes it, from URLs. Only parameters of the prefix may be percent-encoded: a path
 * that the router had to decode is not one of the API, because guards of the host may compare raw paths.
 */
export function withoutPrefix(prefix: string): (url: string) => string {
  const parts = prefix.split('/').filter((part) => part !== '')
  const pattern = new RegExp(`^(/+[^/?#]*){${parts.length}}`)
  const isLiteral = (received: string, index: number) => !received.includes('%') || /[:*%]/.test(parts[index] ?? '')
  return (url) => {
    const path = fromPath(url)
    const [prefixPath = ''] = pattern.exec(path) ?? []
    const received = prefixPath.split('/').filter((part) => part !== '')
    return received.every(isLiteral) ? path.slice(prefixPath.length) : ''
  }
}

/**
 * The part of Node's response that headgate uses to detect a disconnect, and to close a connection that does not
 * read.
 */
export interface NodeConnection {
  writableFinished?: boolean
  destroyed?: boolean
  /** The connection; `null` while earlier responses on it are not finished. */
  socket?: unknown
  /** In HTTP/1, whether the connection stays open after the answer. */
  shouldKeepAlive?: boolean
  once?(event: 'close', listener: () => void): unknown
  destroy(): unknown
}

/** The answer of a handler to a Node request, when it may be sent. */
export async function answerOf(
  handler: JobsHandler,
  request: NodeRequest,
  response: NodeConnection,
  url: string,
): Promise<JobsAnswer> {
  const answer = await handler.answer(toJobsRequest(request, response, url))
  await endRequest(request, response, answer.status)
  return answer
}

/** Converts a Node request for a handler. */
function toJobsRequest(request: NodeRequest, response: NodeConnection, url: string): JobsRequest {
  const { method = 'GET', headers } = request
  let signal: AbortSignal | undefined
  return {
    method,
    url,
    headers: { get: (name) => headerOf(headers, name.toLowerCase()) },
    native: request,
    body: hasBody(request) ? (maxBytes) => bodyOf(request, maxBytes) : undefined,
    // Most calls are answered before the signal is needed.
    get signal() {
      signal ??= signalOf(request, response)
      return signal
    },
  }
}

/** Whether there may be a body. In HTTP/2, whose requests have a header `:method`, headers need not tell. */
function hasBody(request: NodeRequest): boolean {
  const { headers } = request
  return isAnnounced(headers) || headers[':method'] !== undefined || parsedBodyOf(request) !== undefined
}

function isAnnounced(headers: NodeRequest['headers']): boolean {
  return Number(headers['content-length'] ?? 0) > 0 || headers['transfer-encoding'] !== undefined
}

/** What a parser has made of the body, or its stream in Fastify. */
function parsedBodyOf({ request: own, body }: NodeRequest): unknown {
  return own ? (own as { body?: unknown }).body : body
}

/** The bytes of a body or, when a parser has read them, what it has made of them. */
async function bodyOf(request: NodeRequest, maxBytes: number): Promise<unknown> {
  const { headers, req } = request
  const parsed = parsedBodyOf(request)
  const readable = (isReadable(parsed) ? parsed : (req ?? request)) as Readable
  // A parser that passes a request over may set an empty object all the same.
  if (isReadable(readable) && !readable.readableDidRead && !readable.readableEnded) {
    const bytes = await collected(readable.iterator({ destroyOnReturn: false }), maxBytes)
    // The rest is dropped, as Node drops a body that is not read: the connection stays usable.
    if (bytes.length > maxBytes) readable.resume()
    return bytes
  }
  if (isAnnounced(headers) && parsed === undefined) throw alreadyRead()
  return parsed
}

/** How long the rest of a refused body is waited for, in milliseconds. Most of it is on its way. */
const lingerTime = 500

/**
 * Called before an answer that may come before the body of its request. Drops the rest of a body that is refused as too
 * long, so that the client reads the answer: data that nobody reads would reset the connection. The connection closes if
 * the body still has not arrived.
 */
async function endRequest(request: NodeRequest, response: NodeConnection, status: number): Promise<void> {
  if (!answersEarly(status) || request.headers[':method'] !== undefined) return
  const received = (request.req ?? request.raw ?? request) as { complete?: boolean }
  if (received.complete !== false) return
  if (status === 413 && isReadable(received)) await dropped(received)
  if (!received.complete) response.shouldKeepAlive = false
}

/** Resolves when the rest of a body is read or its connection is closed, and after {@link lingerTime}. */
function dropped(body: Readable): Promise<void> {
  return new Promise((resolve) => {
    const over = () => {
      clearTimeout(timer)
      for (const event of ends) body.off(event, over)
      resolve()
    }
    const timer = setTimeout(over, lingerTime)
    for (const event of ends) body.on(event, over)
    body.resume()
  })
}

const ends = ['end', 'close', 'error']

function isReadable(value: unknown): value is Readable {
  return typeof (value as Partial<Readable> | null | undefined)?.iterator === 'function'
}

/** Aborts when the connection closes before the response was written. */
function signalOf(request: NodeRequest, response: NodeConnection): AbortSignal {
  const disconnected = createAbortController()
  whenClosed(request, response, () => {
    if (!response.writableFinished) disconnected.abort()
  })
  return disconnected.signal
}

/**
 * Calls `listener` when a response ends or its connection closes. Node does not report a closed connection to a
 * response that waits behind earlier responses on it.
 */
function whenClosed({ socket }: NodeRequest, response: NodeConnection, listener: () => void): void {
  const isQueued = response.socket === null
  if (response.destroyed || (isQueued && socket?.destroyed)) listener()
  else if (isQueued && socket) {
    const queued = listenersOf(socket)
    const close = () => {
      if (queued.delete(close)) listener()
    }
    queued.add(close)
    response.once?.('close', close)
  } else response.once?.('close', listener)
}

/**
 * The listeners for the end of a connection. They share one socket listener, because there may be thousands of
 * requests.
 */
function listenersOf(socket: NodeSocket): Set<() => void> {
  const known = queuedOn.get(socket)
  if (known) return known
  const queued = new Set<() => void>()
  queuedOn.set(socket, queued)
  socket.once('close', () => {
    for (const close of [...queued]) close()
  })
  return queued
}

const queuedOn = new WeakMap<NodeSocket, Set<() => void>>()

/**
 * Converts a streamed answer to a Node stream that reads one piece ahead, not sixteen. Destroys the response when the
 * stream fails, or when it has ended and the client does not read the rest.
 */
export function toReadable(body: TextStream, request: NodeRequest, response: NodeConnection): Readable {
  // A kept-alive connection would keep the server from closing until its idle timeout.
  if (body.isEndless && response.shouldKeepAlive) response.shouldKeepAlive = false
  const readable = Readable.from(body, { highWaterMark: 1 })
  let timer: NodeJS.Timeout | undefined
  const stop = body.onEnd?.(() => {
    timer = setTimeout(() => response.destroy(), flushTime).unref()
  })
  readable.once('error', () => response.destroy())
  whenClosed(request, response, () => {
    clearTimeout(timer)
    stop?.()
    readable.destroy()
  })
  return readable
}

function headerOf(headers: NodeRequest['headers'], key: string): string | null {
  if (Object.hasOwn(headers, key)) return String(headers[key])
  // HTTP/2 sends `:authority` in place of `Host`.
  return key === 'host' && headers[':authority'] !== undefined ? String(headers[':authority']) : null
}
