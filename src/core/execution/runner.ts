import PQueue from 'p-queue'
import {
  alreadyRunning,
  hasRunAgain,
  invalid,
  isAlreadyRunning,
  JobError,
  jobIdOf,
  runsAnother,
  warnOf,
  withTimeout,
} from '../base/index.js'
import { type ConcurrencySlot, StartGate, type WaitingExecution } from '../dispatch/index.js'
import {
  closedReason,
  type ExecutionKey,
  type ExecutionRecord,
  hasEndHandler,
  isEnded,
  type JobKey,
  keyOf,
} from '../model/index.js'
import type { Runtime } from '../runtime/index.js'
import type { AbortRequest, BeginRequest } from '../storage/index.js'
import type { CompletionWaiter } from './completion-waiter.js'
import { Execution, type StartedExecution } from './execution.js'
import { ExecutionLease } from './execution-lease.js'
import type { ExecutionQueue } from './execution-queue.js'
import { type JobCatalog, notDefined } from './job-catalog.js'
import type { LocalExecutions } from './local-executions.js'
import { type PartitionEvents, PartitionHandle, type PartitionRunner } from './partition-handle.js'
import type { LibraryJob } from './partitions.js'
import type { PausedJobs } from './paused-jobs.js'
import { RemoteExecution } from './remote-execution.js'
import { canTakeOver, takeoverOf } from './takeover.js'

/** How long a start that cannot be queued waits for its end in storage, in milliseconds. */
const failTimeout = 1000

/** How long storage may take for the abort of a job when its registry closes, in milliseconds. */
const abortTimeout = 1000

/** How many executions are aborted in storage at once when the registry closes. */
const stopsAtOnce = 8

/** The parts of a registry that a {@link Runner} uses. */
export interface RunnerParts {
  readonly queue: ExecutionQueue
  readonly jobs: JobCatalog
  readonly executions: LocalExecutions
  readonly partitionEvents: PartitionEvents
  readonly completions: CompletionWaiter
  readonly paused: PausedJobs
}

/** Options of a start, besides the job. */
export type StartRequest = Pick<
  BeginRequest,
  'resumedFrom' | 'takeovers' | 'scheduledFor' | 'params' | 'checkpoint'
> & {
  priority?: number
  /** Whether a paused job is refused. */
  refusesPaused?: boolean
}

/** Starts, runs, resumes and stops executions. */
export class Runner implements PartitionRunner {
  readonly #runtime: Runtime
  readonly #queue: ExecutionQueue
  readonly #jobs: JobCatalog
  readonly #executions: LocalExecutions
  readonly #partitionEvents: PartitionEvents
  readonly #completions: CompletionWaiter
  readonly #paused: PausedJobs
  readonly #gate: StartGate
  #isClosing = false
  #isStopping = false
  /** How long the next abort waits for storage. 0 once an earlier one has timed out. */
  #stopTimeout = abortTimeout

  constructor(runtime: Runtime, parts: RunnerParts) {
    const { queue, jobs, executions, partitionEvents, completions, paused } = parts
    this.#runtime = runtime
    this.#queue = queue
    this.#jobs = jobs
    this.#executions = executions
    this.#partitionEvents = partitionEvents
    this.#completions = completions
    this.#paused = paused
    this.#gate = new StartGate(runtime.clock)
  }

  /** Starts and claims nothing more. */
  close(): void {
    this.#isClosing = true
  }

