import { warnOf, withTimeout } from '../base/index.js'
import {
  type ConcurrencySlot,
  type Dispatcher,
  type DispatchWorker,
  Requeuer,
  toWaitingExecution,
  type UnclaimedQueue,
  type WaitingExecution,
} from '../dispatch/index.js'
import type { ExecutionKey, ExecutionRecord } from '../model/index.js'
import type { Runtime } from '../runtime/index.js'
import type { JobCatalog } from './job-catalog.js'
import { type LibraryJob, restartCheckpointOf } from './partitions.js'
import type { PausedJobs } from './paused-jobs.js'

/** How long a start or an abort waits for the dispatcher, in milliseconds. Storage already has the change. */
const queueTimeout = 1000

/** The executions that wait for a slot, in the dispatcher of a registry. Storage stays the source of truth. */
export class ExecutionQueue implements UnclaimedQueue {
  readonly #runtime: Runtime
  readonly #dispatcher: Dispatcher
  readonly #jobs: JobCatalog
  readonly #paused: PausedJobs
  readonly #requeuer: Requeuer

  constructor(runtime: Runtime, dispatcher: Dispatcher, jobs: JobCatalog, paused: PausedJobs) {
    this.#runtime = runtime
    this.#dispatcher = dispatcher
    this.#jobs = jobs
    this.#paused = paused
    this.#requeuer = new Requeuer(runtime, dispatcher, this)
  }

  /** Starts to dispatch to `worker`. */
  open(worker: DispatchWorker): void {
    this.#dispatcher.work(worker)
    if (!this.isShared) return
    this.#requeuer.start()
    this.#paused.onUnpaused(() => this.#requeuer.requeueSoon())
  }

  /** Stops looking for executions that the queue has lost. */
  close(): void {
    this.#requeuer.stop()
  }

  /** Whether executions are queued for any registry, not only for this one. */
  get isShared(): boolean {
    return this.#dispatcher.isShared
  }

  /** Whether storage has live executions that began before `time`. */
  hasLiveBefore(time: number): Promise<boolean> {
    return this.#requeuer.hasLiveBefore(time)
  }

  /** A free slot for a job that need not wait. */
  tryAcquire({ datasource }: LibraryJob): ConcurrencySlot | undefined {
    return this.#dispatcher.tryAcquire?.(datasource)
  }

  /** Adds an execution, if its job is defined here. */
  async add(record: ExecutionRecord, priority?: number): Promise<void> {
    await this.#dispatcher.add(this.#entriesOf([record], priority))
  }

  /** Adds executions again, if their jobs are defined here and not paused, and the queue does not hold them. */
  async requeue(records: readonly ExecutionRecord[]): Promise<void> {
    await this.#paused.pending
    const free = records.filter((record) => !this.#paused.holds(record))
    await this.#dispatcher.add(this.#entriesOf(free), { requeued: true })
  }

  /** Adds an execution without waiting for an unreachable queue: storage has accepted it already. */
  async addSoon(record: ExecutionRecord, priority: number | undefined): Promise<void> {
    const failed = (error: unknown) => this.#warn(record, error, 'could not be queued yet')
    await this.#inTime(this.add(record, priority).catch(failed))
  }

  /** Removes an execution. Resolves with whether it was queued, or `undefined` when the queue does not say. */
  async remove(waiting: ExecutionRecord): Promise<boolean | undefined> {
    const failed = (error: unknown) => {
      this.#warn(waiting, error, 'could not be removed from the queue; it will be refused when dispatched')
      return undefined
    }
    return this.#inTime(this.#dispatcher.remove(waiting.executionId).catch(failed))
  }

  /**
   * Ends an execution that was aborted while it was queued for any registry. Returns the ended record, or `undefined` when a registry
   * has claimed it.
   */
  async settle(waiting: ExecutionRecord): Promise<ExecutionRecord | undefined> {
    await this.remove(waiting)
    const job = this.#jobs.forExecution(waiting)
    const checkpoint = job?.resume === 'restart' ? restartCheckpointOf(job, waiting.checkpoint) : undefined
    const end = { state: 'aborted', ...(checkpoint !== undefined && { checkpoint }) } as const
    const record = await this.#runtime.storage.finish(waiting, end)
    if (record) this.#runtime.events.emit('changed', record, 'state')
    return record
  }

  #entriesOf(records: readonly ExecutionRecord[], priority?: number): WaitingExecution[] {
    return records.flatMap((record) => {
      const job = this.#jobs.forExecution(record)
      return job ? [toWaitingExecution(record, job, priority)] : []
    })
  }

  #inTime<Answer>(answer: Promise<Answer>): Promise<Answer | undefined> {
    return withTimeout(this.#runtime.clock, queueTimeout, answer)
  }

  #warn(job: ExecutionKey, error: unknown, what: string): void {
    warnOf(this.#runtime.logger, job, error, what)
  }
}
