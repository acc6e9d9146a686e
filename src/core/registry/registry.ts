import {
  anySignal,
  checkedKey,
  checkOptions,
  checkValue,
  createAbortController,
  errorMessages,
  invalid,
  isolate,
  JobError,
  type Rule,
  rule,
  withTimeout,
} from '../base/index.js'
import type { WaitingPage } from '../dispatch/index.js'
import type { BatchListener, IsolatedEmitter, JobEventName, JobListener } from '../events/index.js'
import {
  checkParams,
  checkScheduledParams,
  type LibraryJob,
  publicJobOf,
  type StartedExecution,
} from '../execution/index.js'
import {
  checkJob,
  type DetailByType,
  hasEndHandler,
  isLive,
  type Job,
  type JobDetail,
  type JobParams,
  type JobStatus,
  type LiveStatus,
  priorityRule,
} from '../model/index.js'
import type { Redactor } from '../redaction/index.js'
import { allLive, featureOf, type SearchFilter, type SearchResult } from '../storage/index.js'
import { closeInTime, type Owned } from './close-owned.js'
import type { HealthOptions, RegistryHealth } from './health.js'
import { startParams } from './hidden-value.js'
import type { DefinedJob, JobPause } from './job-list.js'
import { type ReadinessCheck, type ReadyOptions, readyRules, untilReady } from './readiness.js'
import {
  type AbortOptions,
  abortRules,
  type CloseOptions,
  checkRegistryOptions,
  checkSearch,
  closeRules,
  type ListenOptions,
  type ListOptions,
  listenRules,
  type PauseOptions,
  type RegistryOptions,
  type ResetOptions,
  type StartOptions,
  startRules,
  type WaitingOptions,
  waitingRules,
} from './registry-options.js'
import { createParts, defaultStopTimeout, type RegistryParts, stopParts } from './registry-parts.js'

/** Total time for closing the dispatcher, the storage and other owned resources, in milliseconds. */
const ownedTimeout = 5000

/**
 * A registry of jobs that are functions: defines, starts, observes, aborts and searches them. `Known` has the types of details by the types
 * of jobs.
 */
export class Registry<Known extends Record<string, object> = Record<never, object>> {
  /** Redacts secrets in text, including those of the option `redact`, as statuses and logs do: `redactor.redact(text)`. */
  readonly redactor: Redactor
  readonly #parts: RegistryParts
  readonly #closingSignal = createAbortController()
  #closing: Promise<void> | undefined

  constructor(options: RegistryOptions, others: Readonly<Record<string, Rule>> = {}) {
    checkRegistryOptions(options, others)
    this.#parts = createParts(options)
    this.redactor = this.#parts.runtime.redactor
  }

  /** Adds a job. Throws `invalid_options` when the job is not valid or is defined already. */
  define<Checkpoint = unknown, Detail extends object = JobDetail, Params extends object = JobParams>(
    job: Job<Checkpoint, Detail, Params>,
  ): void {
    checkJob(job as unknown as Job)
    this.#add(job as unknown as Job)
  }

  /** Hides the `secrets` of an adapter in messages and logs from now on. */
  protected hideSecretsOf(adapter: unknown): void {
    this.#parts.runtime.redactor.learn(adapter)
  }

  /** Adds a job that the library makes, as `define` does. */
  protected defineLibraryJob(job: LibraryJob): void {
    checkJob(publicJobOf(job))
    this.#add(job)
  }

