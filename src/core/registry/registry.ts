import {
  checkedKey,
  checkOptions,
  checkValue,
  createAbortController,
  errorMessages,
  invalid,
  isolate,
  JobError,
  rule,
  withTimeout,
} from '../base/index.js'
import { EndNotifier, OrphanRecovery, RemoteEvents } from '../cluster/index.js'
import { type Dispatcher, limitsOf, type WaitingPage } from '../dispatch/index.js'
import type { BatchListener, IsolatedEmitter, JobEventName, JobListener } from '../events/index.js'
import {
  CompletionWaiter,
  checkParams,
  ExecutionQueue,
  JobCatalog,
  type LibraryJob,
  LocalExecutions,
  PartitionEvents,
  PausedJobs,
  publicJobOf,
  Runner,
  type StartedExecution,
} from '../execution/index.js'
import {
  checkJob,
  hasEndHandler,
  isLive,
  type Job,
  type JobDetail,
  type JobParams,
  type JobStatus,
  keptParams,
  type LiveStatus,
  priorityRule,
  toStatus,
} from '../model/index.js'
import type { Redactor } from '../redaction/index.js'
import { Scheduler } from '../scheduling/index.js'
import { allLive, featureOf, type SearchFilter, type SearchResult } from '../storage/index.js'
import { closeInTime, type Owned } from './close-owned.js'
import { createDispatcher, createRuntime, type RegistryRuntime } from './create-runtime.js'
import { dispatchWorker } from './dispatch-worker.js'
import { type HealthOptions, HealthProbe, type RegistryHealth } from './health.js'
import { type DefinedJob, type JobPause, listJobs, toJobPause } from './job-list.js'
import { JobListeners } from './job-listeners.js'
import { type ReadinessCheck, type ReadyOptions, readyRules, untilReady } from './readiness.js'
import {
  type AbortOptions,
  abortRules,
  type CloseOptions,
  checkRegistryOptions,
  closeRules,
  type ListenOptions,
  listenRules,
  type PauseOptions,
  pauseRules,
  type RegistryOptions,
  type ResetOptions,
  resetRules,
  type StartOptions,
  searchRules,
  startRules,
  type WaitingOptions,
  waitingRules,
} from './registry-options.js'
import { refreshCheckpointOf, resetJob } from './reset.js'

/** How long to wait for a job to stop by default, in milliseconds. */
const defaultStopTimeout = 30_000

/** Total time for closing the dispatcher, the storage and other owned resources, in milliseconds. */
const ownedTimeout = 5000

/** A registry of jobs that are functions: defines, starts, observes, aborts and searches them. */
export class Registry {
  /** Redacts secrets in text, including those of the option `redact`, as statuses and logs do: `redactor.redact(text)`. */
  readonly redactor: Redactor
  readonly #runtime: RegistryRuntime
  readonly #jobs = new JobCatalog()
  readonly #listeners: JobListeners
  readonly #executions: LocalExecutions
  readonly #completions: CompletionWaiter
  readonly #remoteEvents: RemoteEvents
  readonly #dispatcher: Dispatcher
  readonly #queue: ExecutionQueue
  readonly #runner: Runner
  readonly #paused: PausedJobs
  readonly #recovery: OrphanRecovery
  readonly #ends: EndNotifier
  readonly #scheduler: Scheduler
  readonly #probe: HealthProbe
  readonly #unwatch: (() => void) | undefined
  readonly #abandon = createAbortController()
  #closing: Promise<void> | undefined

