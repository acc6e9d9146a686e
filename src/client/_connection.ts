import { JobError } from '../core/errors.js'
import { invalid } from '../core/options.js'
import { toError, toWireName } from '../http/wire-bodies.js'
import { isJob } from './_answers.js'

/** How a client reaches its server. */
export interface ConnectionOptions {
  url: string
  fetch: typeof globalThis.fetch
  headers: HeadersSource | undefined
}

/** Headers of every call, or what gives them, as tokens may change. */
export type HeadersSource = Record<string, string> | (() => Record<string, string> | Promise<Record<string, string>>)

/** One call. */
export interface Call {
  method?: 'GET' | 'POST'
  path: readonly string[]
  /** Options that become query parameters; those that are `undefined` are left out. */
  query?: object
  headers?: Record<string, string>
  signal?: AbortSignal | undefined
}

/** The longest answer that is read, in bytes: more than a page of the log can have. */
const maxBytes = 256 * 1024 * 1024

const streamType = 'text/event-stream'

/** The calls of a client, by fetch. */
export class Connection {
  readonly #options: ConnectionOptions

  constructor(options: ConnectionOptions) {
    this.#options = options
  }

  /** Makes a call. Throws a `JobError` unless the answer is what is expected, or about a job that nobody knows. */
  async call<Body>(call: Call, isExpected: (body: unknown) => body is Body): Promise<Body> {
    const response = await this.#send(call)
    const body = await bodyOf(response, call.signal)
    if (response.ok && isExpected(body)) return body
    if (response.status === 404 && isExpected(body) && isJob(body) && !body.found) return body
    throw toError(body, response.status)
  }

  /** Opens a stream of events. Throws a `JobError` unless the answer is one. */
  async open(call: Call): Promise<ReadableStream<Uint8Array>> {
    const response = await this.#send(call)
    const type = response.headers.get('content-type') ?? streamType
    if (response.ok && response.body && type.startsWith(streamType)) return response.body
    if (response.ok) {
      // What is no stream of events may go on for ever, as one does.
      void response.body?.cancel().catch(() => {})
      throw toError(undefined, response.status)
    }
    throw toError(await bodyOf(response, call.signal), response.status)
  }

  async #send({ method = 'GET', path, query = {}, headers, signal }: Call): Promise<Response> {
    const { url, fetch } = this.#options
    const address = `${url}/${path.map(toPart).join('/')}${toQuery(query)}`
    signal?.throwIfAborted()
    const all = await this.#headers(headers, signal)
    // One that is followed takes the headers along, and makes a `GET` of a `POST`.
    const request = { method, headers: all, redirect: 'manual', signal: signal ?? null } as const
    const response = await reached(untilAborted(fetch(address, request), signal), signal)
    if (response.type !== 'opaqueredirect' && (response.status < 300 || response.status > 399)) return response
    void response.body?.cancel().catch(() => {})
    throw new JobError('server', 'The server redirects the call, which is not followed: check `url`.')
  }

  /** The headers of a call, of which some may come from a function of the caller's. */
  async #headers(more: Record<string, string> | undefined, signal: AbortSignal | undefined): Promise<Headers> {
    const { headers } = this.#options
    try {
      const own = typeof headers === 'function' ? await untilAborted(Promise.resolve(headers()), signal) : headers
      const all = new Headers(own)
      for (const [name, value] of Object.entries(more ?? {})) all.set(name, value)
      return all
    } catch (cause) {
      signal?.throwIfAborted()
      throw new JobError('invalid_options', 'Expected `headers` to be an object of headers, or to give one.', { cause })
    }
  }
}

/** What a server gives. Throws a `JobError` that passes when it is lost on the way. */
async function reached<Given>(given: Promise<Given>, signal: AbortSignal | undefined): Promise<Given> {
  try {
    return await given
  } catch (cause) {
    signal?.throwIfAborted()
    if (JobError.isInstance(cause)) throw cause
    throw new JobError('server', 'The server could not be reached.', { cause, isTransient: true })
  }
}

/** What a promise gives, or the reason of a signal that aborts first. */
export function untilAborted<Given>(promise: Promise<Given>, signal: AbortSignal | undefined): Promise<Given> {
  if (!signal) return promise
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(signal.reason)
    signal.addEventListener('abort', giveUp, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', giveUp))
    if (signal.aborted) giveUp()
  })
}

/** The body as JSON, or `undefined` when it is none. Throws when it is cut off. */
async function bodyOf(response: Response, signal: AbortSignal | undefined): Promise<unknown> {
  const text = await reached(untilAborted(textOf(response), signal), signal)
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

async function textOf({ body }: Response): Promise<string> {
  const reader = body?.getReader()
  const decoder = new TextDecoder()
  let text = ''
  let left = maxBytes
  for (let read = await reader?.read(); read?.value; read = await reader?.read()) {
    left -= read.value.length
    text += decoder.decode(read.value, { stream: true })
    if (left >= 0) continue
    void reader?.cancel().catch(() => {})
    throw new JobError('server', 'The answer is too long.')
  }
  return text + decoder.decode()
}

function toPart(text: string): string {
  // Whoever parses an address takes them for steps, also percent-encoded.
  if (text === '.' || text === '..') throw invalid('path', 'of parts that an address can hold', text)
  return encodeURIComponent(text)
}

function toQuery(options: object): string {
  const query = new URLSearchParams()
  for (const [option, value] of Object.entries(options)) {
    if (value !== undefined) query.set(toWireName(option), String(value))
  }
  return query.size > 0 ? `?${query}` : ''
}