  #add(job: LibraryJob): void {
    const { runtime, jobs, paused, ends, recovery, scheduler } = this.#parts
    const { type, id } = job
    checkScheduledParams(job, (cause) => {
      const fields = { type, id, error: errorMessages(cause) }
      runtime.logger.error(fields, `The schedule of job [${type}/${id}] cannot start it.`)
    })
    const openEnds = hasEndHandler(job, runtime) && featureOf(runtime.storage, 'ends', 'onEnd')
    jobs.add(job)
    paused.start()
    if (openEnds) ends.start(openEnds)
    if (job.resume === 'auto' || job.makePartition) recovery.start()
    else recovery.observe()
    scheduler.add(job)
  }

  /**
   * Removes the definition of a job from this registry, so that it starts here no more. Storage and other processes keep the job: its log,
   * its checkpoint, its pause, and what a shared queue holds. Its schedule continues in the processes that still define it. `define` adds it
   * again, also in another way. Returns whether it was defined. Throws `already_running` while this registry runs or queues the job or one of
   * its partitions.
   */
  remove(type: string, id: string): boolean {
    return this.#parts.management.remove(type, id)
  }

  /** Whether this registry defines the job, or any job of the type when `id` is not given. */
  has(type: string, id?: string): boolean {
    return this.#parts.jobs.has(type, id)
  }

  /**
   * Starts a job. Resolves as soon as it runs or is queued. Throws `not_defined`, `paused`, `already_running` or `closed`, or what
   * storage threw. With `fullRefresh`, throws `invalid_options` when the target could not do that, `target` when it does not answer within
   * 10 seconds, and `aborted` when the job is aborted here meanwhile.
   */
  async start<Detail extends object = never, Type extends string = string>(
    type: Type,
    id: string,
    options: StartOptions = {},
  ): Promise<StartedExecution<DetailByType<Known, Type, Detail>>> {
    return (await this.#start(type, id, options)) as never
  }

  async #start(type: string, id: string, options: StartOptions): Promise<StartedExecution> {
    checkOptions('options', options, startRules)
    const key = checkedKey(type, id)
    this.#assertOpen()
    const { jobs, runner, refreshChecks, paused } = this.#parts
    const job = jobs.require(key, { type, id })
    const { force = false, fullRefresh = false, ...rest } = options
    const params = rest.params && startParams(rest.params, this.redactor)
    const checked = checkParams(job, params ?? {})
    if (checked instanceof Promise) await checked
    const request = { ...rest, ...(params && { params }), refusesPaused: !force }
    if (!fullRefresh) return runner.start(job, request)
    if (!force) await paused.refuseWhenKnown(job)
    return runner.start(job, { ...request, checkpoint: await refreshChecks.checkpointFor(job) })
  }

  /**
   * The jobs that this registry defines, with their schedules, pauses and last statuses, in the order of type and id. Reads 1,000
   * jobs with one call of the storage. Throws `not_supported` when the storage does not have `latest`.
   */
  jobs(): Promise<DefinedJob[]> {
    return this.#parts.management.list()
  }

  /**
   * Pauses a job in all processes, until `unpause`: its schedule, its takeovers and its queued executions wait. What runs goes on. A
   * `start` throws `paused` unless it is forced. Other processes see the pause within 2 seconds. A job that is paused already stays
   * as it is. Throws `not_defined` when the job is not defined here and never ran, and `not_supported`.
   */
  pause(type: string, id: string, options: PauseOptions = {}): Promise<JobPause> {
    return this.#parts.management.pause(type, id, options)
  }

  /**
   * Ends the pause of a job in all processes. Resolves with whether it was paused. A pause of all jobs still holds. Throws `not_defined` for a
   * job that was not paused, is not defined here and never ran.
   */
  unpause(type: string, id: string): Promise<boolean> {
    return this.#parts.management.unpause(type, id)
  }

  /** Pauses all jobs in all processes, as `pause` does, for example before a deploy. Independent of the pauses of single jobs. */
  pauseAll(options: PauseOptions = {}): Promise<JobPause> {
    return this.#parts.management.pauseAll(options)
  }

  /** Ends the pause of all jobs. Resolves with whether there was one. Jobs that were paused by themselves stay paused. */
  unpauseAll(): Promise<boolean> {
    return this.#parts.management.unpauseAll()
  }

  /**
   * Clears or sets the checkpoint that the next execution begins with: in storage, and in the target if it stores checkpoints. The records
   * of the target stay. A full refresh that has not begun is dropped. Resolves with the last status, or `undefined` when the job never ran. Throws `not_defined`, `already_running`, and
   * `not_supported` when the storage cannot reset.
   */
  async reset<Detail extends object = never, Type extends string = string>(
    type: Type,
    id: string,
    options: ResetOptions = {},
  ): Promise<JobStatus<DetailByType<Known, Type, Detail>> | undefined> {
    this.#assertOpen()
    return (await this.#parts.management.reset(type, id, options)) as never
  }

  /** The status of the job's live execution, else of its last one. `undefined` when the job never ran. */
  async status<Detail extends object = never, Type extends string = string>(
    type: Type,
    id: string,
  ): Promise<JobStatus<DetailByType<Known, Type, Detail>> | undefined> {
    checkedKey(type, id)
    const record = await this.#parts.runtime.storage.find(type, id)
    return (record && this.#parts.jobs.statusOf(record)) as never
  }

  /** The live executions of a type in all processes, oldest start first. `detail: false` leaves out `detail`, `checkpoint`, `params` and `log`. */
  async running<Detail extends object = never, Type extends string = string>(
    type: Type,
    { detail = true }: ListOptions = {},
  ): Promise<LiveStatus<DetailByType<Known, Type, Detail>>[]> {
    checkValue('type', type, rule.text)
    const records = await allLive(this.#parts.runtime.storage, { type, ...(!detail && { omitsDetail: true }) })
    return records.sort((a, b) => a.startTime - b.startTime).map((each) => this.#parts.jobs.statusOf(each) as never)
  }

  /**
   * Requests an abort of a job in any process and waits until it has stopped. Resolves with its status: `aborting` when `timeout`
   * has passed, the last status when the job was not live, `undefined` when it never ran. Throws `already_running` when another execution
   * than `executionId` is live, or the last one. Rejects with `closed` when the registry has closed and the job still runs: storage keeps the request.
   */
  async abort<Detail extends object = never, Type extends string = string>(
    type: Type,
    id: string,
    options: AbortOptions = {},
  ): Promise<JobStatus<DetailByType<Known, Type, Detail>> | undefined> {
    return (await this.#abort(type, id, options)) as never
  }

  async #abort(type: string, id: string, options: AbortOptions): Promise<JobStatus | undefined> {
    checkedKey(type, id)
    checkOptions('options', options, abortRules)
    const { timeout = defaultStopTimeout, signal, onAsked, ...named } = options
    const { clock, logger, abandoned: closed } = this.#parts.runtime
    if (named.executionId === undefined) this.#parts.refreshChecks.abort({ type, id })
    const { asked, settled, execution } = await this.#parts.runner.askToStop({ type, id }, named)
    isolate(
      () => onAsked?.(),
      (error) => logger.warn({ type, id, error: errorMessages(error) }, '`onAsked` of an abort threw.'),
    )
    const { jobs, completions } = this.#parts
    if (!asked || !isLive(asked.state)) return asked && jobs.statusOf(asked)
    const known = timeout === 0 ? asked : settled
    if (known) return jobs.statusOf(known)
    const ended: Promise<JobStatus> = execution
      ? execution.finished.then(() => execution.status)
      : completions.whenEnded(asked).then((record) => jobs.statusOf(record))
    const givenUp = signal ? anySignal([signal, closed]) : closed
    const status = await withTimeout(clock, timeout, ended, undefined, givenUp)
    // Nothing here hears of the end any more.
    if (!status) closed.throwIfAborted()
    return status ?? jobs.statusOf(asked)
  }

  /**
   * A page of the queued executions, in the order in which they will run: those of this registry, or of all registries that share
   * its dispatcher. `abort` removes an execution from the queue.
   */
  async queued(options: WaitingOptions = {}): Promise<WaitingPage> {
    checkOptions('options', options, waitingRules)
    const { from = 0, size = 10 } = options
    return this.#parts.dispatcher.waiting({ from, size })
  }

  /** Changes the priority of a queued job, behind those that have it already. Resolves with whether the job is queued. */
  async setPriority(type: string, id: string, priority: number): Promise<boolean> {
    checkValue('priority', priority, priorityRule)
    const record = await this.#parts.runtime.storage.find(type, id)
    return record?.state === 'queued' && this.#parts.dispatcher.move(record.executionId, priority)
  }

  /**
   * When the schedule of a job that is defined here starts it next, in epoch milliseconds. `undefined` when it never does. Throws
   * `not_defined`.
   */
  nextRun(type: string, id: string): number | undefined {
    const { scheduler, jobs } = this.#parts
    return scheduler.next(jobs.require(checkedKey(type, id), { type, id }))
  }

  /** Searches the log, newest first. Without `state`, finds ended executions only. `detail` is as that of `running`. */
  async search<Detail extends object = never, Type extends string = string>(
    filter: SearchFilter & { type?: Type } = {},
    { detail = true }: ListOptions = {},
  ): Promise<SearchResult<JobStatus<DetailByType<Known, Type, Detail>>>> {
    checkSearch(filter)
    const given = detail ? filter : { ...filter, omitsDetail: true }
    const { total, hits } = await this.#parts.runtime.storage.search(given)
    return { total, hits: hits.map((record) => this.#parts.jobs.statusOf(record) as never) }
  }

  /**
   * The health of this registry: whether its storage answers, and how many executions run and are queued here. Reports an
   * unreachable storage in the result instead of throwing.
   */
  async health(options: HealthOptions = {}): Promise<RegistryHealth> {
    return this.#parts.probe.check(options, this.#closing !== undefined)
  }

  /**
   * Resolves when storage and dispatcher can be used: call it when the process starts. Rejects with the reason, such as a missing driver
   * or a wrong password. Transient errors, as of a server that starts, are tried again until `timeout`. Rejects with `closed` when the
   * registry closes.
   */
  ready(options: ReadyOptions = {}): Promise<void> {
    checkOptions('options', options, readyRules)
    return this.readyWith([], options)
  }

  /** Resolves when storage, dispatcher and other adapters can be used. */
  protected async readyWith(checks: readonly ReadinessCheck[], options: ReadyOptions): Promise<void> {
    this.#assertOpen()
    const { runtime, probe, dispatcher } = this.#parts
    const askStorage = () => probe.assertUsable()
    const askQueue = (signal: AbortSignal) => dispatcher.check?.(signal) ?? dispatcher.waiting({ from: 0, size: 0 })
    const own: ReadinessCheck[] = [
      { name: 'storage', code: 'storage', check: askStorage },
      { name: 'dispatcher', code: 'dispatcher', check: askQueue },
    ]
    await untilReady(runtime, [...own, ...checks], options, this.#closingSignal.signal)
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
    const { own, cluster } = this.#parts.listeners
    for (const emitter of [own, cluster]) emitter.off(name, listener)
  }

  /** Adds a listener to the batches that jobs of this registry have written. Returns a function that removes the listener. */
  onBatch(listener: BatchListener): () => void {
    checkValue('listener', listener, rule.aFunction)
    return this.#parts.listeners.batches.add(listener)
  }

  /** Aborts, with the code `closed`, when `close()` has stopped the jobs, and before it closes the storage. */
  get closed(): AbortSignal {
    return this.#parts.runtime.abandoned
  }

  /**
   * Stops starting jobs, aborts or drains live ones, waits for them, and closes the dispatcher, the storage and the datasources.
   * Jobs that have not stopped within `timeout`, and resources that have not closed within 5 seconds, are left behind and logged.
   * Never rejects.
   */
  close(options: CloseOptions = {}): Promise<void> {
    checkOptions('options', options, closeRules)
    this.#closingSignal.abort(new JobError('closed', 'The registry is closed.'))
    this.#closing ??= this.#close(options)
    return this.#closing
  }

  /** Same as `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** The resources to close besides the dispatcher, by name. */
  protected get owned(): Record<string, Owned> {
    return { storage: this.#parts.runtime.storage }
  }

  #assertOpen(): void {
    this.#closingSignal.signal.throwIfAborted()
  }

  async #close(options: CloseOptions): Promise<void> {
    const { runtime, dispatcher } = this.#parts
    await stopParts(this.#parts, options)
    // The dispatcher first, as it releases slots. If it hangs, half of the time remains for the other resources.
    await closeInTime(runtime, { dispatcher }, ownedTimeout / 2)
    await closeInTime(runtime, this.owned, ownedTimeout / 2)
  }

  #emitterFor(options: ListenOptions): IsolatedEmitter {
    checkOptions('options', options, listenRules)
    const { listeners, unwatch, remoteEvents } = this.#parts
    if (options.scope !== 'cluster') return listeners.own
    if (!unwatch) throw invalid('scope', '`own`, as the storage does not emit changes', options.scope)
    remoteEvents.start()
    return listeners.cluster
  }
}
