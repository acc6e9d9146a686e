import { JobError } from '../core/errors.js'
import { invalid } from '../core/options.js'
import { toError, toWireName } from '../http/wire-bodies.js'

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

/** The calls of a client, by fetch. */
export class Connection {
  readonly #options: ConnectionOptions

  constructor(options: ConnectionOptions) {
    this.#options = options
  }

  /** Makes a call. Throws a `JobError` unless the answer is good, or about a job that nobody knows. */
  async call<Body>(call: Call): Promise<Body> {
    const response = await this.#send(call)
    const body = await bodyOf(response)
    call.signal?.throwIfAborted()
    if (response.ok ? body !== undefined : isAboutJob(body)) return body as Body
    throw toError(body, response.status)
  }

  /** Opens a stream. Throws a `JobError` unless the answer is good. */
  async open(call: Call): Promise<ReadableStream<Uint8Array>> {
    const response = await this.#send(call)
    if (response.ok && response.body) return response.body
    throw toError(await bodyOf(response), response.status)
  }

  async #send({ method = 'GET', path, query = {}, headers, signal }: Call): Promise<Response> {
    const { url, fetch, headers: source } = this.#options
    const address = `${url}/${path.map(toPart).join('/')}${toQuery(query)}`
    const own = typeof source === 'function' ? await source() : source
    try {
      return await fetch(address, { method, headers: { ...own, ...headers }, signal: signal ?? null })
    } catch (cause) {
      signal?.throwIfAborted()
      throw new JobError('server', 'The server could not be reached.', { cause, isTransient: true })
    }
  }
}

/** The body as JSON, or `undefined` when it is none, or is cut off. */
async function bodyOf(response: Response): Promise<unknown> {
  try {
    return await response.json()
  } catch {
    return undefined
  }
}

function isAboutJob(body: unknown): boolean {
  return typeof body === 'object' && body !== null && 'found' in body
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
