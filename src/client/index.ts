import {
  type Clock,
  checkOptionsBriefly,
  checkValue,
  invalid,
  JobError,
  lostInJson,
  rule,
  systemClock,
} from '../core/base/index.js'
import type { DetailByType } from '../core/model/index.js'
import type { JobPause, RegistryHealth } from '../core/registry/index.js'
import type { SearchFilter, SearchResult } from '../core/storage/index.js'
import type { IngestionDetail } from '../ingestion/index.js'
import {
  type Detailed,
  fromEntry,
  fromWire,
  fromWireHealth,
  fromWireJob,
  fromWirePause,
  hasEnded,
  type LoggedEndedStatus,
  type LoggedStatus,
  type RemoteJob,
  type RemoteLiveStatus,
  type RemoteStatus,
  type WireDetail,
  type WireJob,
} from '../wire/index.js'
import { type Asked, isAbortOf, isJobOf, isJobsOf, isLogOf, isStatusOf } from './answers.js'
import type {
  CallOptions,
  EventsOptions,
  JobsClientOptions,
  RemoteAbortOptions,
  RemoteEvent,
  RemoteHealthOptions,
  RemotePauseOptions,
  RemoteRequest,
  RemoteResetOptions,
  RemoteStartOptions,
  StatusOptions,
} from './client-options.js'
import { Connection } from './connection.js'
import { follow } from './follow-events.js'
import { areDefinedJobs, isHealth, isPausedOf, isUnpausedOf } from './managed-answers.js'
import { checked, clientRules } from './option-rules.js'

export { JobError, type JobErrorCode } from '../core/base/index.js'
export type { JobPause, OverdueSchedule, RegistryHealth, StorageHealth } from '../core/registry/index.js'
export type { SearchFilter } from '../core/storage/index.js'
export type { IngestionDetail } from '../ingestion/index.js'
export type {
  Detailed,
  LoggedEndedStatus,
  LoggedStatus,
  RemoteDetail,
  RemoteEndedStatus,
  RemoteJob,
  RemoteLiveStatus,
  RemoteStatus,
} from '../wire/index.js'
export type {
  CallOptions,
  EventsOptions,
  JobsClientOptions,
  RemoteAbortOptions,
  RemoteEvent,
  RemoteHealthOptions,
  RemotePauseOptions,
  RemoteRequest,
  RemoteResetOptions,
  RemoteStartOptions,
  StatusOptions,
} from './client-options.js'
export type { HeadersSource } from './connection.js'

/** What a job of a type reports. */
type ProgressOf<Type extends string, Known extends Record<string, object>> = DetailByType<
  Known & { ingestion: IngestionDetail },
  Type
>

/** The type of the jobs that a filter keeps. */
type TypeIn<Filter> = Filter extends { type: infer Type extends string } ? Type : string

/**
 * Starts, watches, aborts and finds the jobs of a server that serves a handler of `headgate/http`, as a registry does. Calls throw a
 * `JobError` with the code that a registry gives, with `server` when the server could not be reached or could not answer, and with
 * `unauthorized` or `forbidden` when it refused. `Known` has the types of what jobs of your own report, by the types of the jobs.
 */
export class JobsClient<Known extends Record<string, object> = Record<never, object>> {
  readonly #connection: Connection
  readonly #clock: Clock

  /** Throws `invalid_options`. Nothing is sent before the first call. */
  constructor(options: JobsClientOptions) {
    checkOptionsBriefly('options', options, clientRules)
    // A browser's `fetch` throws with another `this`.
    const { url, fetch = (...call) => globalThis.fetch(...call), headers, clock = systemClock } = options
    const { maxAnswer = 32 * 1024 * 1024 } = options
    this.#connection = new Connection({ url, fetch, headers, maxAnswer })
    this.#clock = clock
  }

