import { announce } from './_announce.js'
import { boundedLogger } from './_bounded-logger.js'
import { checkedStorage } from './_checked-storage.js'
import { Cluster } from './_cluster.js'
import type { RegistryHost } from './_host.js'
import { JobBook } from './_job-book.js'
import { Runner } from './_runner.js'
import { Schedules } from './_schedules.js'
import { timely } from './_timely.js'
import { createAbortController } from './abort.js'
import { type BatchListener, BatchListeners } from './batches.js'
import { type Clock, systemClock, withTimeout } from './clock.js'
import { type Dispatcher, limitsOf, priorityRule, type WaitingPage } from './dispatcher.js'
import { errorMessages, JobError } from './errors.js'
import { IsolatedEmitter, type JobEvent, type JobEventName, type JobListener } from './events.js'
import type { StartedExecution } from './execution.js'
import { type HealthOptions, HealthProbe, type RegistryHealth } from './health.js'
import { checkedKey } from './ids.js'
import { checkJob, type Job } from './job.js'
import { isLive } from './lifecycle.js'
import { localDispatcher } from './local-dispatcher.js'
import { isolatedLogger, type Logger, silentLogger } from './logger.js'
import { checkOptions, checkValue, invalid, rule } from './options.js'
import { isPart, partMakerOf, shownAs } from './parts.js'
import { Redactor } from './redact.js'
import {
  type AbortOptions,
  abortRules,
  type CloseOptions,
  closeRules,
  type ListenOptions,
  listenRules,
  type RegistryOptions,
  registryRules,
  type StartOptions,
  searchRules,
  startRules,
  type WaitingOptions,
  waitingRules,
} from './registry-options.js'
import { type JobStatus, type LiveStatus, toStatus } from './status.js'
import type { ExecutionRecord, JobStorage, SearchFilter, SearchResult } from './storage.js'

/** How long to wait for a job to stop, in milliseconds, unless said. */
const defaultStopTimeout = 30_000

/** How long what the registry owns may take to close, all of it together, in milliseconds. */
const ownedTimeout = 5000

/** The least that storage is given to answer, in milliseconds: else a third of a lease. */
const shortestAnswerTime = 5000

/** How long storage may take to answer, in milliseconds. */
function answerTimeOf(lease: number): number {
  return Math.max(Math.round(lease / 3), shortestAnswerTime)
}

/** What a registry closes. */
interface Owned {
  close?(): Promise<void>
}

/** Jobs that are functions: defined, started, watched, aborted and found again. */
export class Registry {
  /** Where the registry tells operators what happens. */
  protected readonly logger: Logger
  /** The registry's clock. */
  protected readonly clock: Clock
  /** Hides secrets, those of the option `redact` among them, as statuses and logs do: `redactor.redact(text)`. */
  readonly redactor: Redactor
  readonly #storage: JobStorage
  readonly #host: RegistryHost
  readonly #events: IsolatedEmitter
  /** Those who listen to all nodes. */
  readonly #clusterEvents: IsolatedEmitter
  readonly #batches: BatchListeners
  readonly #cluster: Cluster
  readonly #runner: Runner
  readonly #schedules: Schedules
  readonly #dispatcher: Dispatcher
  readonly #probe: HealthProbe
  readonly #jobs = new JobBook()
  readonly #abandon = createAbortController()
  #closing: Promise<void> | undefined