  constructor(options: RegistryOptions) {
    checkRegistryOptions(options)
    const limits = limitsOf(options.concurrency)
    const runtime = createRuntime(options, this.#abandon.signal)
    const { storage, events, onEnd } = runtime
    if (onEnd) featureOf(storage, 'ends', 'onEnd')
    const dispatcher = createDispatcher(options, runtime)
    const jobs = this.#jobs
    const listeners = new JobListeners(runtime)
    // Each handles an event in the order in which they are made: an ended job is gone before anyone hears of it and starts it again.
    const executions = new LocalExecutions(runtime)
    const partitionEvents = new PartitionEvents(runtime)
    const completions = new CompletionWaiter(runtime, executions)
    this.#remoteEvents = new RemoteEvents(runtime, jobs, executions, listeners.cluster)
    const paused = new PausedJobs(runtime)
    const queue = new ExecutionQueue(runtime, dispatcher, jobs, paused)
    const runner = new Runner(runtime, { queue, jobs, executions, partitionEvents, completions, paused })
    this.#recovery = new OrphanRecovery(runtime, jobs, runner, paused)
    this.#ends = new EndNotifier(runtime, jobs)
    this.#scheduler = new Scheduler(runtime, dispatcher.schedules, { runner, completions, paused })
    listeners.subscribe()
    this.redactor = runtime.redactor
    this.#runtime = runtime
    this.#dispatcher = dispatcher
    this.#listeners = listeners
    this.#executions = executions
    this.#completions = completions
    this.#queue = queue
    this.#runner = runner
    this.#paused = paused
    this.#probe = new HealthProbe(runtime, executions, this.#scheduler)
    queue.open(dispatchWorker(runtime, { limits, queue, runner, completions }))
    this.#unwatch = storage.watch?.((change) => void events.emit('storageChange', change))
  }

  /** Adds a job. Throws `invalid_options` when the job is not valid or is defined already. */
  define<Checkpoint = unknown, Detail extends object = JobDetail, Params extends object = JobParams>(
    job: Job<Checkpoint, Detail, Params>,
  ): void {
    checkJob(job as unknown as Job)
    this.#add(job as unknown as Job)
  }

  /** Adds a job that the library makes, as `define` does. */
  protected defineLibraryJob(job: LibraryJob): void {
    checkJob(publicJobOf(job))
    this.#add(job)
  }

  #add(job: LibraryJob): void {
    const ends = hasEndHandler(job, this.#runtime) && featureOf(this.#runtime.storage, 'ends', 'onEnd')
    this.#jobs.add(job)
    this.#paused.start()
    if (ends) this.#ends.start(ends)
    if (job.resume === 'auto' || job.makePartition) this.#recovery.start()
    this.#scheduler.add(job)
  }

  /** Whether this registry defines the job, or any job of the type when `id` is not given. */
  has(type: string, id?: string): boolean {
    return id === undefined ? this.#jobs.types.has(type) : this.#jobs.get(checkedKey(type, id)) !== undefined
  }

  /**
   * Starts a job. Resolves as soon as it runs or is queued. Throws `not_defined`, `paused`, `already_running` or `closed`, or what
   * storage threw.
   */
  async start(type: string, id: string, options: StartOptions = {}): Promise<StartedExecution> {
    checkOptions('options', options, startRules)
    const key = checkedKey(type, id)
    if (this.#closing) throw new JobError('closed', 'The registry is closed.')
    const job = this.#jobs.require(key, { type, id })
    const { force = false, fullRefresh = false, ...rest } = options
    const params = rest.params && keptParams(rest.params)
    const checked = checkParams(job, params ?? {})
    if (checked instanceof Promise) await checked
    const request = { ...rest, ...(params && { params }), refusesPaused: !force }
    if (!fullRefresh) return this.#runner.start(job, request)
    return this.#runner.start(job, { ...request, checkpoint: refreshCheckpointOf(job, this.#runtime.clock.now()) })
  }

  /**
   * The jobs that this registry defines, with their schedules, pauses and last statuses, in the order of type and id. Reads 1,000
   * jobs with one call of the storage. Throws `not_supported` when the storage does not have `latest`.
   */
  jobs(): Promise<DefinedJob[]> {
    const next = (job: LibraryJob) => this.#scheduler.next(job)
    return listJobs(this.#jobs.all, { storage: this.#runtime.storage, paused: this.#paused, next })
  }

  /**
   * Pauses a job in all processes, until `unpause`: its schedule, its takeovers and its queued executions wait. What runs goes on. A
   * `start` throws `paused` unless it is forced. Other processes see the pause within 2 seconds. A job that is paused already stays
   * as it is. Throws `not_defined` when the job is not defined here and never ran, and `not_supported`.
   */
  async pause(type: string, id: string, options: PauseOptions = {}): Promise<JobPause> {
    checkOptions('options', options, pauseRules)
    const isKnown = this.#jobs.get(checkedKey(type, id)) ?? (await this.#runtime.storage.find(type, id))
    if (!isKnown) throw new JobError('not_defined', `No job [${type}/${id}] is defined.`)
    return toJobPause(await this.#paused.pause({ type, id }, options, 'registry.pause'))
  }

  /** Ends the pause of a job in all processes. Resolves with whether it was paused. A pause of all jobs still holds. */
  unpause(type: string, id: string): Promise<boolean> {
    checkedKey(type, id)
    return this.#paused.unpause({ type, id }, 'registry.unpause')
  }

  /** Pauses all jobs in all processes, as `pause` does, for example before a deploy. Independent of the pauses of single jobs. */
  async pauseAll(options: PauseOptions = {}): Promise<JobPause> {
    checkOptions('options', options, pauseRules)
    return toJobPause(await this.#paused.pause({}, options, 'registry.pauseAll'))
  }

  /** Ends the pause of all jobs. Resolves with whether there was one. Jobs that were paused by themselves stay paused. */
  unpauseAll(): Promise<boolean> {
    return this.#paused.unpause({}, 'registry.unpauseAll')
  }

  /**
   * Clears or sets the checkpoint that the next execution begins with: in storage, and in the target if it stores checkpoints. The records
   * of the target stay. Resolves with the last status, or `undefined` when the job never ran. Throws `not_defined`, `already_running`, and
   * `not_supported` when the storage cannot reset.
   */
  async reset(type: string, id: string, options: ResetOptions = {}): Promise<JobStatus | undefined> {
    checkOptions('options', options, resetRules)
    const key = checkedKey(type, id)
    if (this.#closing) throw new JobError('closed', 'The registry is closed.')
    return resetJob(this.#runtime, this.#jobs.require(key, { type, id }), options.checkpoint)
  }

  /** The status of the job's live execution, else of its last one. `undefined` when the job never ran. */
  async status(type: string, id: string): Promise<JobStatus | undefined> {
    const record = await this.#runtime.storage.find(type, id)
    return record && toStatus(record)
  }

  /** The statuses of all live executions of a type in all processes, oldest start first. */
  async running(type: string): Promise<LiveStatus[]> {
    const records = await allLive(this.#runtime.storage, { type })
    return records.sort((a, b) => a.startTime - b.startTime).map((record) => toStatus(record) as LiveStatus)
  }

  /**
   * Requests an abort of a job in any process and waits until it has stopped. Resolves with its status: `aborting` when `timeout`
   * has passed, the last status when the job was not live, `undefined` when it never ran.
   */
  async abort(type: string, id: string, options: AbortOptions = {}): Promise<JobStatus | undefined> {
    checkOptions('options', options, abortRules)
    const { timeout = defaultStopTimeout, signal, reason, onAsked } = options
    const { asked, settled, execution } = await this.#runner.askToStop({ type, id }, reason)
    isolate(
      () => onAsked?.(),
      (error) => this.#runtime.logger.warn({ type, id, error: errorMessages(error) }, '`onAsked` of an abort threw.'),
    )
    if (!asked || !isLive(asked.state)) return asked && toStatus(asked)
    if (timeout === 0) return toStatus(asked)
    if (settled) return toStatus(settled)
    if (execution) {
      return (await withTimeout(this.#runtime.clock, timeout, execution.finished, undefined, signal)) ?? toStatus(asked)
    }
    return toStatus(await withTimeout(this.#runtime.clock, timeout, this.#completions.whenEnded(asked), asked, signal))
  }

  /**
   * A page of the queued executions, in the order in which they will run: those of this registry, or of all registries that share
   * its dispatcher. `abort` removes an execution from the queue.
   */
  async queued(options: WaitingOptions = {}): Promise<WaitingPage> {
    checkOptions('options', options, waitingRules)
    const { from = 0, size = 10 } = options
    return this.#dispatcher.waiting({ from, size })
  }

  /** Changes the priority of a queued job, behind those that have it already. Resolves with whether the job is queued. */
  async setPriority(type: string, id: string, priority: number): Promise<boolean> {
    checkValue('priority', priority, priorityRule)
    const record = await this.#runtime.storage.find(type, id)
    return record?.state === 'queued' && this.#dispatcher.move(record.executionId, priority)
  }

  /**
   * When the schedule of a job that is defined here starts it next, in epoch milliseconds. `undefined` when it never does. Throws
   * `not_defined`.
   */
  nextRun(type: string, id: string): number | undefined {
    return this.#scheduler.next(this.#jobs.require(checkedKey(type, id), { type, id }))
  }

  /** Searches the log, newest first. Without `state`, finds ended executions only. */
  async search(filter: SearchFilter = {}): Promise<SearchResult<JobStatus>> {
    checkOptions('filter', filter, searchRules)
    const { total, hits } = await this.#runtime.storage.search(filter)
    return { total, hits: hits.map((record) => toStatus(record)) }
  }

  /**
   * The health of this registry: whether its storage answers, and how many executions run and are queued here. Reports an
   * unreachable storage in the result instead of throwing.
   */
  async health(options: HealthOptions = {}): Promise<RegistryHealth> {
    return this.#probe.check(options, this.#closing !== undefined)
  }

  /**
   * Resolves when storage and dispatcher can be used: call it when the process starts. Rejects with the reason, such as a missing driver
   * or a wrong password. Transient errors, as of a server that starts, are tried again until `timeout`.
   */
  ready(options: ReadyOptions = {}): Promise<void> {
    checkOptions('options', options, readyRules)
    return this.readyWith([], options)
  }

  /** Resolves when storage, dispatcher and other adapters can be used. */
  protected async readyWith(checks: readonly ReadinessCheck[], options: ReadyOptions): Promise<void> {
    if (this.#closing) throw new JobError('closed', 'The registry is closed.')
    const storage = { name: 'storage', code: 'storage', check: () => this.#probe.assertUsable() } as const
    const queue = () => this.#dispatcher.waiting({ from: 0, size: 0 })
    const dispatcher = { name: 'dispatcher', code: 'dispatcher', check: queue } as const
    await untilReady(this.#runtime, [storage, dispatcher, ...checks], options)
  }

  /**
   * Adds a listener to an event: of the executions of this registry or, with the scope `cluster`, of all registries that share
   * the storage. Returns a function that removes the listener.
   */
  on<Name extends JobEventName>(name: Name, listener: JobListener<Name>, options: ListenOptions = {}): () => void {
    return this.#emitterFor(options).on(name, listener)
  }

  /** Adds a listener to the next event of that name, as `on` does. Returns a function that removes the listener. */
  once<Name extends JobEventName>(name: Name, listener: JobListener<Name>, options: ListenOptions = {}): () => void {
    return this.#emitterFor(options).once(name, listener)
  }

  /** Removes a listener, regardless of its scope. */
  off<Name extends JobEventName>(name: Name, listener: JobListener<Name>): void {
    for (const emitter of [this.#listeners.own, this.#listeners.cluster]) emitter.off(name, listener)
  }

  /** Adds a listener to the batches that jobs of this registry have written. Returns a function that removes the listener. */
  onBatch(listener: BatchListener): () => void {
    checkValue('listener', listener, rule.aFunction)
    return this.#listeners.batches.add(listener)
  }

  /**
   * Stops starting jobs, aborts or drains live ones, waits for them, and closes the dispatcher, the storage and the datasources.
   * Jobs that have not stopped within `timeout`, and resources that have not closed within 5 seconds, are left behind and logged.
   * Never rejects.
   */
  close(options: CloseOptions = {}): Promise<void> {
    checkOptions('options', options, closeRules)
    this.#closing ??= this.#close(options)
    return this.#closing
  }

  /** Same as `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** The resources to close besides the dispatcher, by name. */
  protected get owned(): Record<string, Owned> {
    return { storage: this.#runtime.storage }
  }

  async #close({ drain = false, timeout = defaultStopTimeout }: CloseOptions): Promise<void> {
    this.#scheduler.stop()
    this.#runner.close()
    this.#queue.close()
    const ended = this.#executions.whenEnded()
    if (drain === true) await ended
    else if (drain !== false) await withTimeout(this.#runtime.clock, drain, ended)
    const stops = this.#runner.stopAll()
    await withTimeout(
      this.#runtime.clock,
      timeout,
      Promise.all([stops, ended]).then(() => this.#ends.finish()),
    )
    this.#abandon.abort()
    this.#unwatch?.()
    this.#recovery.stop()
    this.#paused.stop()
    this.#ends.stop()
    this.#remoteEvents.stop()
    this.#completions.stop()
    await this.#closeOwned()
  }

  /** Closes the dispatcher first, as it releases slots. If it hangs, half of the time remains for the other resources. */
  async #closeOwned(): Promise<void> {
    await closeInTime(this.#runtime, { dispatcher: this.#dispatcher }, ownedTimeout / 2)
    await closeInTime(this.#runtime, this.owned, ownedTimeout / 2)
  }

  #emitterFor(options: ListenOptions): IsolatedEmitter {
    checkOptions('options', options, listenRules)
    if (options.scope !== 'cluster') return this.#listeners.own
    if (!this.#unwatch) throw invalid('scope', '`own`, as the storage does not emit changes', options.scope)
    this.#remoteEvents.start()
    return this.#listeners.cluster
  }
}
