import { createAbortController, JobError } from '../adapter.js'
import type { JobsClient } from '../client/index.js'
import {
  type Answering,
  bodyInTime,
  bodyTooLong,
  type Found,
  isDeclaredTooLong,
  isTooLong,
  maxBody,
  type Reply,
} from '../http/api/index.js'
import type { JobsRequest, TextStream } from '../http/index.js'
import type { Clock } from '../index.js'

/** The headers that are passed on: of the request, and of the answer. */
const requestHeaders = ['accept', 'content-type', 'last-event-id']
const answerHeaders = ['content-type', 'cache-control', 'x-accel-buffering', 'x-content-type-options', 'allow']

/** Passes the calls of the page on to another server. */
export class Forwarding implements Answering {
  readonly #client: JobsClient
  readonly #clock: Clock
  readonly #streams = new Set<AbortController>()

  constructor(client: JobsClient, clock: Clock) {
    this.#client = client
    this.#clock = clock
  }

  async answer(found: Found, query: URLSearchParams, request: JobsRequest): Promise<Reply> {
    const received = found.route.method === 'POST' ? await bodyOf(request, this.#clock) : undefined
    if (received !== tooLong) return this.#forward(found, query, request, received)
    const body = bodyTooLong()
    return { status: body.status, body }
  }

  async #forward(
    { route, job }: Found,
    query: URLSearchParams,
    request: JobsRequest,
    body: SentBody | undefined,
  ): Promise<Reply> {
    const over = createAbortController()
    this.#streams.add(over)
    const close = () => {
      this.#streams.delete(over)
      request.signal?.removeEventListener('abort', leave)
    }
    const leave = () => {
      close()
      over.abort()
    }
    request.signal?.addEventListener('abort', leave, { once: true })
    try {
      const answer = await this.#client.request({
        method: route.method,
        path: pathOf(route.path, job),
        search: query.toString(),
        headers: headersIn(request.headers, requestHeaders),
        body,
        signal: over.signal,
      })
      if (answer.status === 401 || answer.status === 403) throw refused(answer.status)
      const isEndless = answer.headers.get('content-type')?.startsWith('text/event-stream') === true
      const text = toTextStream(answer.body, { isEndless, close })
      // Nobody reads the body.
      if (request.method === 'HEAD') leave()
      return { status: answer.status, headers: headersIn(answer.headers, answerHeaders), body: text }
    } catch (error) {
      close()
      throw error
    }
  }

  endStreams(): void {
    for (const stream of this.#streams) stream.abort()
  }
}

/** The user of the page is allowed: it is this server that the other one refuses. */
function refused(status: number): JobError {
  return new JobError('server', `The server of the jobs refuses this server: HTTP status ${status}.`)
}

/** The parts of the path of a route. */
function pathOf(path: string, { type = '', id = '' }: Found['job']): string[] {
  return path
    .slice(1)
    .split('/')
    .map((part) => (part === '{type}' ? type : part === '{id}' ? id : part))
}

type SentBody = string | Uint8Array<ArrayBuffer>

const tooLong = Symbol('too long')

async function bodyOf(request: JobsRequest, clock: Clock): Promise<SentBody | typeof tooLong | undefined> {
  if (isDeclaredTooLong(request)) return tooLong
  const received = request.body && (await bodyInTime(request.body(maxBody), clock))
  if (isTooLong(received)) return tooLong
  if (received === undefined || typeof received === 'string') return received
  return received instanceof Uint8Array ? new Uint8Array(received) : JSON.stringify(received)
}

function headersIn(headers: { get(name: string): string | null }, names: readonly string[]): Record<string, string> {
  const given = names.map((name) => [name, headers.get(name)] as const)
  return Object.fromEntries(given.filter((header): header is [string, string] => header[1] !== null))
}

/** The text of an answer. `close` is called when it has ended, or is not read any more. */
function toTextStream(
  body: ReadableStream<Uint8Array> | null,
  { isEndless, close }: { isEndless: boolean; close: () => void },
): TextStream {
  async function* pieces() {
    const decoder = new TextDecoder()
    const reader = body?.getReader()
    try {
      for (let read = await reader?.read(); read?.value; read = await reader?.read()) {
        const text = decoder.decode(read.value, { stream: true })
        if (text !== '') yield text
      }
    } finally {
      close()
      reader?.cancel().catch(() => {})
    }
  }
  return { isEndless, [Symbol.asyncIterator]: pieces }
}
