import {
  type Clock,
  checkOptions,
  commonRedactor,
  errorMessages,
  JobError,
  type Logger,
  rule,
  type SearchFilter,
  systemClock,
} from '../index.js'
import { crossSiteReason, hostReason, isHostName } from './_cross-site.js'
import { EventHub } from './_events.js'
import { jsonHeaders } from './_hits.js'
import { ReadGate } from './_read-gate.js'
import {
  type Found,
  findRoute,
  isUnder,
  type JobsAction,
  jobOf,
  type NamedJob,
  type Reply,
  type ServedRegistry,
} from './_routes.js'
import { isStream, type TextStream, toWebStream } from './_stream.js'
import { errorBody, internalError, isPretty, readQuery, thrownBody, type WireError, wireErrors } from './wire.js'

export type { JobsAction, NamedJob, ServedRegistry } from './_routes.js'
export type { TextStream } from './_stream.js'
export type { WireError, WireErrorType, WireHit, WireHits, WireJob, WireStatus } from './wire.js'

/** How the API is served. */
export interface JobsHandlerOptions {
  /** The path that all calls are under: `/`, or one without a slash at its end. Default `/_siren/connector/jobs`. */
  basePath?: string
  /** Says who may do what. Default: everybody may do everything. */
  authorize?: Authorize
  /** How long `authorize` may take, in milliseconds, 1 to 600,000. A call that waited longer is a 500. Default 10,000. */
  authorizeTimeout?: number
  /**
   * Names that the server goes by, such as `localhost` or `jobs.example.com:8080`: a call whose `Host` is another is refused
   * with 403. A name without a port stands for all ports. Default: every `Host` will do. It protects a server that trusts
   * who can reach it, as one on loopback does, from pages that make their own name lead there (DNS rebinding).
   */
  allowedHosts?: readonly string[]
  /**
   * Origins of other sites whose pages may start and abort jobs, such as `https://admin.example.com`. Default: none. What
   * browsers send for pages of other sites is refused with 403; this says nothing about CORS, which is the host's.
   */
  allowedOrigins?: readonly string[]
  /** Where operators are told what could not be answered, and why. Default: nowhere. */
  logger?: Pick<Logger, 'error'>
  /** How often a stream of events gives a sign of life, in milliseconds, 100 to 30,000. Default 15,000. */
  keepAlive?: number
  /** The time. Default: the machine's. */
  clock?: Clock
}

/**
 * Says whether a call may go on: `true`, or `false` for 403, or a {@link Refusal}. It is asked about whatever comes for an
 * address under the base path, before anything is read, done or told; about what is no call of the API as a `read` of no
 * job. What it throws is logged and answered with 500.
 */
export type Authorize = (
  request: JobsRequest,
  action: JobsAction,
  job: NamedJob,
) => boolean | Refusal | Promise<boolean | Refusal>

/** A refusal with words. */
export interface Refusal {
  /** 401 for somebody unknown, 403 for somebody known who may not. */
  status: 401 | 403
  /** What the caller is told. Default: a general sentence. */
  reason?: string
  /** Headers of the answer, such as `www-authenticate`. */
  headers?: Record<string, string>
}

/** A request, whatever it came by. */
export interface JobsRequest {
  /** The method, in capitals. */
  method: string
  /** The address: absolute, or from the path on; percent-encoded as it came. */
  url: string
  /** The headers, by names in any case. */
  headers: { get(name: string): string | null }
  /** The request of the server underneath: a `Request`, a node or Express request. */
  native: unknown
  /** Aborts when the client goes away before it was answered: nothing is kept or done for it then. Default: never. */
  readonly signal?: AbortSignal | undefined
}

/** An answer, whatever it leaves by. */
export interface JobsAnswer {
  /** The HTTP status. */
  status: number
  /** The headers, in lower case, with `content-length` unless the body is a stream. */
  headers: Record<string, string>
  /** The body: JSON, nothing for `HEAD`, or the text of a stream, piece by piece as it comes. */
  body: string | TextStream
}

/** The API as a fetch handler, and as what faces for other servers are made of. */
export interface JobsHandler {
  /** Answers a web request. Never rejects. */
  (request: Request): Promise<Response>
  /** Answers any request. Never rejects. */
  answer(request: JobsRequest): Promise<JobsAnswer>
  /** Whether an address is under the base path. Others are answered with 404. */
  covers(url: string): boolean
  /** Ends all streams of events, so that a server can close. Their readers come back, if there is somebody to come to. */
  endStreams(): void
  /** The path that all calls are under. */
  readonly basePath: string
}

const defaultBasePath = '/_siren/connector/jobs'

/** The longest address, in characters: what `_search` needs for the longest type and ids that there are. */
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
  clock: rule.optional(rule.having('now', 'setTimer')),
}

