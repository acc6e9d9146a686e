import type { ExecutionKey } from './_ends.js'
import { HandedExecution } from './_handed.js'
import type { ExecutionHost, RegistryHost } from './_host.js'
import { Restocker } from './_restocker.js'
import { unlessAborted, unlessRunning } from './_retry.js'
import { findEnded, stored } from './_stored.js'
import { waitingOf } from './_waiting.js'
import { withTimeout } from './clock.js'
import type { ConcurrencyLimits, Dispatcher, DispatchWorker, WaitingExecution } from './dispatcher.js'
import { alreadyRunning, errorMessages } from './errors.js'
import { Execution, type StartedExecution, takeoverOf } from './execution.js'
import type { Standing } from './health.js'
import { jobKey } from './ids.js'
import type { Job } from './job.js'
import { isEnded } from './lifecycle.js'
import { warnOf } from './logger.js'
import { type Parts, partOf, shownAs } from './parts.js'
import { retryPolicyOf } from './retry-policy.js'
import { type BeginRequest, type ExecutionRecord, waitingLease } from './storage.js'

/** How long a start and an abort wait for the line, in milliseconds: storage holds what they did already. */
const linePatience = 1000

/** What a {@link Runner} needs of the registry. */
export interface RunnerHost extends RegistryHost {
  readonly dispatcher: Dispatcher
  readonly limits: ConcurrencyLimits
  /** The types of jobs that are known here. */
  types(): Iterable<string>
  /** The job of an execution, if it is known here. */
  jobOf(execution: Pick<ExecutionRecord, 'type' | 'id'>): Job | undefined
  /** Resolves with an execution that is new, in any process, when it has ended. */
  expectEnd(execution: ExecutionKey): Promise<ExecutionRecord>
  /** Resolves with an execution, in any process, as soon as it has ended. */
  ended(execution: ExecutionKey): Promise<ExecutionRecord>
}

/** What a start asks for, beside the job. */
export type StartRequest = Pick<BeginRequest, 'resumedFrom' | 'takeovers' | 'scheduledFor'> & { priority?: number }

/** Brings executions to their turns, and holds those that live in this registry. */
export class Runner {
  readonly #host: RunnerHost & ExecutionHost
  readonly #executions = new Map<string, Execution>()
  readonly #restocker: Restocker
  #isClosing = false

  constructor(host: RunnerHost) {
    this.#host = { ...host, partsOf: (execution) => this.#partsOf(execution) }
    const { dispatcher, limits, clock, logger } = host
    const worker: DispatchWorker = {
      limits,
      clock,
      take: (waiting) => this.#take(waiting),
      ended: async (waiting, left) => {
        await unlessAborted(host.ended(waiting), left)
        return !left.aborted
      },
      warn: (error, message) => logger.warn({ error: errorMessages(error) }, message),
    }
    dispatcher.work(worker)
    const enqueue = (records: readonly ExecutionRecord[]) => this.#enqueue(records)
    this.#restocker = new Restocker({ ...host, enqueue, settle: (record) => this.settle(record) })
    if (this.isShared) this.#restocker.start()
  }

  /** Whether executions wait for any registry, and not for this one. */
  get isShared(): boolean {
    return this.#host.dispatcher.reserve === undefined
  }

