import { invalid, JobError, untilAborted } from '../core/base/index.js'
import { toError, toWireName } from '../wire/index.js'
import { isJob } from './answers.js'
import { parseJson } from './parse-json.js'

/** The options of a {@link Connection}. */
export interface ConnectionOptions {
  url: string
  fetch: typeof globalThis.fetch
  headers: HeadersSource | undefined
  /** Maximum size of an answer, in bytes. */
  maxAnswer: number
}

/** The headers of every call, or a function that returns them before each call. */
export type HeadersSource = Record<string, string> | (() => Record<string, string> | Promise<Record<string, string>>)

/** One call. */
export interface Call {
  method?: 'GET' | 'POST'
  path: readonly string[]
  /** Options that become query parameters; those that are `undefined` are left out. */
  query?: object
  headers?: Record<string, string>
  /** The body, which is sent as JSON. */
  body?: object | undefined
  /** A query and a body as they are, in place of `query` and `body`. */
  raw?: { search: string; body?: string | Uint8Array<ArrayBuffer> | undefined } | undefined
  signal?: AbortSignal | undefined
  /** The HTTP status of an error that comes with an expected body too. */
  errorStatus?: number
}

const streamType = 'text/event-stream'

/** Makes the calls of a client with `fetch`. */
export class Connection {
  readonly #options: ConnectionOptions

  constructor(options: ConnectionOptions) {
    this.#options = options
  }

  /** Makes a call. Throws a `JobError` unless the answer is as expected, or says that the server does not know the job. */
  async call<Body>(call: Call, isExpected: (body: unknown) => body is Body): Promise<Body> {
    const response = await this.send(call)
    const body = await this.#bodyOf(response, call)
    if ((response.ok || response.status === call.errorStatus) && isExpected(body)) return body
    if (response.status === 404 && isExpected(body) && isJob(body) && !body.found) return body
    // The code of an error counts only with the status of an error.
    throw toError(response.ok ? undefined : body, response.status)
  }

  /** Opens a stream of events. Throws a `JobError` for any other answer. */
  async open(call: Call): Promise<ReadableStream<Uint8Array>> {
    const response = await this.send(call)
    const type = response.headers.get('content-type') ?? streamType
    if (response.ok && response.body && type.startsWith(streamType)) return response.body
    if (response.ok) {
      // Another body may be endless too.
      void response.body?.cancel().catch(() => {})
      throw toError(undefined, response.status)
    }
    throw toError(await this.#bodyOf(response, call), response.status)
  }

  /** Makes a call, and resolves with its answer, whatever its status. */
  async send({ method = 'GET', path, query = {}, headers, body, raw, signal }: Call): Promise<Response> {
    const { url, fetch } = this.#options
    const search = raw ? raw.search && `?${raw.search}` : toQuery(query)
    const address = `${url}/${path.map(toPart).join('/')}${search}`
    signal?.throwIfAborted()
    const all = await this.#headers(body ? { 'content-type': 'application/json' } : headers, signal)
    // A redirect would pass the headers on, and turn a `POST` into a `GET`.
    const sent = raw ? (raw.body ?? null) : body ? JSON.stringify(body) : null
    const request = { method, headers: all, body: sent, redirect: 'manual', signal: signal ?? null } as const
    const response = await reached(untilAborted(fetch(address, request), signal), signal)
    if (
      response.type !== 'opaqueredirect' &&
      (response.status < 300 || response.status > 399 || response.status === 304)
    )
      return response
    void response.body?.cancel().catch(() => {})
    throw new JobError('server', 'The server redirects the call. The client follows no redirect: check `url`.')
  }

  /** The body as JSON, or `undefined` if it is not JSON of an answer. Throws when the body is cut off or too long. */
  async #bodyOf(response: Response, { query, signal }: Call): Promise<unknown> {
    const { detail }: { detail?: boolean } = query ?? {}
    const text = await reached(untilAborted(textOf(response, this.#options.maxAnswer), signal), signal)
    try {
      return parseJson(text, detail)
    } catch {
      return undefined
    }
  }

  /** The headers of a call. Some may come from a function of the user. */
  async #headers(more: Record<string, string> | undefined, signal: AbortSignal | undefined): Promise<Headers> {
    const { headers } = this.#options
    try {
      const own = typeof headers === 'function' ? await untilAborted(Promise.resolve(headers()), signal) : headers
      const all = new Headers(own)
      for (const [name, value] of Object.entries(more ?? {})) all.set(name, value)
      return all
    } catch (cause) {
      signal?.throwIfAborted()
      throw new JobError(
        'invalid_options',
        'Expected `headers` to be an object of headers, or a function that returns one.',
        { cause },
      )
    }
  }
}

/** Waits for the server. Throws a transient `JobError` when the connection fails. */
async function reached<Given>(given: Promise<Given>, signal: AbortSignal | undefined): Promise<Given> {
  try {
    return await given
  } catch (cause) {
    signal?.throwIfAborted()
    if (JobError.isInstance(cause)) throw cause
    throw new JobError('server', 'The server could not be reached.', { cause, isTransient: true })
  }
}

/** The text of a body. Counts bytes after decompression. */
async function textOf({ body }: Response, maxBytes: number): Promise<string> {
  const reader = body?.getReader()
  const decoder = new TextDecoder()
  let text = ''
  let left = maxBytes
  for (let read = await reader?.read(); read?.value; read = await reader?.read()) {
    left -= read.value.length
    if (left < 0) {
      void reader?.cancel().catch(() => {})
      throw new JobError('server', `The answer is longer than \`maxAnswer\`, ${maxBytes} bytes.`)
    }
    text += decoder.decode(read.value, { stream: true })
  }
  return text + decoder.decode()
}

function toPart(text: string): string {
  // URL parsers treat them as steps, even when they are percent-encoded.
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
