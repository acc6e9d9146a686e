import { commonRedactor, systemClock } from '../../adapter.js'
import type { Clock, Logger, SearchFilter } from '../../index.js'
import type { DetailOf } from '../../wire/index.js'
import { detailsBy } from '../answers/index.js'
import { EventBroadcaster } from '../events/index.js'
import type { Found } from './find-route.js'
import { defaultBasePath, type JobsHandlerOptions, type JobsRequest } from './handler-options.js'
import { isPretty, readQuery } from './parameters.js'
import { readBody, refuseBody } from './request-body.js'
import type { NamedJob, Reply, Route, ServedRegistry } from './route.js'
import { routes } from './routes/index.js'
import { StorageLimiter } from './storage-limiter.js'

/** What answers the calls that are allowed: a registry here, or another server. */
export interface Answering {
  /** Answers a call. Throws a `JobError` when it cannot. */
  answer(found: Found, query: URLSearchParams, request: JobsRequest): Reply | Promise<Reply>
  /** Ends all streams of events. */
  endStreams(): void
}

/** Answers calls by a registry. */
export class RegistryAnswering implements Answering {
  readonly #registry: ServedRegistry
  readonly #base: string
  readonly #clock: Clock
  readonly #detailOf: DetailOf
  readonly #limiter: StorageLimiter
  readonly #broadcaster: EventBroadcaster

  constructor(registry: ServedRegistry, options: JobsHandlerOptions, logger: Logger) {
    const { basePath = defaultBasePath, keepAlive = 15_000, clock = systemClock } = options
    this.#registry = registry
    this.#base = basePath === '/' ? '' : basePath
    this.#clock = clock
    this.#detailOf = detailsBy(registry.redactor ?? commonRedactor)
    this.#limiter = new StorageLimiter(clock)
    const search = (filter: SearchFilter) => this.#limiter.run(() => registry.search(filter))
    this.#broadcaster = new EventBroadcaster({ registry, search, clock, keepAlive, logger })
  }

  answer({ route, job }: Found, query: URLSearchParams, request: JobsRequest): Reply | Promise<Reply> {
    const mayIgnoreBody = route.method === 'POST' && route.requestBody === undefined && request.body
    if (!mayIgnoreBody) return this.#answer(route, job, query, request)
    const refused = refuseBody(request, route.parameters, this.#clock, this.#registry.closed)
    return refused.then(() => this.#answer(route, job, query, request))
  }

  #answer(route: Route, job: NamedJob, query: URLSearchParams, request: JobsRequest): Reply | Promise<Reply> {
    const options = readQuery(query, route.parameters, route.unknownHint)
    return route.answer({
      registry: this.#registry,
      job,
      options,
      body: (...names) => readBody(request, names, route.parameters, this.#clock, this.#registry.closed),
      detailOf: options.detail === true ? this.#detailOf : undefined,
      request,
      limiter: this.#limiter,
      broadcaster: this.#broadcaster,
      indent: isPretty(query) ? 2 : 0,
      base: this.#base,
      routes,
    })
  }

  endStreams(): void {
    this.#broadcaster.endAll()
  }
}