/**
 * The HTTP API of a registry. Give it to a server that speaks fetch, or to `toNodeHandler` of `headgate/http/node`.
 * Throws `invalid_options`.
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
  readonly #logger: Pick<Logger, 'error'> | undefined
  readonly #gate: ReadGate
  readonly #hub: EventHub

  constructor(registry: ServedRegistry, options: JobsHandlerOptions) {
    const { basePath = defaultBasePath, allowedOrigins = [], logger } = options
    const { authorizeTimeout = 10_000, keepAlive = 15_000, clock = systemClock } = options
    this.#registry = registry
    this.#base = basePath === '/' ? '' : basePath
    this.#clock = clock
    this.#authorize = options.authorize
    this.#authorizeTimeout = authorizeTimeout
    this.#allowedHosts = options.allowedHosts
    this.#allowedOrigins = allowedOrigins
    this.#logger = logger
    this.#gate = new ReadGate(clock)
    const search = (filter: SearchFilter) => this.#gate.read(() => registry.search(filter))
    this.#hub = new EventHub({ registry, search, clock, keepAlive, logger })
  }

  covers(url: string): boolean {
    return isUnder(this.#base, splitUrl(url).path)
  }

  endStreams(): void {
    this.#hub.endAll()
  }

  async answer(request: JobsRequest): Promise<JobsAnswer> {
    if (request.url.length > maxUrlLength) return toAnswer(request, noQuery, tooLong)
    const { path, search } = splitUrl(request.url)
    const query = search === undefined ? noQuery : new URLSearchParams(search)
    try {
      const reply = await this.#reply(request, path, query)
      if (reply.failure) this.#tell(request, reply.failure)
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
      if (this.#authorize) return this.#goIfAllowed(this.#authorize, request, found, query)
    }
    return this.#go(request, found, query)
  }

  /** Why a call is refused that a page of another site may have made a browser send. */
  #foreignReason(request: JobsRequest): string | undefined {
    const reason = this.#allowedHosts && hostReason(request, this.#allowedHosts)
    return reason ?? crossSiteReason(request, this.#allowedOrigins)
  }

  async #goIfAllowed(
    authorize: Authorize,
    request: JobsRequest,
    found: Found | (() => Reply),
    query: URLSearchParams,
  ): Promise<Reply> {
    return (await this.#refusal(authorize, request, found, query)) ?? this.#go(request, found, query)
  }

  #go(request: JobsRequest, found: Found | (() => Reply), query: URLSearchParams): Reply | Promise<Reply> {
    if (typeof found === 'function') return found()
    const { route, job } = found
    const context = { base: this.#base, hub: this.#hub, gate: this.#gate, request, indent: isPretty(query) ? 2 : 0 }
    return route.answer(this.#registry, job, readQuery(query, route.parameters), context)
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

  /** What `authorize` answers, which somebody else wrote: it may take for ever. */
  #inTime(verdict: ReturnType<Authorize>): ReturnType<Authorize> {
    if (typeof verdict === 'boolean') return verdict
    const limit = this.#authorizeTimeout
    return new Promise((resolve, reject) => {
      const late = () => reject(new JobError('server', `\`authorize\` did not answer within ${limit} ms.`))
      const timer = this.#clock.setTimer(limit, late, { background: true })
      Promise.resolve(verdict)
        .then(resolve, reject)
        .finally(() => timer.cancel())
    })
  }

  #failure(request: JobsRequest, error: unknown, body: WireError): Reply {
    // Whom nobody answers any more, nobody need tell of.
    if (body.status >= 500 && !request.signal?.aborted)
      this.#tell(request, errorMessages(error, this.#registry.redactor))
    return { status: body.status, body }
  }

  #tell({ method, url }: JobsRequest, error: readonly string[]): void {
    this.#logger?.error(
      { method, url: (this.#registry.redactor ?? commonRedactor).redact(url), error },
      'Could not answer a call of the jobs API.',
    )
  }
}

/** Most calls have none. */
const noQuery = new URLSearchParams()

const utf8 = new TextEncoder()

/** The length of a text in UTF-8: where there is a `Buffer`, without encoding it. */
const byteLengthOf: (text: string) => number = globalThis.Buffer?.byteLength ?? ((text) => utf8.encode(text).byteLength)

/** A reply as it leaves: printed, unless it is a stream. */
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

const tooLong: Reply = {
  status: wireErrors.uri_too_long,
  body: errorBody('uri_too_long', `Expected the address to have up to ${maxUrlLength} characters`),
}

/** The headers of a web request. One that did not come over HTTP has no `Host`, but its address has one. */
function headersOf({ url, headers }: Request): JobsRequest['headers'] {
  return { get: (name) => headers.get(name) ?? (name.toLowerCase() === 'host' ? new URL(url).host : null) }
}

function isOrigin(value: unknown): boolean {
  return typeof value === 'string' && URL.canParse(value) && new URL(value).origin === value
}

/**
 * The raw path and the query, if there is one, of an address that may be absolute. One with a `#` behind its path, which no
 * client sends, has none: guards of the host may take it for a part of the path.
 */
function splitUrl(url: string): { path: string; search: string | undefined } {
  if (/^\/[^?#]*$/.test(url)) return { path: url, search: undefined }
  const [, path = '', search] = /^(?:[a-z][a-z\d+.-]*:\/\/[^/?#]*)?([^?#]*)(?:\?([^#]*)(?:#.*)?)?$/is.exec(url) ?? []
  return { path, search }
}

/** What a refusal is on the wire, whatever came as one. */
function toReply({ status, reason, headers }: Refusal): Reply {
  const said = typeof reason === 'string' ? reason : undefined
  const body =
    status === 401
      ? errorBody('unauthorized', said ?? 'The call needs to say who makes it.')
      : errorBody('forbidden', said ?? 'The call is not allowed.')
  return { status: body.status, body, headers: Object.fromEntries(new Headers(headers)) }
}
