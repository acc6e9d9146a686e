import { type Clock, systemClock } from '../core/clock.js'
import { JobError } from '../core/errors.js'
import type { JobState } from '../core/lifecycle.js'
import { checkOptions, checkValue, rule } from '../core/options.js'
import type { SearchFilter, SearchResult } from '../core/storage.js'
import {
  fromEntry,
  fromWire,
  hasEnded,
  type LoggedStatus,
  type RemoteEndedStatus,
  type RemoteLiveStatus,
  type RemoteStatus,
  type WireJob,
} from '../http/wire-bodies.js'
import { isAborted, isJob, isJobs, isJobWithStatus, isLog } from './_answers.js'
import { Connection, type HeadersSource } from './_connection.js'
import { follow } from './_follow.js'

export { JobError, type JobErrorCode } from '../core/errors.js'
export type { LoggedStatus, RemoteEndedStatus, RemoteLiveStatus, RemoteStatus } from '../http/wire-bodies.js'
export type { HeadersSource } from './_connection.js'

/** How a client reaches its server. */
export interface JobsClientOptions {
  /** Where the API is served, with its base path: `https://host/_siren/connector/jobs`, or a path in a browser. */
  url: string
  /** What makes the calls. Default: the global `fetch`. */
  fetch?: typeof globalThis.fetch
  /** Headers of every call, or a function that gives them, such as a token that changes. Default: none. */
  headers?: HeadersSource
  /** The time. Default: the machine's. */
  clock?: Clock
}

/** What every call takes. */
export interface CallOptions {
  /** Gives the call up when it aborts: it rejects with the reason of the signal. */
  signal?: AbortSignal
}

/** How to abort a job of a server. */
export interface RemoteAbortOptions extends CallOptions {
  /** How long the server waits for the job to stop, in milliseconds; 0 not to wait. Default 30,000. */
  timeout?: number
}

/** Which events to hear of. Default: all. */
export interface EventsOptions extends CallOptions {
  /** Those of jobs of that type. */
  type?: string
  /** Those of jobs of that id. */
  id?: string
  /** Those that tell of that state. */
  state?: JobState
  /**
   * Called when ends may be missing that the server cannot tell any more, as its log no longer holds them or they are too many:
   * `search` finds what it holds. Default: none.
   */
  onGap?: () => void
}

/** What a server tells of: a change of a status, or how it stands. */
export interface RemoteEvent {
  /** The job's type. */
  type: string
  /** The job's id. */
  id: string
  /** The status. It is frozen. */
  status: LoggedStatus
}

const optionRules = {
  url: {
    accepts: isAddress,
    expected:
      'an http or https address or a path, without a user, and without a slash, a query or a fragment at its end',
  },
  fetch: rule.optional(rule.aFunction),
  headers: rule.optional({
    accepts: (value) => typeof value === 'function' || (typeof value === 'object' && value !== null),
    expected: 'an object, or a function that gives one',
  }),
  clock: rule.optional(rule.having('now', 'setTimer')),
}

