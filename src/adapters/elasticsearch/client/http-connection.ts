import * as http from 'node:http'
import * as https from 'node:https'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import {
  type Answer,
  AnswerTooLong,
  type Connection,
  isUnsent,
  maxAnswer,
  NoAnswer,
  retryAfterOf,
  type ServerRequest,
} from './connection.js'
import type { ConnectionOptions } from './connection-options.js'

const zip = promisify(gzip)

/** How long a request may take by default, in milliseconds. */
const defaultTimeout = 60_000

/** How long an unused connection stays open, in milliseconds: shorter than proxies and servers keep it. */
const idleTimeout = 15_000

/** Requests over connections of Node that stay open: `fetch` takes twice the time of the processor. */
export class HttpConnection implements Connection {
  readonly #url: URL
  readonly #prefix: string
  readonly #agent: http.Agent
  readonly #send: typeof http.request
  readonly #headers: Readonly<Record<string, string>>
  readonly #timeout: number
  readonly #isZipped: boolean

  constructor(options: ConnectionOptions) {
    this.#url = new URL(options.node as string)
    this.#prefix = ['', ...this.#url.pathname.split('/').filter(Boolean)].join('/')
    const isSecure = this.#url.protocol === 'https:'
    const settings = { keepAlive: true, timeout: idleTimeout }
    this.#agent = isSecure
      ? new https.Agent({ ...settings, ...(options.tls as https.AgentOptions) })
      : new http.Agent(settings)
    this.#send = isSecure ? https.request : http.request
    this.#headers = { ...options.headers, ...authorizationOf(options, this.#url) }
    this.#timeout = options.timeout ?? defaultTimeout
    this.#isZipped = options.compression ?? false
  }

  async request(request: ServerRequest): Promise<Answer> {
    request.signal.throwIfAborted()
    const { body, isBulk } = request
    const bytes = typeof body === 'string' ? Buffer.from(body) : body
    const sent = bytes && this.#isZipped && isBulk ? await zip(bytes, { level: 1 }) : bytes
    return this.#exchange(request, sent, sent !== bytes)
  }

  close(): void {
    this.#agent.destroy()
  }

  #exchange(
    { method, path, query, isBulk, signal }: ServerRequest,
    body: Buffer | undefined,
    isZipped: boolean,
  ): Promise<Answer> {
    const search = query ? `?${new URLSearchParams(query)}` : ''
    const type = isBulk ? 'application/x-ndjson' : 'application/json'
    const headers = {
      ...this.#headers,
      accept: 'application/json',
      ...(body && { 'content-type': type, 'content-length': body.byteLength }),
      ...(isZipped && { 'content-encoding': 'gzip' }),
    }
    const { hostname, port } = this.#url
    const to = {
      agent: this.#agent,
      host: hostname.replace(/^\[|\]$/g, ''),
      port,
      method,
      path: `${this.#prefix}${path}${search}`,
      headers,
    }
    return new Promise((resolve, reject) => {
      const call = this.#send(to)
      const fail = (error: unknown) => {
        settle()
        call.destroy()
        reject(signal.aborted ? signal.reason : failureOf(error))
      }
      const timer = setTimeout(
        () => fail(new NoAnswer(`The server has not answered within ${this.#timeout} ms.`, true)),
        this.#timeout,
      )
      const abort = () => fail(signal.reason)
      const settle = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', abort)
      }
      signal.addEventListener('abort', abort)
      let isAnswered = false
      // A server that refuses a large body may answer, and reset the connection while it is sent.
      call.on('error', (error) => !isAnswered && fail(error))
      call.on('response', (response) => {
        isAnswered = true
        collect(response).then((answer) => {
          settle()
          resolve(answer)
        }, fail)
      })
      call.end(body)
    })
  }
}

function failureOf(error: unknown): NoAnswer {
  if (error instanceof NoAnswer) return error
  const isSent = !isUnsent(error)
  const message = isSent ? 'The connection ended without an answer.' : 'The server could not be reached.'
  return new NoAnswer(message, isSent, { cause: error })
}

/** Collects an answer by events, which cost less than an iterator. */
function collect(response: http.IncomingMessage): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    const cut = (cause?: unknown) =>
      reject(new NoAnswer('The answer was cut.', true, cause === undefined ? {} : { cause }))
    response.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      size += chunk.byteLength
      if (size > maxAnswer) reject(new AnswerTooLong())
    })
    response.on('error', cut)
    response.on('close', () => cut())
    response.on('end', () => {
      if (!response.complete) return cut()
      const body = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)
      resolve({ status: response.statusCode ?? 0, retryAfter: retryAfterOf(response.headers['retry-after']), body })
    })
  })
}

function authorizationOf({ auth }: ConnectionOptions, { username, password }: URL): Record<string, string> {
  if (auth && 'apiKey' in auth) return { authorization: `ApiKey ${auth.apiKey}` }
  if (auth && 'bearer' in auth) return { authorization: `Bearer ${auth.bearer}` }
  const login =
    auth ?? (username ? { username: decodeURIComponent(username), password: decodeURIComponent(password) } : undefined)
  if (!login) return {}
  return { authorization: `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}` }
}