  constructor(options: RegistryOptions) {
    checkOptions('options', options, registryRules)
    const { clock = systemClock, dispatcher = localDispatcher(), lease = 30_000 } = options
    this.clock = clock
    this.redactor = new Redactor(options.redact)
    this.logger = boundedLogger(isolatedLogger(options.logger ?? silentLogger, this.redactor), clock)
    const storage = checkedStorage(timely(options.storage, clock, answerTimeOf(lease)), this.logger)
    this.#storage = storage
    this.#dispatcher = dispatcher
    const report = (error: unknown, { type, id }: Pick<JobEvent, 'type' | 'id'>) => {
      this.logger.error({ type, id, error: errorMessages(error) }, `A listener to job [${type}/${id}] threw.`)
    }
    this.#events = new IsolatedEmitter(report)
    this.#clusterEvents = new IsolatedEmitter(report)
    this.#batches = new BatchListeners(report)
    this.#host = {
      storage,
      clock,
      logger: this.logger,
      redactor: this.redactor,
      node: options.node ?? `headgate-${Math.random().toString(36).slice(2, 10)}`,
      lease,
      progressInterval: options.progressInterval ?? 250,
      abandoned: this.#abandon.signal,
      changed: (record, change, cause) => this.#changed(record, change, cause),
      batchDone: (batch) => this.#batches.tell({ ...batch, ...shownAs(batch) }),
    }
    this.#probe = new HealthProbe(this.#host)
    const types = () => this.#jobs.types
    this.#cluster = new Cluster({
      ...this.#host,
      types,
      isHere: (job) => this.#runner.executions.of(job) !== undefined,
      isOwn: (execution) => this.#runner.executions.has(execution),
      isFollowed: () => this.#clusterEvents.hasListeners,
      changed: (record, change) => isPart(record) || announce([this.#clusterEvents], record, change),
      look: (change) => {
        this.#runner.partNews.tell(change)
        void this.#runner.executions.of(change)?.look()
      },
      goesOn: (job) => this.#jobs.of(job)?.resume === 'auto',
      takeOver: (orphan) => this.#runner.takeOver(orphan),
    })
    this.#runner = new Runner({
      ...this.#host,
      dispatcher,
      limits: limitsOf(options.concurrency),
      types,
      jobOf: (execution) => this.#jobs.of(execution),
      yieldSchedule: (job, lastSeen) => this.#schedules.yield(job, lastSeen),
      expectEnd: (execution) => this.#cluster.expectEnd(execution),
      ended: (execution) => this.#cluster.ended(execution),
    })
    this.#schedules = new Schedules({
      ...this.#host,
      dispatcher,
      runner: this.#runner,
      ended: (record) => this.#cluster.ended(record),
    })
  }

  /** Adds a job. Throws `invalid_options` when something in it is wrong, or when it is defined already. */
  define(job: Job): void {
    checkJob(job)
    this.#jobs.add(job)
    if (job.resume === 'auto' || partMakerOf(job)) this.#cluster.recover()
    this.#schedules.add(job)
  }

  /** Whether a job of that type, or of that type and id, is defined here. */
  has(type: string, id?: string): boolean {
    if (isPart({ type })) return false
    return id === undefined ? this.#jobs.types.has(type) : this.#jobs.get(checkedKey(type, id)) !== undefined
  }

  /**
   * Starts a job and resolves as soon as it runs, or waits for a free slot. Throws `not_defined`, `already_running` and
   * `closed`.
   */
  async start(type: string, id: string, options: StartOptions = {}): Promise<StartedExecution> {
    checkOptions('options', options, startRules)
    const key = checkedKey(type, id)
    if (this.#closing) throw new JobError('closed', 'The registry is closed.')
    return this.#runner.start(this.#jobs.require(key, { type, id }), options)
  }

  /** The status of the live execution of a job if there is one, else of the last one, else `undefined`. */
  async status(type: string, id: string): Promise<JobStatus | undefined> {
    const record = await this.#storage.find(type, id)
    return record && toStatus(record)
  }

  /** The statuses of all live executions of a type, in any process, oldest start first. */
  async running(type: string): Promise<LiveStatus[]> {
    const records = await this.#storage.live(type)
    return records.map((record) => toStatus(record) as LiveStatus)
  }

  /**
   * Asks a job to stop, in whichever process it runs, and waits until it has. Resolves with its status: still `aborting`
   * when `timeout` has passed, the last one when nothing was running, `undefined` when it never ran.
   */
  async abort(type: string, id: string, options: AbortOptions = {}): Promise<JobStatus | undefined> {
    checkOptions('options', options, abortRules)
    const { timeout = defaultStopTimeout, signal, onAsked } = options
    const { asked, settled, execution } = await this.#runner.askToStop(type, id)
    onAsked?.()
    if (!asked || !isLive(asked.state)) return asked && toStatus(asked)
    if (timeout === 0) return toStatus(asked)
    if (settled) return toStatus(settled)
    if (execution) {
      return (await withTimeout(this.clock, timeout, execution.finished, undefined, signal)) ?? toStatus(asked)
    }
    return toStatus(await withTimeout(this.clock, timeout, this.#cluster.ended(asked), asked, signal))
  }

  /**
   * The executions that wait for a free slot, in the order in which their turns come: of this registry, or of all that
   * share its dispatcher. `abort` takes one out.
   */
  async waiting(options: WaitingOptions = {}): Promise<WaitingPage> {
    checkOptions('options', options, waitingRules)
    const { from = 0, size = 10 } = options
    return this.#dispatcher.waiting({ from, size })
  }

  /** Gives a job that waits another priority, behind those that have it. Tells whether it waits. */
  async prioritize(type: string, id: string, priority: number): Promise<boolean> {
    checkValue('priority', priority, priorityRule)
    const record = await this.#storage.find(type, id)
    return record?.state === 'queued' && this.#dispatcher.move(record.executionId, priority)
  }

  /**
   * When a job that is defined here starts by itself the next time, in epoch milliseconds; `undefined` when it does not.
   * Throws `not_defined`.
   */
  next(type: string, id: string): number | undefined {
    return this.#schedules.next(this.#jobs.require(checkedKey(type, id), { type, id }))
  }

  /** Searches the log, newest first. Without `state`, it finds ended executions. */
  async search(filter: SearchFilter = {}): Promise<SearchResult<JobStatus>> {
    checkOptions('filter', filter, searchRules)
    const { total, hits } = await this.#storage.search(filter)
    return { total, hits: hits.map((record) => toStatus(record)) }
  }

  /**
   * How this registry is: whether its storage answers, and what runs and waits here. A storage out of reach is what it
   * tells, and no error.
   */
  async health(options: HealthOptions = {}): Promise<RegistryHealth> {
    return this.#probe.check(options, this.#closing !== undefined, () => this.#runner.executions.standings)
  }

  /**
   * Calls `listener` at every event of that name: of the executions of this registry, or, with the scope `cluster`, of all
   * that share the storage. Gives the function that takes it off.
   */
  on<Name extends JobEventName>(name: Name, listener: JobListener<Name>, options: ListenOptions = {}): () => void {
    return this.#emitterFor(options).on(name, listener)
  }

  /** Calls `listener` at the next event of that name, as `on` does. Gives the function that takes it off. */
  once<Name extends JobEventName>(name: Name, listener: JobListener<Name>, options: ListenOptions = {}): () => void {
    return this.#emitterFor(options).once(name, listener)
  }

  /** Takes a listener off, whatever its scope. */
  off<Name extends JobEventName>(name: Name, listener: JobListener<Name>): void {
    for (const emitter of [this.#events, this.#clusterEvents]) emitter.off(name, listener)
  }

  /** Calls `listener` at every batch that a job of this registry has written. Gives the function that takes it off. */
  onBatch(listener: BatchListener): () => void {
    checkValue('listener', listener, rule.aFunction)
    return this.#batches.add(listener)
  }

  /**
   * Starts no more jobs, aborts those that run or lets them end, waits for them, and closes the dispatcher, the storage and
   * the datasources. A job that has not stopped within `timeout` is left behind, and so is what has not closed within 5
   * seconds: the log names it. Never rejects.
   */
  close(options: CloseOptions = {}): Promise<void> {
    checkOptions('options', options, closeRules)
    this.#closing ??= this.#close(options)
    return this.#closing
  }

  /** The same as `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** What the registry was given to own, beside the dispatcher, by name. */
  protected get owned(): Record<string, Owned> {
    return { storage: this.#storage }
  }

  async #close({ drain = false, timeout = defaultStopTimeout }: CloseOptions): Promise<void> {
    this.#schedules.stop()
    this.#runner.close()
    const ended = this.#runner.executions.ended()
    if (drain === true) await ended
    else if (drain !== false) await withTimeout(this.clock, drain, ended)
    const stops = this.#runner.stopAll()
    await withTimeout(this.clock, timeout, Promise.all([stops, ended]))
    this.#abandon.abort()
    this.#cluster.stop()
    await this.#closeOwned()
  }

  /** The dispatcher goes first, as it gives back turns. One that hangs leaves the others half of the time. */
  async #closeOwned(): Promise<void> {
    await this.#closeInTime({ dispatcher: this.#dispatcher }, ownedTimeout / 2)
    await this.#closeInTime(this.owned, ownedTimeout / 2)
  }

  async #closeInTime(owned: Record<string, Owned>, timeout: number): Promise<void> {
    const late: unknown = new Error(`Closing took longer than ${timeout} ms.`)
    const close = async ([name, one]: [string, Owned]) => {
      const closed = Promise.resolve().then(() => one.close?.())
      const failed = closed.then(
        () => undefined,
        (error: unknown) => error ?? new Error('Closing failed.'),
      )
      const error = await withTimeout(this.clock, timeout, failed, late)
      if (error) this.logger.warn({ error: errorMessages(error) }, `The ${name} was not closed, and is left behind.`)
    }
    await Promise.all(Object.entries(owned).map(close))
  }

  #emitterFor(options: ListenOptions): IsolatedEmitter {
    checkOptions('options', options, listenRules)
    if (options.scope !== 'cluster') return this.#events
    if (!this.#cluster.isWatched)
      throw invalid('scope', '`own`, as the storage does not tell of changes', options.scope)
    this.#cluster.follow()
    return this.#clusterEvents
  }

  #changed(record: ExecutionRecord, change: 'state' | 'progress', cause?: unknown): void {
    const { type, id, state } = record
    this.#runner.executions.changed(record)
    if (!isLive(state)) this.#runner.partNews.tell(record)
    this.#cluster.own(record)
    if (isPart(record)) return
    this.logger.debug(toStatus(record), `Job [${type}/${id}]: ${state}.`)
    announce([this.#events, this.#clusterEvents], record, change, cause)
  }
}