function isAddress(value: unknown): boolean {
  if (typeof value !== 'string' || !/^[^?#]*[^?#/]$/.test(value)) return false
  return /^[\w+.-]+:/.test(value) ? /^https?:\/\/[^/@]+(\/|$)/i.test(value) : true
}

const timeoutRule = rule.optional(rule.whole(0))
const gapRule = rule.optional(rule.aFunction)

/**
 * The jobs of a server that serves a handler of `headgate/http`: started, watched, aborted and found as with a registry.
 * What goes wrong is a `JobError` with the code that a registry gives; or `server`, when the server could not be reached or
 * could not answer, and `unauthorized` or `forbidden`, when it refused.
 */
export class JobsClient {
  readonly #connection: Connection
  readonly #clock: Clock

  /** Throws `invalid_options`. Nothing is sent before the first call. */
  constructor(options: JobsClientOptions) {
    checkOptions('options', options, optionRules)
    // A browser's fetch is of no use under another `this`.
    const { url, fetch = (...call) => globalThis.fetch(...call), headers, clock = systemClock } = options
    this.#connection = new Connection({ url, fetch, headers })
    this.#clock = clock
  }

  /** Whether a job is defined on the server, or has ever run. */
  async has(type: string, id: string, { signal }: CallOptions = {}): Promise<boolean> {
    return (await this.#find(type, id, signal)).found
  }

  /**
   * Starts a job and resolves with its status as soon as it runs, or waits for a free slot. Throws `not_defined`,
   * `already_running` and `closed`.
   */
  async start(type: string, id: string, { signal }: CallOptions = {}): Promise<RemoteStatus> {
    const call = { method: 'POST', path: [...jobPath(type, id), '_start'], signal } as const
    return statusOf(await this.#connection.call(call, isJobWithStatus)) as RemoteStatus
  }

  /** The status of the live execution of a job if there is one, else of the last one, else `undefined`. */
  async status(type: string, id: string, { signal }: CallOptions = {}): Promise<RemoteStatus | undefined> {
    return statusOf(await this.#find(type, id, signal))
  }

  /** The statuses of all live executions of a type, in any process of the server, oldest start first. */
  async running(type: string, { signal }: CallOptions = {}): Promise<RemoteLiveStatus[]> {
    checkValue('type', type, rule.text)
    const call = { path: [type], query: { includeQueued: true }, signal }
    try {
      const { hits } = await this.#connection.call(call, isJobs)
      return hits.hits.map((job) => statusOf(job) as RemoteLiveStatus)
    } catch (error) {
      // As with a registry, nothing runs of a type that nobody knows.
      if (JobError.isInstance(error) && error.code === 'not_defined') return []
      throw error
    }
  }

  /**
   * Asks a job to stop and waits until it has. Resolves with its status: still `aborting` when `timeout` has passed, the
   * last one when nothing was running, `undefined` when it never ran.
   */
  async abort(type: string, id: string, options: RemoteAbortOptions = {}): Promise<RemoteStatus | undefined> {
    const { timeout, signal } = options
    checkValue('timeout', timeout, timeoutRule)
    const query = { timeout: timeout && `${timeout}ms` }
    const call = { method: 'POST', path: [...jobPath(type, id), '_abort'], query, signal } as const
    return statusOf(await this.#connection.call(call, isAborted))
  }

  /** Searches the log, newest first. Without `state`, it finds ended executions. */
  async search(filter: SearchFilter & CallOptions = {}): Promise<SearchResult<LoggedStatus>> {
    const { signal, ...query } = filter
    const { hits } = await this.#connection.call({ path: ['_search'], query, signal }, isLog)
    return { total: hits.total, hits: hits.hits.map(fromEntry) }
  }

  /**
   * The status that the live execution of a job ends with, or the last one ended with when none is live; of a job that
   * never ran, the first end that comes. Connections that are lost are made again. Throws `not_defined` for a job that
   * nobody knows, and what the first connection met.
   */
  async waitFor(type: string, id: string, { signal }: CallOptions = {}): Promise<RemoteEndedStatus> {
    let since = 0
    let isFirst = true
    for await (const told of this.#follow({ type, id, includeQueued: true }, signal)) {
      const status = typeof told === 'string' ? await this.#known(type, id, isFirst, signal) : told
      if (told === 'connected') isFirst = false
      if (status && hasEnded(status) && status.startTime >= since) return status
      if (status && !hasEnded(status)) since ||= status.startTime
    }
    throw new JobError('server', 'The stream of events is over.')
  }

  /**
   * The events of the server's whole cluster: first how all stands that lives, then every change. Connections that are lost
   * are made again: no end is missed then, and none is told twice; states on the way may be missed. Leave it by `break`, or
   * by `signal`, whose reason it then throws. Throws what the first connection met.
   */
  async *events({ signal, onGap, ...filter }: EventsOptions = {}): AsyncGenerator<RemoteEvent, void> {
    checkValue('onGap', onGap, gapRule)
    for await (const told of this.#follow(filter, signal)) {
      if (told === 'gap') onGap?.()
      else if (told !== 'connected') yield { type: told.type, id: told.id, status: told }
    }
  }

  #follow(query: object, signal: AbortSignal | undefined) {
    return follow({ connection: this.#connection, clock: this.#clock, query, signal })
  }

  /** How a job stands, for who waits for its end. Once it is known, a server that is away for a moment is no matter. */
  async #known(
    type: string,
    id: string,
    isNeeded: boolean,
    signal: AbortSignal | undefined,
  ): Promise<RemoteStatus | undefined> {
    try {
      const job = await this.#find(type, id, signal)
      if (job.found) return statusOf(job)
    } catch (error) {
      if (isNeeded || !(error as JobError).isTransient) throw error
      return undefined
    }
    throw new JobError('not_defined', `No job [${type}/${id}] is defined.`)
  }

  #find(type: string, id: string, signal: AbortSignal | undefined): Promise<WireJob> {
    return this.#connection.call({ path: jobPath(type, id), query: { includeQueued: true }, signal }, isJob)
  }
}

function jobPath(type: string, id: string): string[] {
  checkValue('type', type, rule.text)
  checkValue('id', id, rule.text)
  return [type, id]
}

function statusOf({ type, status }: WireJob): RemoteStatus | undefined {
  return status && fromWire(type, status)
}
