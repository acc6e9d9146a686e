import type { ExecutionKey } from './_ends.js'
import { Executions } from './_executions.js'
import { HandedExecution } from './_handed.js'
import type { ExecutionHost, RegistryHost } from './_host.js'
import { Restocker } from './_restocker.js'
import { unlessAborted, unlessRunning } from './_retry.js'
import { PartNews, RunnerParts } from './_runner-parts.js'
import { StartGate } from './_start-gate.js'
import { waitingOf } from './_waiting.js'
import { withTimeout } from './clock.js'
import type { ConcurrencyLimits, Dispatcher, WaitingExecution } from './dispatcher.js'
import { alreadyRunning, errorMessages, JobError } from './errors.js'
import { Execution, type StartedExecution, takeoverOf } from './execution.js'
import type { Job } from './job.js'
import { isEnded } from './lifecycle.js'
import { warnOf } from './logger.js'
import { isPart, type Parts } from './parts.js'
import { retryPolicyOf } from './retry-policy.js'
import { type BeginRequest, type ExecutionRecord, waitingLease } from './storage.js'

/** How long a start and an abort wait for the line, in milliseconds: storage holds what they did already. */
const linePatience = 1000

/** How long storage may take to hear of the abort of a job that is to stop as its registry closes, in milliseconds. */
const abortPatience = 1000

/** What a {@link Runner} needs of the registry. */
export interface RunnerHost extends RegistryHost {
  readonly dispatcher: Dispatcher
  readonly limits: ConcurrencyLimits
  /** The types of jobs that are known here. */
  types(): Iterable<string>
  /** The job of an execution, if it is known here. */
  jobOf(execution: Pick<ExecutionRecord, 'type' | 'id'>): Job | undefined
  /** Leaves the times of a job to another registry, as `yieldSchedule` of a worker says. */
  yieldSchedule(job: Job | undefined, lastSeen: number | undefined): void
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
  /** The executions of this registry. */
  readonly executions: Executions
  /** Those who wait for news of parts. */
  readonly partNews = new PartNews()
  readonly #restocker: Restocker
  readonly #gate: StartGate
  #isClosing = false

