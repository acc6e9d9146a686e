import assert from 'node:assert/strict'
import { setTimeout } from 'node:timers/promises'
import { type Clock, type DispatchWorker, newExecutionId, systemClock } from '../../../adapter.js'
import type { ConcurrencyLimits, Dispatcher, WaitingExecution } from '../../../index.js'

/** The dispatchers of a case. */
export interface DispatcherSubject {
  /** Opens another dispatcher on the queue, which dispatches to {@link work}. */
  open(limits?: ConcurrencyLimits, options?: OpenOptions): Dispatcher
  /** Disconnects a dispatcher from the queue, as the death of its process would. */
  cut(dispatcher: Dispatcher): Promise<void>
  /** The executions that any dispatcher has dispatched. */
  readonly work: Work
  /** The time of the dispatchers. */
  readonly time: CaseTime
}

/** How the registry of a dispatcher behaves. */
export interface OpenOptions {
  /** Whether the registry refuses an execution. Default: never. */
  refuses?(waiting: WaitingExecution): boolean
}

/** How long a case waits for what must happen, in milliseconds. Redelivery takes several seconds. */
const patience = 25_000

/** How long a case waits for what must not happen, in milliseconds. */
export const quiet = 200

/** The time of a case: that of the machine, or of a clock that passes as fast as the case can go on. */
export class CaseTime {
  readonly clock: Clock
  readonly #move: ((ms: number) => Promise<void>) | undefined

  /** `move` moves the clock. */
  constructor(clock: Clock = systemClock, move?: (ms: number) => Promise<void>) {
    this.clock = clock
    this.#move = move
  }

  /** Lets time pass. */
  async pass(ms: number): Promise<void> {
    await (this.#move ? this.#move(ms) : setTimeout(ms))
  }

  /** Resolves with `true` when `holds` does, or with `false` as soon as `left` aborts. Throws when it takes too long. */
  async until(
    holds: () => boolean | Promise<boolean>,
    message = () => 'Expected a condition to hold',
    left?: AbortSignal,
  ): Promise<boolean> {
    const end = this.clock.now() + patience
    while (!(await holds())) {
      if (left?.aborted) return false
      if (!left && this.clock.now() > end) assert.fail(message())
      await this.pass(this.#move ? 250 : 5)
    }
    return true
  }
}

/** An execution that runs. */
interface Running {
  readonly waiting: WaitingExecution
  /** The registry that runs it. */
  readonly worker: DispatchWorker
  readonly end: () => void
}

/** Plays the registries of one queue and storage: claims executions, runs them and ends them. */
export class Work {
  /** The dispatched executions, in that order. */
  readonly dispatched: WaitingExecution[] = []
  /** How long an execution runs, in milliseconds. Default: until {@link end} or {@link endAll}. */
  lasts: number | undefined
  /** The highest number that ran at once. */
  most = 0
  /** The highest number that ran at once, by datasource. */
  readonly mostOn = new Map<string, number>()
  readonly #running = new Set<Running>()
  readonly #lost = new Set<Running>()
  readonly #ended = new Set<string>()
  readonly #time: CaseTime

  constructor(time: CaseTime) {
    this.#time = time
  }

  /** The job ids of the dispatched executions, in that order. */
  get ids(): string[] {
    return this.dispatched.map(({ id }) => id)
  }

  /** Ends the executions of the jobs. */
  end(...ids: string[]): void {
    for (const { waiting, end } of this.#running) if (ids.includes(waiting.id)) end()
  }

  /** Ends all executions, and each further one `lasts` milliseconds after it was dispatched. */
  endAll(lasts = 0): void {
    this.lasts = lasts
    for (const { end } of [...this.#running, ...this.#lost]) end()
  }

  /** Waits until executions of the jobs were dispatched, in any order. */
  async whenDispatched(...ids: string[]): Promise<void> {
    await this.#time.until(
      () => ids.every((id) => this.ids.includes(id)),
      () => `Expected dispatches of ${ids}, got those of ${this.ids}`,
    )
  }

  /** Expects executions of these jobs only, in that order. */
  async expectDispatched(...ids: string[]): Promise<void> {
    await this.whenDispatched(...ids)
    await this.#time.pass(quiet)
    assert.deepEqual(this.ids, ids)
  }

  /** A worker for a dispatcher. */
  worker(limits: ConcurrencyLimits, { refuses = () => false }: OpenOptions): DispatchWorker {
    const worker: DispatchWorker = {
      limits,
      clock: this.#time.clock,
      lease: 1500,
      run: async (waiting) => !refuses(waiting) && this.#take(waiting, worker),
      whenEnded: (waiting, left) => this.#time.until(() => this.#ended.has(waiting.executionId), undefined, left),
      hasLiveBefore: async () => this.#running.size > 0,
      warn: () => {},
    }
    return worker
  }

  /** Forgets what a worker runs, because its process has died. Others may run it again. */
  lose(worker: DispatchWorker): void {
    for (const running of this.#running) {
      if (running.worker !== worker) continue
      this.#running.delete(running)
      this.#lost.add(running)
    }
  }

  /** Runs an execution unless it runs or has ended, as storage ensures. */
  async #take(waiting: WaitingExecution, worker: DispatchWorker): Promise<true> {
    const { executionId } = waiting
    const isRunning = [...this.#running].some((running) => running.waiting.executionId === executionId)
    if (isRunning || this.#ended.has(executionId)) return true
    this.dispatched.push(waiting)
    const { promise, end } = manual()
    const running = { waiting, worker, end }
    this.#running.add(running)
    this.#measure(waiting)
    if (this.lasts !== undefined) this.#time.clock.setTimer(this.lasts, end)
    await promise
    this.#running.delete(running)
    this.#ended.add(executionId)
    return true
  }

  #measure({ datasource }: WaitingExecution): void {
    const running = [...this.#running]
    this.most = Math.max(this.most, running.length)
    if (datasource === undefined) return
    const onIt = running.filter(({ waiting }) => waiting.datasource === datasource).length
    this.mostOn.set(datasource, Math.max(onIt, this.mostOn.get(datasource) ?? 0))
  }
}

/** An execution of a job with that id. */
export function execution(id: string, more: Partial<WaitingExecution> = {}): WaitingExecution {
  return { type: 'test', id, executionId: newExecutionId(id, Date.now()), epoch: 1, priority: 0, ...more }
}

/** Executions of `count` jobs. */
export function executions(count: number, more: Partial<WaitingExecution> = {}): WaitingExecution[] {
  return Array.from({ length: count }, (_, index) => execution(`job-${index}`, more))
}

function manual(): { promise: Promise<void>; end: () => void } {
  let end = () => {}
  const promise = new Promise<void>((resolve) => {
    end = resolve
  })
  return { promise, end }
}
