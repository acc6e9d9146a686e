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
  /** The connection. */
  socket?: NodeSocket | undefined
}

/** What is used of node's connection. */
export interface NodeSocket {
  destroyed?: boolean
  once(event: 'close', listener: () => void): unknown
}

/**
 * The address that a handler covers. Under a mount on a path, it is the whole where the base path is under that path too, and
 * else the rest that the mount leaves: one of them, as a second address of a call would pass by guards of the first. An
 * address that a middleware has rewritten is obeyed: what it was before counts no more.
 */
export function coveredUrl(handler: JobsHandler, request: NodeRequest): string | undefined {
  const { url = '' } = request
  const { mount, whole } = mountedUrl(request)
  const meant = isWithin(mount, handler.basePath) ? whole : url
  return handler.covers(meant) ? meant : undefined
}

/** Whether a path is that of a mount, or under it. Routers may pass over case, as Express does. */
function isWithin(mount: string, path: string): boolean {
  const [inFront, base] = [mount.toLowerCase(), path.toLowerCase()]
  return inFront !== '' && (base === inFront || base.startsWith(`${inFront}/`))
}

/** The path that mounts took off, and the address with it. Express names that path; of others, what is left is its end. */
function mountedUrl({ url = '', originalUrl = url, baseUrl }: NodeRequest): { mount: string; whole: string } {
  const [rest, original] = [pathOf(url), pathOf(originalUrl)]
  // A mount puts a slash where it leaves nothing.
  const left = /^[^?]*\/(\?|$)/.test(original) ? rest : rest.replace(/^\/(?=\?|$)/, '')
  if (baseUrl !== undefined) return { mount: baseUrl, whole: baseUrl + left }
  if (left === '' || !original.endsWith(left)) return { mount: '', whole: url }
  return { mount: original.slice(0, -left.length), whole: original }
}

/** An address from its path on. */
function pathOf(url: string): string {
  return url.replace(/^[a-z][a-z\d+.-]*:\/\/[^/?#]*/i, '')
}

/**
 * Takes a prefix off addresses. What Fastify's router has decoded to find it is no address of the API, as a guard of the host may
 * compare paths as they came: only parameters are percent-encoded.
 */
export function withoutPrefix(prefix: string): (url: string) => string {
  const parts = prefix.split('/').filter((part) => part !== '')
  const pattern = new RegExp(`^(/+[^/?#]*){${parts.length}}`)
  const isLiteral = (came: string, index: number) => !came.includes('%') || /[:*%]/.test(parts[index] ?? '')
  return (url) => {
    const [inFront = ''] = pattern.exec(url) ?? []
    const came = inFront.split('/').filter((part) => part !== '')
    return came.every(isLiteral) ? url.slice(inFront.length) : ''
  }
}

/** What is used of node's response, to know when its client goes away, and to cut off one that does not read. */
export interface NodeConnection {
  writableFinished?: boolean
  destroyed?: boolean
  /** The connection, `null` while answers to requests that came before on it are not through. */
  socket?: unknown
  /** Of HTTP/1: whether the connection goes on after the answer. */
  shouldKeepAlive?: boolean
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
      signal ??= signalOf(request, response)
      return signal
    },
  }
}

/** Aborts when the connection is gone before the response was written. */
function signalOf(request: NodeRequest, response: NodeConnection): AbortSignal {
  const gone = createAbortController()
  whenClosed(request, response, () => {
    if (!response.writableFinished) gone.abort()
  })
  return gone.signal
}

/**
 * Calls back when a response is over or its connection gone. Node does not tell a response that waits for its turn on a
 * connection, behind answers to requests that came before, that the connection is gone.
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

/** What waits for the end of a connection: one listener for all, as there may be thousands of requests on it. */
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
 * A stream of an answer as node's, which reads one piece ahead and not sixteen: what waits is bounded where it is made. It
 * destroys the response when it fails, or when it is over and the client does not read what is left.
 */
export function toReadable(body: TextStream, request: NodeRequest, response: NodeConnection): Readable {
  // A connection that is kept when all streams end would keep the server from closing for as long as it may be idle.
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
  // Where HTTP/2 has what is `Host` in HTTP/1.
  return key === 'host' && headers[':authority'] !== undefined ? String(headers[':authority']) : null
}
