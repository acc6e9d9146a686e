import { type Clock, checkOptions, errorMessages, type Logger, redact, rule, systemClock } from '../index.js'
import { EventHub } from './_events.js'
import { findRoute, isUnder, type JobsAction, type NamedJob, type Reply, type ServedRegistry } from './_routes.js'
import { isStream, type TextStream, toWebStream } from './_stream.js'
import { errorBody, internalError, isPretty, readQuery, thrownBody, type WireError } from './wire.js'

export type { JobsAction, NamedJob, ServedRegistry } from './_routes.js'
export type { TextStream } from './_stream.js'
export type { WireError, WireErrorType, WireHit, WireHits, WireJob, WireStatus } from './wire.js'

/** How the API is served. */
export interface JobsHandlerOptions {
  /** The path that all calls are under: `/`, or one without a slash at its end. Default `/_siren/connector/jobs`. */
  basePath?: string
  /** Says who may do what. Default: everybody may do everything. */
  authorize?: Authorize
  /** Where operators are told what could not be answered, and why. Default: nowhere. */
  logger?: Pick<Logger, 'error'>
  /** How often a stream of events gives a sign of life, in milliseconds, 100 to 30,000. Default 15,000. */
  keepAlive?: number
  /** The time. Default: the machine's. */
  clock?: Clock
}

/**
 * Says whether a call may go on: `true`, or `false` for 403, or a {@link Refusal}. It is asked once the path has named
 * the call, and before anything is read or done. What it throws is logged and answered with 500.
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

const registryRule = rule.having('has', 'start', 'status', 'running', 'abort', 'search', 'on')

const handlerRules = {
  basePath: {
    accepts: (value: unknown) => typeof value === 'string' && /^(\/|(\/[\w.~!$&'()*+,;=:@%-]+)+)$/.test(value),
    expected: '`/`, or a path that begins with a slash and does not end with one, such as `/api/jobs`',
    optional: true,
  },
  authorize: rule.optional(rule.aFunction),
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
    const { method, url, headers } = request
    const answer = await api.answer({ method, url, headers, native: request })
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
  readonly #authorize: Authorize | undefined
  readonly #logger: Pick<Logger, 'error'> | undefined
  readonly #hub: EventHub

  constructor(registry: ServedRegistry, options: JobsHandlerOptions) {
    const { basePath = defaultBasePath, authorize, logger, keepAlive = 15_000, clock = systemClock } = options
    this.#registry = registry
    this.#base = basePath === '/' ? '' : basePath
    this.#authorize = authorize
    this.#logger = logger
    this.#hub = new EventHub({ registry, clock, keepAlive, logger })
  }

  covers(url: string): boolean {
    return isUnder(this.#base, splitUrl(url).path)
  }

  endStreams(): void {
    this.#hub.endAll()
  }

  async answer(request: JobsRequest): Promise<JobsAnswer> {
    const { path, query } = splitUrl(request.url)
    const { status, headers, body } = await this.#reply(request, path, query)
    if (isStream(body)) {
      const isHead = request.method === 'HEAD'
      return { status, headers: { 'cache-control': 'no-store', ...headers }, body: isHead ? '' : body }
    }
    const text = JSON.stringify(body, undefined, isPretty(query) ? 2 : undefined)
    return {
      status,
      headers: {
        ...headers,
        'content-type': 'application/json; charset=utf-8',
        'cache-control': 'no-store',
        'content-length': String(utf8.encode(text).byteLength),
      },
      body: request.method === 'HEAD' ? '' : text,
    }
  }

  async #reply(request: JobsRequest, path: string, query: URLSearchParams): Promise<Reply> {
    try {
      const found = findRoute(request.method, path, this.#base)
      if (!('route' in found)) return found
      const { route, job } = found
      const refusal = await this.#refusal(request, route.action, job)
      if (refusal) return refusal
      const context = { hub: this.#hub, lastEventId: request.headers.get('last-event-id') }
      return await route.answer(this.#registry, job, readQuery(query, route.parameters), context)
    } catch (error) {
      return this.#failure(request, error, thrownBody(error))
    }
  }

  async #refusal(request: JobsRequest, action: JobsAction, job: NamedJob): Promise<Reply | undefined> {
    try {
      const verdict = this.#authorize ? await this.#authorize(request, action, job) : true
      return verdict === true ? undefined : toReply(verdict || { status: 403 })
    } catch (error) {
      return this.#failure(request, error, internalError)
    }
  }

  #failure({ method, url }: JobsRequest, error: unknown, body: WireError): Reply {
    const details = { method, url: redact(url), error: errorMessages(error) }
    if (body.status >= 500) this.#logger?.error(details, 'Could not answer a call of the jobs API.')
    return { status: body.status, body }
  }
}

const utf8 = new TextEncoder()

/** The raw path and the query of an address that may be absolute. */
function splitUrl(url: string): { path: string; query: URLSearchParams } {
  const [, path = '', query] = /^(?:[a-z][a-z\d+.-]*:\/\/[^/?#]*)?([^?#]*)(?:\?([^#]*))?/i.exec(url) ?? []
  return { path, query: new URLSearchParams(query) }
}

function toReply({ status, reason, headers }: Refusal): Reply {
  const body =
    status === 401
      ? errorBody('unauthorized', reason ?? 'The call needs to say who makes it.')
      : errorBody('forbidden', reason ?? 'The call is not allowed.')
  return { status: body.status, body, headers: Object.fromEntries(new Headers(headers)) }
}
