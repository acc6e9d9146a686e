import assert from 'node:assert/strict'
import { setTimeout } from 'node:timers/promises'
import {
  type ConcurrencyLimits,
  type Dispatcher,
  type DispatchWorker,
  newExecutionId,
  systemClock,
  type WaitingExecution,
} from '../index.js'

/** What a case of the dispatcher suite is about. */
export interface DispatcherSubject {
  /** Opens another dispatcher on the line, which gives turns to {@link work}. */
  open(limits?: ConcurrencyLimits, options?: OpenOptions): Dispatcher
  /** Cuts a dispatcher off from the line, as when its process has died. */
  cut(dispatcher: Dispatcher): Promise<void>
  /** What has its turn, by whichever dispatcher. */
  readonly work: Work
}

/** How to play the part of a registry. */
export interface OpenOptions {
  /** Whether the registry cannot take an execution now. Default: it can. */
  refuses?(waiting: WaitingExecution): boolean
}

/** How long a case waits for what must come, in milliseconds: redelivery takes its time. */
const patience = 25_000

/** How long a case waits for what must not come, in milliseconds. */
export const quiet = 200

/** An execution that runs. */
interface Running {
  readonly waiting: WaitingExecution
  /** What took it. */
  readonly worker: DispatchWorker
  readonly end: () => void
}

/** The part that the registries of one line and storage play: they take executions, run them and see them end. */
export class Work {
  /** The executions that had their turn, in that order. */
  readonly taken: WaitingExecution[] = []
  /** How long an execution runs, in milliseconds. Default: until it is ended by hand. */
  lasts: number | undefined
  /** The most that ran at once. */
  most = 0
  /** The most that ran at once on a datasource. */
  readonly mostOn = new Map<string, number>()
  readonly #running = new Set<Running>()
  readonly #lost = new Set<Running>()
  readonly #ended = new Set<string>()

  /** The ids of the jobs that had their turn, in that order. */
  get ids(): string[] {
    return this.taken.map(({ id }) => id)
  }

  /** Ends the executions of the jobs. */
  end(...ids: string[]): void {
    for (const { waiting, end } of this.#running) if (ids.includes(waiting.id)) end()
  }

  /** Ends all executions, and those to come as soon as they have their turn. */
  endAll(): void {
    this.lasts = 0
    for (const { end } of [...this.#running, ...this.#lost]) end()
  }

  /** Waits until the jobs had their turns, in any order. */
  async turnsOf(...ids: string[]): Promise<void> {
    await until(
      () => ids.every((id) => this.ids.includes(id)),
      () => `Expected turns of ${ids}, got those of ${this.ids}`,
    )
  }

  /** Holds that, in a while, the turns were those of the jobs. */
  async onlyTurnsOf(...ids: string[]): Promise<void> {
    await this.turnsOf(...ids)
    await setTimeout(quiet)
    assert.deepEqual(this.ids, ids)
  }

  /** A worker for a dispatcher. */
  worker(limits: ConcurrencyLimits, { refuses = () => false }: OpenOptions): DispatchWorker {
    const worker: DispatchWorker = {
      limits,
      clock: systemClock,
      lease: 1500,
      take: async (waiting) => !refuses(waiting) && this.#take(waiting, worker),
      ended: (waiting, left) => until(() => this.#ended.has(waiting.executionId), undefined, left),
      yieldSchedule: () => {},
      warn: () => {},
    }
    return worker
  }

  /** What a worker runs may be run again by others: its process has died. */
  lose(worker: DispatchWorker): void {
    for (const running of this.#running) {
      if (running.worker !== worker) continue
      this.#running.delete(running)
      this.#lost.add(running)
    }
  }

  /** As storage does, this lets an execution run once at a time, and not again when it has ended. */
  async #take(waiting: WaitingExecution, worker: DispatchWorker): Promise<true> {
    const { executionId } = waiting
    const isRunning = [...this.#running].some((running) => running.waiting.executionId === executionId)
    if (isRunning || this.#ended.has(executionId)) return true
    this.taken.push(waiting)
    const { promise, end } = manual()
    const running = { waiting, worker, end }
    this.#running.add(running)
    this.#measure(waiting)
    await (this.lasts === undefined ? promise : Promise.race([promise, setTimeout(this.lasts)]))
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

/** An execution of a job of that id, for the line. */
export function execution(id: string, more: Partial<WaitingExecution> = {}): WaitingExecution {
  return { type: 'test', id, executionId: newExecutionId(id, Date.now()), epoch: 1, priority: 0, ...more }
}

/** Executions of so many jobs, for the line. */
export function executions(count: number, more: Partial<WaitingExecution> = {}): WaitingExecution[] {
  return Array.from({ length: count }, (_, index) => execution(`job-${index}`, more))
}

/** Waits until it holds: `true`; or `false` as soon as `left` aborts. Throws when it takes too long. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  message = () => 'Expected it to come true',
  left?: AbortSignal,
): Promise<boolean> {
  const end = Date.now() + patience
  while (!(await holds())) {
    if (left?.aborted) return false
    if (!left && Date.now() > end) assert.fail(message())
    await setTimeout(5)
  }
  return true
}

function manual(): { promise: Promise<void>; end: () => void } {
  let end = () => {}
  const promise = new Promise<void>((resolve) => {
    end = resolve
  })
  return { promise, end }
}
