import PQueue from 'p-queue'
import { createAbortController, invalid } from '../base/index.js'
import type { ConcurrencySlot, Dispatcher, DispatchWorker, WaitingExecution, WaitingPage } from './dispatcher.js'

/** Delay before an execution that the registry could not claim is offered again, in milliseconds. */
const pause = 1000

interface QueueEntry {
  waiting: WaitingExecution
  /** The queue that holds it: its datasource's queue first, if that has a limit, then the common queue. None after a refusal. */
  queue: PQueue | undefined
  readonly left: AbortController
}

/**
 * An in-process queue on p-queue: the default of every registry. A limit on a datasource is a queue of its own in front of the
 * common queue.
 */
export function localDispatcher(): Dispatcher {
  return new LocalDispatcher()
}

class LocalDispatcher implements Dispatcher {
  readonly isShared = false
  #worker!: DispatchWorker
  #all!: PQueue
  readonly #ofDatasource = new Map<string, PQueue>()
  /** In the order in which they were added. */
  readonly #entries = new Map<string, QueueEntry>()
  #isClosed = false

  work(worker: DispatchWorker): void {
    const { limits } = worker
    const { cluster, datasources = {} } = limits
    if (cluster !== undefined)
      throw invalid('concurrency.cluster', 'omitted, as it needs a dispatcher with a shared queue', cluster)
    this.#worker = worker
    this.#all = new PQueue({ concurrency: limits.process ?? Number.POSITIVE_INFINITY })
    for (const [name, concurrency] of Object.entries(datasources)) {
      this.#ofDatasource.set(name, new PQueue({ concurrency }))
    }
  }

  async add(waiting: readonly WaitingExecution[]): Promise<void> {
    if (this.#isClosed) return
    for (const one of waiting) if (!this.#entries.has(one.executionId)) void this.#enter(one)
  }

  async remove(executionId: string): Promise<boolean> {
    const entry = this.#entries.get(executionId)
    entry?.left.abort()
    return this.#entries.delete(executionId)
  }

  async move(executionId: string, priority: number): Promise<boolean> {
    const entry = this.#entries.get(executionId)
    if (!entry) return false
    this.#entries.delete(executionId)
    this.#entries.set(executionId, entry)
    entry.waiting = { ...entry.waiting, priority }
    entry.queue?.setPriority(executionId, priority)
    return true
  }

  async waiting({ from, size }: { from: number; size: number }): Promise<WaitingPage> {
    const all = [...this.#entries.values()].map(({ waiting }) => waiting).sort((a, b) => b.priority - a.priority)
    return { total: all.length, hits: all.slice(from, from + size) }
  }

  tryAcquire(datasource: string | undefined): ConcurrencySlot | undefined {
    const queues = this.#queuesOf(datasource)
    if (queues.some(({ pending, size, concurrency }) => pending + size >= concurrency)) return undefined
    const releases = queues.map(occupy)
    return { release: () => releases.forEach((release) => void release()) }
  }

  async close(): Promise<void> {
    this.#isClosed = true
  }

  async #enter(waiting: WaitingExecution): Promise<void> {
    const queues = this.#queuesOf(waiting.datasource)
    const entry = { waiting, queue: undefined, left: createAbortController() }
    this.#entries.set(waiting.executionId, entry)
    if (!(await this.#dispatch(entry, queues))) this.#enterAgain(entry)
  }

  /** Queues a refused execution again after a pause, unless it was removed in the meantime. */
  #enterAgain(entry: QueueEntry): void {
    const { executionId } = entry.waiting
    if (this.#entries.has(executionId)) return
    entry.queue = undefined
    this.#entries.set(executionId, entry)
    const enter = () => {
      if (this.#entries.get(executionId) === entry && !this.#isClosed) void this.#enter(entry.waiting)
    }
    this.#worker.clock.setTimer(pause, enter, { background: true })
  }

  /** Runs the execution after it has passed one queue after the other. Resolves with `false` when the registry refuses it. */
  async #dispatch(entry: QueueEntry, [queue, ...rest]: readonly PQueue[]): Promise<boolean> {
    const { executionId } = entry.waiting
    if (!queue) {
      if (this.#isClosed) return true
      this.#entries.delete(executionId)
      return this.#worker.run(entry.waiting)
    }
    entry.queue = queue
    const { priority } = entry.waiting
    const { signal } = entry.left
    // A removed execution does not wait for its queue.
    return queue.add(() => this.#dispatch(entry, rest), { id: executionId, priority, signal }).catch(() => true)
  }

  #queuesOf(datasource: string | undefined): PQueue[] {
    const queue = datasource === undefined ? undefined : this.#ofDatasource.get(datasource)
    return queue ? [queue, this.#all] : [this.#all]
  }
}

/** Occupies a free slot of a queue. Returns a function that releases it. */
function occupy(queue: PQueue): () => void {
  let release = () => {}
  void queue.add(() => new Promise<void>((resolve) => (release = resolve)))
  return release
}