  constructor(host: RunnerHost) {
    this.#host = { ...host, partsOf: (execution) => this.#partsOf(execution) }
    this.executions = new Executions(this.#host)
    this.#gate = new StartGate(host.clock)
    const { dispatcher, limits, clock, lease, logger } = host
    dispatcher.work({
      limits,
      clock,
      lease,
      take: (waiting) => this.#take(waiting),
      yieldSchedule: (job, lastSeen) => host.yieldSchedule(host.jobOf(job), lastSeen),
      ended: async (waiting, left) => {
        await unlessAborted(host.ended(waiting), left)
        return !left.aborted
      },
      warn: (error, message) => logger.warn({ error: errorMessages(error) }, message),
    })
    const enqueue = (records: readonly ExecutionRecord[]) => this.#enqueue(records)
    this.#restocker = new Restocker({ ...host, enqueue, settle: (record) => this.settle(record) })
    if (this.isShared) this.#restocker.start()
  }

  /** Whether executions wait for any registry, and not for this one. */
  get isShared(): boolean {
    return this.#host.dispatcher.reserve === undefined
  }

  /** Takes no more turns. */
  close(): void {
    this.#isClosing = true
    this.#restocker.stop()
  }

  /** Asks a job to stop, wherever it is. Gives it, live or last, as it ended if it waited, and the execution that it has here. */
  async askToStop(
    type: string,
    id: string,
  ): Promise<{ asked?: ExecutionRecord; settled?: ExecutionRecord; execution?: Execution }> {
    const asked = await this.#host.storage.requestAbort(type, id)
    if (!asked || isEnded(asked.state)) return asked ? { asked } : {}
    const execution = await this.executions.find(asked)
    execution?.adopt(asked)
    const settled = asked.node === '' ? await this.settle(asked) : undefined
    return { asked, ...(settled && { settled }), ...(execution && { execution }) }
  }

  /** Stops the executions that are here. */
  async stopAll(): Promise<void> {
    await Promise.all(this.executions.all.map((execution) => this.#stop(execution)))
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

  /**
   * Ends an execution that was asked to stop while it waited for any registry. Gives it as it ended, or `undefined` when a
   * registry has taken it.
   */
  async settle(waiting: ExecutionRecord): Promise<ExecutionRecord | undefined> {
    const { type, id } = waiting
    await this.#leaveLine(waiting)
    const execution = new Execution(this.#host.jobOf(waiting) ?? { type, id, run: () => undefined }, this.#host)
    if (!(await execution.take(waiting))) return undefined
    await execution.run()
    return execution.record
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

  async #beginForAny(job: Job, { priority: _, ...request }: StartRequest): Promise<ExecutionRecord> {
    const { storage } = this.#host
    const { type, id } = job
    const waiting = { type, id, state: 'queued', node: '', lease: waitingLease, ...request } as const
    const { started, execution: record } = await this.#passGate(job, () => storage.begin(waiting))
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
    return (await this.#startIfFree(job, request)) ?? this.#startInLine(job, request)
  }

  async #startIfFree(job: Job, { priority: _, ...request }: StartRequest): Promise<StartedExecution | undefined> {
    this.executions.refuseSecond(job)
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
    const execution = this.executions.add(job)
    try {
      await execution.begin(request, (ask) => this.#passGate(job, ask))
      return execution
    } catch (error) {
      this.executions.drop(execution)
      throw error
    }
  }

  /** Begins when few others do. A registry that closes while a start waits starts nothing but parts of what runs to its end. */
  #passGate<Answer>(job: Job, begin: () => Promise<Answer>): Promise<Answer> {
    return this.#gate.pass(() => {
      if (this.#isClosing && !isPart(job)) throw new JobError('closed', 'The registry is closed.')
      return begin()
    })
  }

  /** A turn has come: of an execution that waited here, or of one that waits for any registry. */
  async #take(waiting: WaitingExecution): Promise<boolean> {
    const here = this.executions.of(waiting)
    const job = this.#host.jobOf(waiting)
    if (here?.is(waiting.executionId)) await here.run()
    else if (!job || here || this.#isClosing) return false
    else return this.#runIfHad(this.executions.add(job), waiting)
    return true
  }

  async #runIfHad(
    execution: Execution,
    waiting: Pick<WaitingExecution, 'type' | 'id' | 'executionId' | 'epoch'>,
  ): Promise<boolean> {
    try {
      if (await execution.take(waiting)) await execution.run()
      else this.executions.drop(execution)
      return true
    } catch (error) {
      this.executions.drop(execution)
      this.#warn(waiting, error, 'could not be taken, and stays in line')
      return false
    }
  }

  #partsOf(execution: Pick<ExecutionRecord, 'type' | 'id'>): Parts {
    return new RunnerParts(execution, this.#host.storage, this.partNews, {
      start: (part) => unlessRunning(this.#offer(this.#host.jobOf(part) as Job, {})),
      enqueue: (record) => this.#enqueue([record]),
      run: (record) => this.#runPart(record),
      abort: async ({ type, id }) => void (await this.askToStop(type, id)),
    })
  }

  async #runPart(record: ExecutionRecord): Promise<void> {
    const job = this.#host.jobOf(record)
    if (!job || this.#isClosing || this.executions.of(job)) return
    if (isEnded(record.state)) {
      const begun = this.#begin(job, { ...takeoverOf(record), state: 'running' })
      return unlessRunning(begun.then((part) => part.run()))
    }
    // Its turn may come while it runs here: that would take a slot for nothing.
    await this.#leaveLine(record)
    if (!this.executions.of(job)) await this.#runIfHad(this.executions.add(job), record)
  }

  async #leaveLine(waiting: ExecutionRecord): Promise<void> {
    const { dispatcher, clock } = this.#host
    const failed = (error: unknown) => this.#warn(waiting, error, 'stays in line, and is refused when its turn comes')
    await withTimeout(clock, linePatience, dispatcher.remove(waiting.executionId).catch(failed))
  }

  async #stop(execution: Execution): Promise<void> {
    if (!(await execution.held) || execution.handBack()) return
    try {
      await withTimeout(this.#host.clock, abortPatience, this.askToStop(execution.type, execution.id))
    } catch (error) {
      this.#warn(execution, error, 'could not be aborted in storage, and stops all the same')
    }
    execution.stop()
  }

  #warn(job: Pick<ExecutionRecord, 'type' | 'id' | 'executionId'>, error: unknown, what: string): void {
    warnOf(this.#host.logger, job, error, what)
  }
}
