import { checkOptions, commonRedactor, isolatedLogger, rule, systemClock } from '../adapter.js'
import { type Clock, errorMessages, JobError, type Logger, type SearchFilter } from '../index.js'
import { errorBody, internalError, thrownBody, type WireError, wireErrors } from '../wire/index.js'
import { isStream, jsonHeaders, type TextStream, toWebStream } from './answers/index.js'
import {
  crossSiteReason,
  type Found,
  findRoute,
  hostReason,
  isHostName,
  isPretty,
  isUnder,
  type JobsAction,
  jobOf,
  type NamedJob,
  type Reply,
  readQuery,
  routes,
  type ServedRegistry,
  StorageLimiter,
} from './api/index.js'
import { EventBroadcaster } from './events/index.js'

export type { WireError, WireErrorType, WireHit, WireHits, WireJob, WireStatus } from '../wire/index.js'
export type { TextStream } from './answers/index.js'
export type { JobsAction, NamedJob, ServedRegistry } from './api/index.js'

/** The options of {@link createJobsHandler}. */
export interface JobsHandlerOptions {
  /** The base path of all calls: `/`, or a path without a trailing slash. Default `/_siren/connector/jobs`. */
  basePath?: string
  /** Decides whether a call is allowed. Default: every caller may make every call. */
  authorize?: Authorize
  /** How long `authorize` may take, in milliseconds, 1 to 600,000. Later, the call answers 500. Default 10,000. */
  authorizeTimeout?: number
  /**
   * The host names of the server, such as `localhost` or `jobs.example.com:8080`. A call with another `Host` is
   * refused with 403. A name without a port matches every port. Default: every `Host` is accepted. This protects a
   * server that trusts its network, such as one on loopback, from DNS rebinding.
   */
  allowedHosts?: readonly string[]
  /**
   * Origins of other sites whose pages may start and abort jobs, such as `https://admin.example.com`. Default: none.
   * Other cross-site calls of browsers are refused with 403. This does not set CORS headers; the host does.
   */
  allowedOrigins?: readonly string[]
  /** Logs calls that failed, with the reason. Default: no logging. */
  logger?: Pick<Logger, 'error'>
  /** How often a stream of events sends a keep-alive, in milliseconds, 100 to 30,000. Default 15,000. */
  keepAlive?: number
  /** The clock. Default: that of the machine. */
  clock?: Clock
}

/**
 * Decides whether a call is allowed: `true`, `false` for 403, or a {@link Refusal}. It is called for every request
 * under the base path, before anything is read, changed or answered. A request that matches no call of the API is
 * asked about as a `read` without a job. An error that it throws is logged and answered with 500.
 */
export type Authorize = (
  request: JobsRequest,
  action: JobsAction,
  job: NamedJob,
) => boolean | Refusal | Promise<boolean | Refusal>

/** A refusal with a status and a reason. */
export interface Refusal {
  /** 401 for an unknown caller, 403 for a known caller without permission. */
  status: 401 | 403
  /** The reason in the answer. Default: a general sentence. */
  reason?: string
  /** Headers of the answer, such as `www-authenticate`. */
  headers?: Record<string, string>
}

/** A request, independent of the server. */
export interface JobsRequest {
  /** The method, in upper case. */
  method: string
  /** The URL: absolute or from the path on, percent-encoded as received. */
  url: string
  /** The headers; names are case-insensitive. */
  headers: { get(name: string): string | null }
  /** The request of the underlying server: a `Request`, or a node or Express request. */
  native: unknown
  /**
   * Aborts when the client disconnects before the answer. The handler then drops its work for that client. Default:
   * never.
   */
  readonly signal?: AbortSignal | undefined
}

/** An answer, independent of the server. */
export interface JobsAnswer {
  /** The HTTP status. */
  status: number
  /** The headers, in lower case, with `content-length` unless the body is a stream. */
  headers: Record<string, string>
  /** The body: JSON text, empty for `HEAD`, or a stream of text. */
  body: string | TextStream
}

/** The API as a fetch handler, with the methods that other mounts use. */
export interface JobsHandler {
  /** Answers a web request. Never rejects. */
  (request: Request): Promise<Response>
  /** Answers any request. Never rejects. */
  answer(request: JobsRequest): Promise<JobsAnswer>
  /** Whether a URL is under the base path. The handler answers others with 404. */
  covers(url: string): boolean
  /** Ends all event streams, so that a server can close. Their readers reconnect. */
  endStreams(): void
  /** The base path of all calls. */
  readonly basePath: string
}

const defaultBasePath = '/_siren/connector/jobs'

/** The longest URL, in characters: what `_search` needs for the longest type and ids. */
const maxUrlLength = 16_384

const registryRule = rule.having('has', 'start', 'status', 'running', 'abort', 'search', 'health', 'on')