  /** The executions of this registry. */
  get executions(): readonly Execution[] {
    return [...this.#executions.values()]
  }

  /** Where the executions of this registry stand. */
  get standings(): Standing[] {
    return this.executions.flatMap(({ standing }) => standing ?? [])
  }

  /** Whether this registry runs the job, or is about to. */
  isHere(job: Pick<ExecutionRecord, 'type' | 'id'>): boolean {
    return this.#executions.has(jobKey(job))
  }

  /** Whether this registry runs that execution, or is about to. */
  isOwn(execution: ExecutionKey): boolean {
    return this.#executions.get(jobKey(execution))?.is(execution.executionId) ?? false
  }

  /** The execution of this registry that a record of storage is about, if it is one of this registry. */
  async executionOf(record: ExecutionRecord): Promise<Execution | undefined> {
    const execution = this.#executions.get(jobKey(record))
    await execution?.held
    return execution?.is(record.executionId) ? execution : undefined
  }

  /** Storage told of a change of an execution that may be one of this registry. */
  look(change: Pick<ExecutionRecord, 'type' | 'id'>): void {
    void this.#executions.get(jobKey(change))?.look()
  }

  /** Takes no more turns. */
  close(): void {
    this.#isClosing = true
    this.#restocker.stop()
  }

  /** Asks a job to stop, wherever it is. Gives it, live or last, and the execution that it has here. */
  async askToStop(type: string, id: string): Promise<{ asked?: ExecutionRecord; execution?: Execution }> {
    const asked = await stored(this.#host.storage.requestAbort(type, id))
    if (!asked || isEnded(asked.state)) return asked ? { asked } : {}
    const execution = await this.executionOf(asked)
    execution?.adopt(asked)
    if (asked.node === '') await stored(this.settle(asked))
    return { asked, ...(execution && { execution }) }
  }

  /** Starts a job. Throws `already_running`. */
  start(job: Job, request: StartRequest = {}): Promise<StartedExecution> {
    return this.isShared ? this.#hand(job, request) : this.#startHere(job, request)
  }

  /** Goes on with an orphan, if its job is to go on by itself, is known here, and has a slot. */
  async takeOver(orphan: ExecutionRecord): Promise<void> {
    const job = this.#host.jobOf(orphan)
    if (job?.resume !== 'auto' || this.#isClosing) return
    const takeover = takeoverOf(orphan)
    if (takeover.takeovers > retryPolicyOf(job).limit) return
    await unlessRunning(this.isShared ? this.#offer(job, takeover) : this.#startIfFree(job, takeover))
  }

  /** Ends an execution that was asked to stop while it waited for any registry, unless one has taken it. */
  async settle(waiting: ExecutionRecord): Promise<void> {
    const { type, id, executionId } = waiting
    const { dispatcher, clock } = this.#host
    const failed = (error: unknown) => this.#warn(waiting, error, 'stays in line, and is refused when its turn comes')
    await withTimeout(clock, linePatience, dispatcher.remove(executionId).catch(failed))
    const execution = new Execution(this.#host.jobOf(waiting) ?? { type, id, run: () => undefined }, this.#host)
    if (await execution.take(waiting)) await execution.run()
  }

  /** An execution has changed. */
  changed(record: ExecutionRecord): void {
    const key = jobKey(record)
    if (isEnded(record.state) && this.#executions.get(key)?.is(record.executionId)) this.#executions.delete(key)
  }

  /** Lets an execution wait for any registry, and waits for its end from its beginning on. */
  async #hand(job: Job, request: StartRequest): Promise<StartedExecution> {
    const record = await this.#beginForAny(job, request)
    const execution = new HandedExecution(record, this.#host.expectEnd(record))
    await this.#enqueueSoon(record, request.priority)
    return execution
  }

  /** Lets an execution wait for any registry. */
  async #offer(job: Job, request: StartRequest): Promise<void> {
    await this.#enqueueSoon(await this.#beginForAny(job, request), request.priority)
  }

  async #beginForAny({ type, id }: Job, { priority: _, ...request }: StartRequest): Promise<ExecutionRecord> {
    const { storage } = this.#host
    const asked = storage.begin({ type, id, state: 'queued', node: '', lease: waitingLease, ...request })
    const { started, execution: record } = await stored(asked)
    if (!started) throw alreadyRunning(record)
    this.#host.changed(record, 'state')
    return record
  }

  async #enqueue(records: readonly ExecutionRecord[], priority?: number): Promise<void> {
    const waiting = records.flatMap((record) => {
      const job = this.#host.jobOf(record)
      return job ? [waitingOf(record, job, priority)] : []
    })
    await this.#host.dispatcher.add(waiting)
  }

  /** Puts an execution in line, and does not wait for one out of reach: accepted is what storage holds. */
  async #enqueueSoon(record: ExecutionRecord, priority: number | undefined): Promise<void> {
    const put = this.#enqueue([record], priority)
    const failed = (error: unknown) => this.#warn(record, error, 'could not be put in line, and will be later')
    await withTimeout(this.#host.clock, linePatience, put.catch(failed))
  }

  async #startHere(job: Job, request: StartRequest): Promise<StartedExecution> {
    const execution = await this.#startIfFree(job, request)
    return execution ?? this.#startInLine(job, request)
  }

  async #startIfFree(job: Job, { priority: _, ...request }: StartRequest): Promise<StartedExecution | undefined> {
    this.#refuseTwice(job)
    const slot = this.#host.dispatcher.reserve?.(job.datasource)
    if (!slot) return undefined
    try {
      const execution = await this.#begin(job, { ...request, state: 'running' })
      void execution.run().finally(() => slot.release())
      return execution
    } catch (error) {
      slot.release()
      throw error
    }
  }

  async #startInLine(job: Job, { priority, ...request }: StartRequest): Promise<StartedExecution> {
    const { dispatcher } = this.#host
    const execution = await this.#begin(job, { ...request, state: 'queued' })
    const { executionId, signal } = execution
    const leave = async () => {
      if (await dispatcher.remove(executionId)) await execution.run()
    }
    await dispatcher.add([waitingOf(execution.record, job, priority)])
    if (signal.aborted) void leave()
    else signal.addEventListener('abort', () => void leave())
    return execution
  }