  /** Whether a job is defined on the server, or has ever run. */
  async has(type: string, id: string, options?: CallOptions): Promise<boolean> {
    return (await this.#find(type, id, checked(options))).found
  }

  /**
   * Starts a job. Resolves with its status as soon as it runs or is queued. Throws `not_defined`, `paused`, `already_running` and
   * `closed`, and `invalid_options` for parameters that the job does not accept.
   */
  async start<Type extends string, Options extends RemoteStartOptions>(
    type: Type,
    id: string,
    options?: Options,
  ): Promise<Detailed<RemoteStatus, Options, ProgressOf<Type, Known>>> {
    const { params, fullRefresh, force, detail, signal } = checked<RemoteStartOptions>(
      options,
      'params',
      'force',
      'fullRefresh',
      'detail',
    )
    const query = { fullRefresh, force, detail }
    const lost = lostInJson(params ?? {})
    // The server sees what JSON has made of it.
    if (lost) throw invalid(`params${lost.path}`, 'a value that JSON keeps', lost.value)
    const body = params && { params }
    const call = { method: 'POST', path: [...jobPath(type, id), '_start'], query, body, signal } as const
    return statusOf(await this.#connection.call(call, isStatusOf({ type, id, detail }))) as never
  }

  /** The jobs that the registry of the server defines, with their schedules, pauses and last statuses, in the order of type and id. */
  async jobs<Options extends StatusOptions>(options?: Options): Promise<RemoteJob<Options>[]> {
    const { detail, signal } = checked<StatusOptions>(options, 'detail')
    const { hits } = await this.#connection.call({ path: [], query: { detail }, signal }, areDefinedJobs(detail))
    return hits.hits.map(fromWireJob) as never
  }

  /** Pauses a job in all processes of the server, as a registry does. Throws `not_defined` for a job that is not known. */
  async pause(type: string, id: string, options?: RemotePauseOptions): Promise<JobPause> {
    return this.#pause(jobPath(type, id), options, { type, id })
  }

  /** Ends the pause of a job. Resolves with whether it was paused. Throws `not_defined` for a job that is not known. */
  async unpause(type: string, id: string, options?: CallOptions): Promise<boolean> {
    const { signal } = checked(options)
    const call = { method: 'POST', path: [...jobPath(type, id), '_unpause'], signal } as const
    return (await this.#connection.call(call, isUnpausedOf({ type, id }))).was_paused
  }

  /** Pauses all jobs in all processes of the server. */
  async pauseAll(options?: RemotePauseOptions): Promise<JobPause> {
    return this.#pause([], options, {})
  }

  /** Ends the pause of all jobs. Resolves with whether there was one. */
  async unpauseAll(options?: CallOptions): Promise<boolean> {
    const { signal } = checked(options)
    const call = { method: 'POST', path: ['_unpause'], signal } as const
    return (await this.#connection.call(call, isUnpausedOf({}))).was_paused
  }

  async #pause(path: string[], options: RemotePauseOptions | undefined, asked: Asked): Promise<JobPause> {
    const { signal, reason, by } = checked(options, 'reason', 'by')
    const call = { method: 'POST', path: [...path, '_pause'], query: { reason, by }, signal } as const
    return fromWirePause((await this.#connection.call(call, isPausedOf(asked))).paused)
  }

  /** The status of the live execution of a job, else of its last one, else `undefined`. */
  async status<Type extends string, Options extends StatusOptions>(
    type: Type,
    id: string,
    options?: Options,
  ): Promise<Detailed<RemoteStatus, Options, ProgressOf<Type, Known>> | undefined> {
    return statusOf(await this.#find(type, id, checked<StatusOptions>(options, 'detail'))) as never
  }

  /** The statuses of all live executions of a type, in any process of the server, oldest start first. */
  async running<Type extends string, Options extends StatusOptions>(
    type: Type,
    options?: Options,
  ): Promise<Detailed<RemoteLiveStatus, Options, ProgressOf<Type, Known>>[]> {
    checkValue('type', type, rule.text)
    const { detail, signal } = checked<StatusOptions>(options, 'detail')
    const call = { path: [type], query: { includeQueued: true, detail }, signal }
    try {
      const { hits } = await this.#connection.call(call, isJobsOf({ type, detail }))
      return hits.hits.map(statusOf) as never
    } catch (error) {
      // As with a registry, nothing runs of a type that nobody knows.
      if (JobError.isInstance(error) && error.code === 'not_defined') return []
      throw error
    }
  }

  /**
   * Asks a job to stop and waits until it has. Resolves with its status: still `aborting` when `timeout` has passed, the
   * last one when nothing was running, `undefined` when it never ran. Throws `already_running` when another execution than `executionId`
   * is live, or the last one.
   */
  async abort<Type extends string, Options extends RemoteAbortOptions>(
    type: Type,
    id: string,
    options?: Options,
  ): Promise<Detailed<RemoteStatus, Options, ProgressOf<Type, Known>> | undefined> {
    const { timeout, reason, executionId, detail, signal } = checked<RemoteAbortOptions>(
      options,
      'timeout',
      'reason',
      'executionId',
      'detail',
    )
    const query = { timeout: durationOf(timeout), reason, executionId, detail }
    const call = { method: 'POST', path: [...jobPath(type, id), '_abort'], query, signal } as const
    return statusOf(await this.#connection.call(call, isAbortOf({ type, id, detail }))) as never
  }

  /**
   * Clears or sets the checkpoint that the next execution of a job begins with. Resolves with its last status, or `undefined` when it never
   * ran. Throws `not_defined`, `already_running` and `not_supported`.
   */
  async reset<Type extends string, Options extends RemoteResetOptions>(
    type: Type,
    id: string,
    options?: Options,
  ): Promise<Detailed<RemoteStatus, Options, ProgressOf<Type, Known>> | undefined> {
    const { checkpoint, executionId, detail, signal } = checked<RemoteResetOptions>(
      options,
      'checkpoint',
      'executionId',
      'detail',
    )
    const text = checkpoint === undefined ? undefined : JSON.stringify(checkpoint)
    const query = { checkpoint: text, executionId, detail }
    const call = { method: 'POST', path: [...jobPath(type, id), '_reset'], query, signal } as const
    return statusOf(await this.#connection.call(call, isJobOf({ type, id, detail }))) as never
  }

  /** Searches the log, newest first. Without `state`, finds ended executions. */
  async search<const Options extends SearchFilter & StatusOptions>(
    filter?: Options,
  ): Promise<SearchResult<Detailed<LoggedStatus, Options, ProgressOf<TypeIn<Options>, Known>>>> {
    const { signal, ...query } = checked<SearchFilter & StatusOptions>(
      filter,
      'type',
      'id',
      'state',
      'startTimeFrom',
      'startTimeTo',
      'from',
      'size',
      'searchAfter',
      'detail',
    )
    const { hits } = await this.#connection.call({ path: ['_search'], query, signal }, isLogOf(query))
    return { total: hits.total, hits: hits.hits.map(fromEntry) as never }
  }

  /** The health of the registry of the server. Resolves also when its storage does not answer, and when it is closed. */
  async health(options?: RemoteHealthOptions): Promise<RegistryHealth> {
    const { timeout, signal } = checked(options, 'timeout')
    const call = { path: ['_health'], query: { timeout: durationOf(timeout) }, signal, errorStatus: 503 }
    return fromWireHealth(await this.#connection.call(call, isHealth))
  }

  /**
   * Resolves with the final status of the live execution of a job. When none is live, resolves with the last status; when the job never
   * ran, with its first end. Reconnects after a lost connection. Throws `not_defined` for an unknown job, and the error of the first
   * connection.
   */
  async waitFor(type: string, id: string, options?: CallOptions): Promise<LoggedEndedStatus> {
    const { signal } = checked(options)
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
   * Yields the events of all processes of the server: the status of each live execution, then every change. Reconnects after a lost
   * connection: then it misses no end and yields none twice, but may miss states in between. Leave the loop with `break`, or abort
   * `signal`, whose reason it then throws. Throws the error of the first connection.
   */
  async *events(options?: EventsOptions): AsyncGenerator<RemoteEvent, void> {
    const { signal, onGap, ...filter } = checked(options, 'type', 'id', 'state', 'includeQueued', 'onGap')
    for await (const told of this.#follow(filter, signal)) {
      if (told === 'gap') await onGap?.()
      else if (told !== 'connected') yield { type: told.type, id: told.id, status: told }
    }
  }

  /**
   * Makes a call as it is, and resolves with the answer, whatever its status: for servers that pass calls on. Throws `server` when the
   * server could not be reached, and `invalid_options` for a path with a part `.` or `..`.
   */
  async request(options: RemoteRequest): Promise<Response> {
    checked(options, 'method', 'path', 'search', 'headers', 'body')
    const { search = '', body, ...call } = options
    return this.#connection.send({ ...call, raw: { search, body } })
  }

  #follow(query: Asked & { includeQueued?: boolean }, signal: AbortSignal | undefined) {
    return follow({ connection: this.#connection, clock: this.#clock, query, signal })
  }

  /** The status of a job for `waitFor`. Transient errors count only while the job is not known yet. */
  async #known(
    type: string,
    id: string,
    isNeeded: boolean,
    signal: AbortSignal | undefined,
  ): Promise<LoggedStatus | undefined> {
    try {
      const job = await this.#find(type, id, { detail: true, signal })
      if (job.found) return loggedStatusOf(job)
    } catch (error) {
      if (isNeeded || !(error as JobError).isTransient) throw error
      return undefined
    }
    throw new JobError('not_defined', `No job [${type}/${id}] is defined.`)
  }

  #find(
    type: string,
    id: string,
    { detail, signal }: { detail?: boolean; signal?: AbortSignal | undefined } = {},
  ): Promise<WireJob> {
    const call = { path: jobPath(type, id), query: { includeQueued: true, detail }, signal }
    return this.#connection.call(call, isJobOf({ type, id, detail }))
  }
}

function jobPath(type: string, id: string): string[] {
  checkValue('type', type, rule.text)
  checkValue('id', id, rule.text)
  return [type, id]
}

function durationOf(timeout: number | undefined): string | undefined {
  return timeout === undefined ? undefined : `${timeout}ms`
}

/** A status with the id of its execution, which its detail has. */
function loggedStatusOf({ type, status }: WireJob): LoggedStatus | undefined {
  if (!status) return undefined
  const { detail, ...rest } = status
  return fromEntry({ _id: (detail as WireDetail).execution_id, _source: { [type]: rest } })
}

function statusOf({ type, status }: WireJob): RemoteStatus | undefined {
  return status && fromWire(type, status)
}