const handlerRules = {
  basePath: {
    accepts: (value: unknown) => typeof value === 'string' && /^(\/|(\/[\w.~!$&'()*+,;=:@%-]+)+)$/.test(value),
    expected: '`/`, or a path that begins with a slash and does not end with one, such as `/api/jobs`',
    optional: true,
  },
  authorize: rule.optional(rule.aFunction),
  authorizeTimeout: rule.optional(rule.whole(1, 600_000)),
  allowedHosts: {
    accepts: (value: unknown) => Array.isArray(value) && value.length > 0 && value.every(isHostName),
    expected: 'a list of one or more names of hosts, such as `localhost` or `jobs.example.com:8080`',
    optional: true,
  },
  allowedOrigins: {
    accepts: (value: unknown) => Array.isArray(value) && value.every(isOrigin),
    expected: 'a list of origins, such as `https://admin.example.com`',
    optional: true,
  },
  logger: rule.optional(rule.having('error')),
  keepAlive: rule.optional(rule.whole(100, 30_000)),
  clock: rule.optional(rule.aClock),
}

/**
 * Creates the HTTP API of a registry. Pass the handler to a server that uses fetch, or to a mount such as
 * `toNodeHandler` of `headgate/http/node`. Throws `invalid_options`.
 */
export function createJobsHandler(registry: ServedRegistry, options: JobsHandlerOptions = {}): JobsHandler {
  checkOptions('arguments', { registry }, { registry: registryRule })
  checkOptions('options', options, handlerRules)
  const api = new JobsApi(registry, options)
  const handle = async (request: Request): Promise<Response> => {
    const { method, url } = request
    const headers = headersOf(request)
    const answer = await api.answer({ method, url, headers, native: request, signal: request.signal })
    const { body } = answer
    return new Response(typeof body === 'string' ? body || null : toWebStream(body), answer)
  }
  return Object.assign(handle, {
    answer: (request: JobsRequest) => api.answer(request),
    covers: (url: string) => api.covers(url),
    endStreams: () => api.endStreams(),
    basePath: options.basePath ?? defaultBasePath,
  })
}

class JobsApi {
  readonly #registry: ServedRegistry
  readonly #base: string
  readonly #clock: Clock
  readonly #authorize: Authorize | undefined
  readonly #authorizeTimeout: number
  readonly #allowedHosts: readonly string[] | undefined
  readonly #allowedOrigins: readonly string[]
  readonly #logger: Logger
  readonly #limiter: StorageLimiter
  readonly #broadcaster: EventBroadcaster

  constructor(registry: ServedRegistry, options: JobsHandlerOptions) {
    const { basePath = defaultBasePath, allowedOrigins = [], logger = {} } = options
    const { authorizeTimeout = 10_000, keepAlive = 15_000, clock = systemClock } = options
    this.#registry = registry
    this.#base = basePath === '/' ? '' : basePath
    this.#clock = clock
    this.#authorize = options.authorize
    this.#authorizeTimeout = authorizeTimeout
    this.#allowedHosts = options.allowedHosts
    this.#allowedOrigins = allowedOrigins
    this.#logger = isolatedLogger(logger, registry.redactor ?? commonRedactor)
    this.#limiter = new StorageLimiter(clock)
    const search = (filter: SearchFilter) => this.#limiter.run(() => registry.search(filter))
    this.#broadcaster = new EventBroadcaster({ registry, search, clock, keepAlive, logger: this.#logger })
  }

  covers(url: string): boolean {
    return isUnder(this.#base, splitUrl(url).path)
  }

  endStreams(): void {
    this.#broadcaster.endAll()
  }

  async answer(request: JobsRequest): Promise<JobsAnswer> {
    if (request.url.length > maxUrlLength) return toAnswer(request, noQuery, urlTooLong)
    const { path, search } = splitUrl(request.url)
    const query = search === undefined ? noQuery : new URLSearchParams(search)
    try {
      const reply = await this.#reply(request, path, query)
      if (reply.failure) this.#log(request, reply.failure)
      return toAnswer(request, query, reply)
    } catch (error) {
      return toAnswer(request, query, this.#failure(request, error, thrownBody(error)))
    }
  }

  #reply(request: JobsRequest, path: string, query: URLSearchParams): Reply | Promise<Reply> {
    const found = findRoute(request.method, path, this.#base)
    if (isUnder(this.#base, path)) {
      const reason = this.#foreignReason(request)
      if (reason !== undefined) return toReply({ status: 403, reason })
      if (this.#authorize) return this.#answerIfAllowed(this.#authorize, request, found, query)
    }
    return this.#answer(request, found, query)
  }

  /** Returns why a call that may come from a page of another site is refused. */
  #foreignReason(request: JobsRequest): string | undefined {
    const reason = this.#allowedHosts && hostReason(request, this.#allowedHosts)
    return reason ?? crossSiteReason(request, this.#allowedOrigins)
  }

  async #answerIfAllowed(
    authorize: Authorize,
    request: JobsRequest,
    found: Found | (() => Reply),
    query: URLSearchParams,
  ): Promise<Reply> {
    return (await this.#refusal(authorize, request, found, query)) ?? this.#answer(request, found, query)
  }

  #answer(request: JobsRequest, found: Found | (() => Reply), query: URLSearchParams): Reply | Promise<Reply> {
    if (typeof found === 'function') return found()
    const { route, job } = found
    return route.answer({
      registry: this.#registry,
      job,
      options: readQuery(query, route.parameters),
      request,
      limiter: this.#limiter,
      broadcaster: this.#broadcaster,
      indent: isPretty(query) ? 2 : 0,
      base: this.#base,
      routes,
    })
  }

  async #refusal(
    authorize: Authorize,
    request: JobsRequest,
    found: Found | (() => Reply),
    query: URLSearchParams,
  ): Promise<Reply | undefined> {
    const [action, job] =
      typeof found === 'function' ? (['read', {}] as const) : ([found.route.action, jobOf(found, query)] as const)
    try {
      const verdict = await this.#inTime(authorize(request, action, job))
      return verdict === true ? undefined : toReply(verdict || { status: 403 })
    } catch (error) {
      return this.#failure(request, error, internalError)
    }
  }

  /** The result of `authorize`, with a time limit: it is foreign code and may hang. */
  #inTime(verdict: ReturnType<Authorize>): ReturnType<Authorize> {
    if (typeof verdict === 'boolean') return verdict
    const limit = this.#authorizeTimeout
    return new Promise((resolve, reject) => {
      const onTimeout = () => reject(new JobError('server', `\`authorize\` did not answer within ${limit} ms.`))
      const timer = this.#clock.setTimer(limit, onTimeout, { background: true })
      Promise.resolve(verdict)
        .then(resolve, reject)
        .finally(() => timer.cancel())
    })
  }

  #failure(request: JobsRequest, error: unknown, body: WireError): Reply {
    // A client that has disconnected needs no answer and no log entry.
    if (body.status >= 500 && !request.signal?.aborted)
      this.#log(request, errorMessages(error, this.#registry.redactor))
    return { status: body.status, body }
  }

  #log({ method, url }: JobsRequest, error: readonly string[]): void {
    this.#logger.error({ method, url, error }, 'Could not answer a call of the jobs API.')
  }
}

/** Most calls have no query. */
const noQuery = new URLSearchParams()

const utf8 = new TextEncoder()

/** The length of a text in UTF-8, without encoding it where `Buffer` exists. */
const byteLengthOf: (text: string) => number = globalThis.Buffer?.byteLength ?? ((text) => utf8.encode(text).byteLength)

/** Serializes a reply, unless it is a stream. */
function toAnswer({ method }: JobsRequest, query: URLSearchParams, { status, headers, body }: Reply): JobsAnswer {
  const isHead = method === 'HEAD'
  if (isStream(body)) return { status, headers: { 'cache-control': 'no-store', ...headers }, body: isHead ? '' : body }
  const text = JSON.stringify(body, undefined, isPretty(query) ? 2 : undefined)
  return {
    status,
    headers: { ...headers, ...jsonHeaders, 'content-length': String(byteLengthOf(text)) },
    body: isHead ? '' : text,
  }
}

const urlTooLong: Reply = {
  status: wireErrors.uri_too_long,
  body: errorBody('uri_too_long', `Expected the address to have up to ${maxUrlLength} characters`),
}

/** The headers of a web request. A request without a `Host` gets the host of its URL. */
function headersOf({ url, headers }: Request): JobsRequest['headers'] {
  return { get: (name) => headers.get(name) ?? (name.toLowerCase() === 'host' ? new URL(url).host : null) }
}

function isOrigin(value: unknown): boolean {
  return typeof value === 'string' && URL.canParse(value) && new URL(value).origin === value
}

/**
 * Splits a URL, which may be absolute, into its raw path and its query. A URL with a `#` in its path, which no client
 * sends, has no path, because guards of the host may read the `#` as a part of the path.
 */
function splitUrl(url: string): { path: string; search: string | undefined } {
  if (/^\/[^?#]*$/.test(url)) return { path: url, search: undefined }
  const [, path = '', search] = /^(?:[a-z][a-z\d+.-]*:\/\/[^/?#]*)?([^?#]*)(?:\?([^#]*)(?:#.*)?)?$/is.exec(url) ?? []
  return { path, search }
}

/** Converts a refusal to a reply. Its input is foreign and may have any form. */
function toReply({ status, reason, headers }: Refusal): Reply {
  const text = typeof reason === 'string' ? reason : undefined
  const body =
    status === 401
      ? errorBody('unauthorized', text ?? 'The call requires authentication.')
      : errorBody('forbidden', text ?? 'The call is not allowed.')
  return { status: body.status, body, headers: Object.fromEntries(new Headers(headers)) }
}