  async #begin(job: Job, request: Parameters<Execution['begin']>[0]): Promise<Execution> {
    const execution = this.#keep(job)
    try {
      await execution.begin(request)
      return execution
    } catch (error) {
      this.#drop(execution)
      throw error
    }
  }

  /** A turn has come: of an execution that waited here, or of one that waits for any registry. */
  async #take(waiting: WaitingExecution): Promise<boolean> {
    const here = this.#executions.get(jobKey(waiting))
    const job = this.#host.jobOf(waiting)
    if (here?.is(waiting.executionId)) await here.run()
    else if (!job || here || this.#isClosing) return false
    else return this.#runIfHad(this.#keep(job), waiting)
    return true
  }

  async #runIfHad(
    execution: Execution,
    waiting: Pick<WaitingExecution, 'type' | 'id' | 'executionId' | 'epoch'>,
  ): Promise<boolean> {
    try {
      if (await execution.take(waiting)) await execution.run()
      else this.#drop(execution)
      return true
    } catch (error) {
      this.#drop(execution)
      this.#warn(waiting, error, 'could not be taken, and stays in line')
      return false
    }
  }

  #partsOf(execution: Pick<ExecutionRecord, 'type' | 'id'>): Parts {
    const { storage } = this.#host
    const named = (n: number) => partOf(execution, n)
    return {
      find: (n) => stored(storage.find(named(n).type, named(n).id)),
      findEnded: (record) => stored(findEnded(storage, record)),
      start: (n) => unlessRunning(this.#offer(this.#host.jobOf(named(n)) as Job, {})),
      run: (record) => this.#runPart(record),
      abort: async (n) => void (await this.askToStop(named(n).type, named(n).id)),
      whole: () => stored(storage.find(shownAs(execution).type, shownAs(execution).id)),
    }
  }

  async #runPart(record: ExecutionRecord): Promise<void> {
    const job = this.#host.jobOf(record)
    if (!job || this.#isClosing || this.isHere(job)) return
    if (isEnded(record.state))
      await unlessRunning(this.#begin(job, { ...takeoverOf(record), state: 'running' }).then((part) => part.run()))
    else await this.#runIfHad(this.#keep(job), record)
  }

  #refuseTwice(job: Job): void {
    if (this.isHere(job)) throw alreadyRunning(job)
  }

  #keep(job: Job): Execution {
    this.#refuseTwice(job)
    const execution = new Execution(job, this.#host)
    this.#executions.set(jobKey(job), execution)
    return execution
  }

  #drop(execution: Execution): void {
    if (this.#executions.get(jobKey(execution)) === execution) this.#executions.delete(jobKey(execution))
  }

  #warn(job: Pick<ExecutionRecord, 'type' | 'id' | 'executionId'>, error: unknown, what: string): void {
    warnOf(this.#host.logger, job, error, what)
  }
}
