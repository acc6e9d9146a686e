import { commonRedactor, invalid, isolatedLogger, type Redactor, systemClock } from '../../adapter.js'
import { type Clock, errorMessages, JobError, type Logger } from '../../index.js'
import { errorBody, internalError, thrownBody, type WireError, wireErrors } from '../../wire/index.js'
import { isStream, jsonHeaders } from '../answers/index.js'
import { type Answering, RegistryAnswering } from './answering.js'
import { crossSiteReason, hostReason } from './csrf.js'
import { type Found, findRoute, isUnder, jobOf } from './find-route.js'
import {
  type Authorize,
  defaultBasePath,
  type JobsAnswer,
  type JobsHandlerOptions,
  type JobsRequest,
  type Refusal,
} from './handler-options.js'
import { isPretty } from './parameters.js'
import type { Reply, ServedRegistry } from './route.js'
import { splitUrl } from './url-path.js'

/** The longest URL, in characters: what `_search` needs for the longest type and ids. */
const maxUrlLength = 16_384

/** How many messages about verdicts are logged. */
const maxVerdicts = 10

/** The jobs API on any server: checks who calls, and lets the rest be answered. */
export class JobsApi {
  readonly #answering: Answering
  readonly #redactor: Redactor
  readonly #base: string
  readonly #clock: Clock
  readonly #authorize: Authorize | undefined
  readonly #authorizeTimeout: number
  readonly #allowedHosts: readonly string[] | undefined
  readonly #allowedOrigins: readonly string[]
  readonly #logger: Logger
  /** The messages about verdicts that were logged. */
  readonly #verdicts = new Set<string>()

  /** `redactor` is for what is logged. */
  constructor(options: JobsHandlerOptions, redactor: Redactor, answering: (logger: Logger) => Answering) {
    const { basePath = defaultBasePath, allowedOrigins = [], logger = {} } = options
    const { authorizeTimeout = 10_000, clock = systemClock } = options
    this.#redactor = redactor
    this.#base = basePath === '/' ? '' : basePath
    this.#clock = clock
    this.#authorize = options.authorize
    this.#authorizeTimeout = authorizeTimeout
    this.#allowedHosts = options.allowedHosts
    this.#allowedOrigins = allowedOrigins
    this.#logger = isolatedLogger(logger, redactor)
    this.#answering = answering(this.#logger)
  }

  /** The API of a registry. */
  static of(registry: ServedRegistry, options: JobsHandlerOptions): JobsApi {
    const answering = (logger: Logger) => new RegistryAnswering(registry, options, logger)
    return new JobsApi(options, registry.redactor ?? commonRedactor, answering)
  }

  covers(url: string): boolean {
    return isUnder(this.#base, splitUrl(url).path)
  }

  endStreams(): void {
    this.#answering.endStreams()
  }

  /** The answer to a request for a page beside the API, a `read` without a job, that is refused. `undefined` when it is allowed. */
  async refusal(request: JobsRequest): Promise<JobsAnswer | undefined> {
    const reason = this.#foreignReason(request)
    const reply =
      reason !== undefined
        ? toReply({ status: 403, reason })
        : this.#authorize && (await this.#refusal(this.#authorize, request, undefined, noQuery))
    return reply && toAnswer(request, noQuery, reply)
  }

  async answer(request: JobsRequest): Promise<JobsAnswer> {
    // A server that headgate does not know may pass anything.
    if (typeof request.url !== 'string') return toAnswer(request, noQuery, noUrl)
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
    return typeof found === 'function' ? found() : this.#answering.answer(found, query, request)
  }

  async #refusal(
    authorize: Authorize,
    request: JobsRequest,
    found: Found | (() => Reply) | undefined,
    query: URLSearchParams,
  ): Promise<Reply | undefined> {
    const [action, job] =
      found === undefined || typeof found === 'function'
        ? (['read', {}] as const)
        : ([found.route.action, jobOf(found, query)] as const)
    try {
      const verdict = await this.#inTime(authorize(request, action, job))
      if (verdict === true) return undefined
      if (!isRefusal(verdict)) this.#logVerdict(request, verdict)
      return toReply(verdict || { status: 403 })
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

  /** Logs what `authorize` returned in place of a verdict, once, as anyone may call. */
  #logVerdict(request: JobsRequest, verdict: unknown): void {
    const status: unknown = Object(verdict ?? {}).status
    const shown = status === undefined ? verdict : `status: ${String(status)}`
    const { message } = invalid('authorize()', 'true, false or an object with the `status` 401 or 403', shown)
    if (this.#verdicts.has(message) || this.#verdicts.size === maxVerdicts) return
    this.#verdicts.add(message)
    this.#log(request, [message])
  }

  #failure(request: JobsRequest, error: unknown, body: WireError): Reply {
    // A client that has disconnected needs no answer and no log entry.
    if (body.status >= 500 && !request.signal?.aborted) this.#log(request, errorMessages(error, this.#redactor))
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

const noUrl: Reply = {
  status: wireErrors.invalid_request,
  body: errorBody('invalid_request', 'Expected `url` of the request to be a string'),
}

function isRefusal(verdict: unknown): boolean {
  return verdict === false || [401, 403].includes(Object(verdict ?? {}).status)
}

/** Converts a refusal to a reply. Its input is foreign and may have any form. */
function toReply({ status, reason, headers }: Refusal): Reply {
  const text = typeof reason === 'string' ? reason : undefined
  const body =
    status === 401
      ? errorBody('unauthorized', text ?? 'The call requires authentication.')
      : errorBody('forbidden', text ?? 'The call is not allowed.')
  return { status: body.status, body, headers: headersIn(headers) }
}

/** The headers of a refusal, without those that say how its body is sent: the body is written here. */
function headersIn(given: Refusal['headers']): Record<string, string> {
  const headers = new Headers(given)
  for (const name of framing) headers.delete(name)
  return Object.fromEntries(headers)
}

const framing = ['content-length', 'content-encoding', 'transfer-encoding', 'trailer', 'upgrade']