  /**
   * Requests an abort of a job in any process. Returns its live or last record, how it ended if it was queued, and its local execution.
   * Throws `already_running` when another execution than `executionId` is live or the last one.
   */
  async askToStop(
    job: JobKey,
    { reason, executionId }: Pick<AbortRequest, 'reason' | 'executionId'> = {},
  ): Promise<{ asked?: ExecutionRecord; settled?: ExecutionRecord; execution?: Execution }> {
    if (executionId !== undefined && jobIdOf(executionId) !== job.id)
      throw invalid('executionId', `the id of an execution of the job, ${job.id} and a UUID`, executionId)
    const named = { ...(reason !== undefined && { reason }), ...(executionId !== undefined && { executionId }) }
    const ask = () => this.#runtime.storage.requestAbort({ ...keyOf(job), ...named })
    let asked = await ask()
    // A start that is under way here may reach storage later than the request.
    if ((!asked || isEnded(asked.state)) && (await this.#executions.hasJustBegun(job))) asked = await ask()
    if (!asked) return {}
    const isAnother = executionId !== undefined && asked.executionId !== executionId
    if (isAnother) throw isEnded(asked.state) ? hasRunAgain(job, 'abort') : runsAnother(job)
    if (isEnded(asked.state)) return { asked }
    const execution = await this.#executions.whenGranted(asked)
    execution?.adopt(asked)
    const settled = asked.node === null ? await this.#queue.settle(asked) : undefined
    return { asked, ...(settled && { settled }), ...(execution && { execution }) }
  }

  /** Stops the executions of this registry. */
  async stopAll(): Promise<void> {
    this.#isStopping = true
    const stops = new PQueue({ concurrency: stopsAtOnce })
    const stop = async (granted: Execution | undefined | Promise<Execution | undefined>) => {
      const execution = await granted
      if (execution) await stops.add(() => this.#stop(execution))
    }
    await Promise.all(this.#executions.all.map(stop))
  }

  /**
   * Runs a dispatched execution: one that was queued here, or one that any registry may claim. Resolves with whether it need not be
   * dispatched again. Never rejects.
   */
  async run(waiting: WaitingExecution): Promise<boolean> {
    const pending = this.#paused.pending
    if (pending) await pending.catch(() => undefined)
    const isHeld = this.#paused.holds(waiting)
    const here = this.#executions.find(waiting)
    if (here) {
      if (isHeld && !this.#isClosing && !here.signal.aborted) return false
      // A job that has not begun need not begin.
      if ((this.#isStopping || isHeld) && !here.release()) here.stop()
      await here.run()
      return true
    }
    // A shared queue would offer it again and again. The end of the pause adds it again.
    if (isHeld) return this.#queue.isShared
    const job = this.#jobs.forExecution(waiting)
    if (!job || !this.#mayBegin(job) || this.#executions.hasJob(waiting)) return false
    return this.#claimAndRun(job, waiting)
  }

  /** Starts a job. Throws `already_running`. */
  start(job: LibraryJob, request: StartRequest = {}): Promise<StartedExecution> {
    return this.#queue.isShared ? this.#startShared(job, request) : this.#startLocal(job, request)
  }

  /**
   * Resumes an orphan, if its job resumes automatically, is defined here, is not paused, and has a slot. Returns whether it did:
   * `refused` when no registry with this definition resumes it.
   */
  async takeOver(orphan: ExecutionRecord): Promise<'resumed' | 'refused' | undefined> {
    const job = this.#jobs.forExecution(orphan)
    if (!job || this.#isClosing) return undefined
    if (!canTakeOver(job, orphan)) return 'refused'
    await this.#paused.pending
    if (orphan.partition === undefined && this.#paused.of(orphan)) return undefined
    const takeover = await takeoverOf(this.#runtime.storage, job, orphan)
    const slot = this.#queue.isShared ? undefined : this.#tryAcquire(job)
    if (!slot && !this.#queue.isShared) return undefined
    const resuming = slot ? this.#startIn(slot, job, takeover) : this.#resumeShared(job, takeover)
    return (await unlessRunning(resuming)) ? 'resumed' : undefined
  }

  async startPartition(partition: JobKey, params: StartRequest['params']): Promise<void> {
    const job = this.#jobs.forExecution(partition)
    if (job) await unlessRunning(this.#resumeShared(job, params ? { params } : {}))
  }

  requeue(records: readonly ExecutionRecord[]): Promise<void> {
    return this.#queue.requeue(records)
  }

  async runPartition(record: ExecutionRecord): Promise<void> {
    const job = this.#jobs.forExecution(record)
    if (!job || !this.#mayBegin(job) || this.#executions.hasJob(job)) return
    if (isEnded(record.state)) {
      const takeover = await takeoverOf(this.#runtime.storage, job, record)
      const begun = this.#begin(job, { ...takeover, state: 'running' })
      await unlessRunning(begun.then((part) => part.run()))
      return
    }
    // Dispatching it again while it runs here would waste a slot.
    await this.#queue.remove(record)
    if (!this.#executions.hasJob(job)) await this.#claimAndRun(job, record)
  }

  /** Queues an execution for any registry, and waits for its end from the beginning. */
  async #startShared(job: LibraryJob, request: StartRequest): Promise<StartedExecution> {
    const record = await this.#beginForAny(job, request)
    const execution = new RemoteExecution(record, this.#completions.expect(record), this.#jobs.queueProblem)
    await this.#queue.addSoon(record, request.priority)
    return execution
  }

  /** Queues an execution for any registry. */
  async #resumeShared(job: LibraryJob, request: StartRequest): Promise<void> {
    await this.#queue.addSoon(await this.#beginForAny(job, request), request.priority)
  }

  async #beginForAny(
    job: LibraryJob,
    { priority: _, refusesPaused, ...request }: StartRequest,
  ): Promise<ExecutionRecord> {
    const { storage } = this.#runtime
    const waiting = { ...this.#startOf(job), state: 'queued', node: null, lease: null, ...request } as const
    const { started, execution: record } = await this.#passGate(job, () => storage.begin(waiting), refusesPaused)
    if (!started) throw alreadyRunning(record)
    this.#runtime.events.emit('changed', record, 'state')
    return record
  }

  async #startLocal(job: LibraryJob, request: StartRequest): Promise<StartedExecution> {
    const slot = this.#tryAcquire(job)
    return slot ? this.#startIn(slot, job, request) : this.#startQueued(job, request)
  }

  /** A free slot for a job. None while the job has an execution here: its start fails, and must not occupy a slot until then. */
  #tryAcquire(job: LibraryJob): ConcurrencySlot | undefined {
    return this.#executions.hasJob(job) ? undefined : this.#queue.tryAcquire(job)
  }

  async #startIn(
    slot: ConcurrencySlot,
    job: LibraryJob,
    { priority: _, ...request }: StartRequest,
  ): Promise<Execution> {
    try {
      const execution = await this.#begin(job, { ...request, state: 'running' })
      void execution.run().finally(() => slot.release())
      return execution
    } catch (error) {
      slot.release()
      throw error
    }
  }

  async #startQueued(job: LibraryJob, { priority, ...request }: StartRequest): Promise<Execution> {
    const execution = await this.#begin(job, { ...request, state: 'queued' })
    const { record, signal } = execution
    const leave = async () => {
      // An execution that may still be queued runs to its end here, and is then refused when it is dispatched.
      if ((await this.#queue.remove(record)) !== false) await execution.run()
    }
    try {
      await this.#queue.add(record, priority)
    } catch (error) {
      await withTimeout(this.#runtime.clock, failTimeout, execution.fail(error))
      throw error
    }
    if (signal.aborted) void leave()
    else signal.addEventListener('abort', () => void leave())
    return execution
  }

  #begin(
    job: LibraryJob,
    { refusesPaused, ...request }: Pick<BeginRequest, 'state'> & Omit<StartRequest, 'priority'>,
  ): Promise<Execution> {
    return this.#executions.add(job, async () => {
      const begin = () => ExecutionLease.begin(this.#runtime, { ...this.#startOf(job), ...request })
      return this.#executionOf(job, await this.#passGate(job, begin, refusesPaused))
    })
  }

  /** What every start of a job asks storage for. */
  #startOf(job: LibraryJob): JobKey & Pick<BeginRequest, 'notifiesEnd'> {
    const notifiesEnd = job.partition === undefined && hasEndHandler(job, this.#runtime)
    return notifiesEnd ? { ...keyOf(job), notifiesEnd } : keyOf(job)
  }

  #executionOf(job: LibraryJob, lease: ExecutionLease): Execution {
    const partitions = new PartitionHandle(lease.record, this.#runtime.storage, this.#partitionEvents, this)
    return new Execution(job, lease, partitions, this.#runtime)
  }

  /** Whether an execution of a job may begin. A closing registry begins only partitions of jobs that it lets end. */
  #mayBegin({ type, id, partition }: LibraryJob): boolean {
    if (!this.#isClosing) return true
    return partition !== undefined && !this.#isStopping && this.#executions.hasJob({ type, id })
  }

  /** Begins when the start gate is free. The job counts as starting while its pauses are read: an abort or `close` waits for it. */
  #passGate<Answer>(job: LibraryJob, begin: () => Promise<Answer>, refusesPaused = false): Promise<Answer> {
    return this.#gate.pass(async () => {
      if (!this.#mayBegin(job)) throw new JobError('closed', 'The registry is closed.')
      const pending = refusesPaused ? this.#paused.pending : undefined
      if (pending) await pending
      if (!this.#jobs.holds(job)) throw notDefined(job)
      if (refusesPaused) this.#paused.refuse(job)
      return begin()
    })
  }

  async #claimAndRun(job: LibraryJob, waiting: ExecutionKey & Pick<WaitingExecution, 'epoch'>): Promise<boolean> {
    try {
      const execution = await this.#executions.add(job, async () => {
        const lease = await ExecutionLease.claim(this.#runtime, waiting, job)
        return lease && this.#executionOf(job, lease)
      })
      await execution?.run()
      return true
    } catch (error) {
      this.#warn(waiting, error, 'could not be claimed and stays queued')
      return false
    }
  }

  async #stop(execution: Execution): Promise<void> {
    if (execution.release()) return
    try {
      const asked = this.askToStop(execution, { reason: closedReason, executionId: execution.executionId })
      this.#stopTimeout = (await withTimeout(this.#runtime.clock, this.#stopTimeout, asked)) ? abortTimeout : 0
    } catch (error) {
      this.#warn(execution, error, 'could not be aborted in storage; it stops anyway')
    }
    execution.stop()
  }

  #warn(job: ExecutionKey, error: unknown, what: string): void {
    warnOf(this.#runtime.logger, job, error, what)
  }
}

/** Waits for a start. Ignores that the job is live already. */
/** Whether a job was started. `false` when it is running already. */
async function unlessRunning(start: Promise<unknown>): Promise<boolean> {
  try {
    await start
    return true
  } catch (error) {
    if (!isAlreadyRunning(error)) throw error
    return false
  }
}
