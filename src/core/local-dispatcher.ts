import PQueue from 'p-queue'
import { createAbortController } from './abort.js'
import type { Dispatcher, DispatchWorker, Slot, WaitingExecution, WaitingPage } from './dispatcher.js'
import { invalid } from './options.js'

/** How long until an execution is offered again that the registry could not take, in milliseconds. */
const pause = 1000

/** One execution in the line. */
interface Place {
  waiting: WaitingExecution
  /** The queue that it is in: that of its datasource first, if that has a limit, then that of all; none once refused. */
  queue: PQueue | undefined
  readonly left: AbortController
}

/**
 * A line in this process, on p-queue: the default of every registry. The limit on a datasource is a line of its own, in
 * front of the one of all.
 */
export function localDispatcher(): Dispatcher {
  return new LocalDispatcher()
}

class LocalDispatcher implements Dispatcher {
  #worker!: DispatchWorker
  #all!: PQueue
  readonly #ofDatasource = new Map<string, PQueue>()
  /** In the order in which they came. */
  readonly #places = new Map<string, Place>()
  #isClosed = false

  work(worker: DispatchWorker): void {
    const { limits } = worker
    const { cluster, datasources = {} } = limits
    if (cluster !== undefined)
      throw invalid('concurrency.cluster', 'left to a dispatcher that processes share', cluster)
    this.#worker = worker
    this.#all = new PQueue({ concurrency: limits.process ?? Number.POSITIVE_INFINITY })
    for (const [name, concurrency] of Object.entries(datasources)) {
      this.#ofDatasource.set(name, new PQueue({ concurrency }))
    }
  }

  async add(waiting: readonly WaitingExecution[]): Promise<void> {
    if (this.#isClosed) return
    for (const one of waiting) if (!this.#places.has(one.executionId)) void this.#enter(one)
  }

  async remove(executionId: string): Promise<boolean> {
    const place = this.#places.get(executionId)
    place?.left.abort()
    return this.#places.delete(executionId)
  }

  async move(executionId: string, priority: number): Promise<boolean> {
    const place = this.#places.get(executionId)
    if (!place) return false
    this.#places.delete(executionId)
    this.#places.set(executionId, place)
    place.waiting = { ...place.waiting, priority }
    place.queue?.setPriority(executionId, priority)
    return true
  }

  async waiting({ from, size }: { from: number; size: number }): Promise<WaitingPage> {
    const all = [...this.#places.values()].map(({ waiting }) => waiting).sort((a, b) => b.priority - a.priority)
    return { total: all.length, hits: all.slice(from, from + size) }
  }

  reserve(datasource: string | undefined): Slot | undefined {
    const lines = this.#linesOf(datasource)
    if (lines.some(({ pending, size, concurrency }) => pending + size >= concurrency)) return undefined
    const releases = lines.map(occupy)
    return { release: () => releases.forEach((release) => void release()) }
  }

  async close(): Promise<void> {
    this.#isClosed = true
  }

  async #enter(waiting: WaitingExecution): Promise<void> {
    const lines = this.#linesOf(waiting.datasource)
    const place = { waiting, queue: undefined, left: createAbortController() }
    this.#places.set(waiting.executionId, place)
    if (!(await this.#pass(place, lines))) this.#enterAgain(place)
  }

  /** An execution that could not be taken waits on, and enters later, unless it was taken out meanwhile. */
  #enterAgain(place: Place): void {
    const { executionId } = place.waiting
    if (this.#places.has(executionId)) return
    place.queue = undefined
    this.#places.set(executionId, place)
    const enter = () => {
      if (this.#places.get(executionId) === place && !this.#isClosed) void this.#enter(place.waiting)
    }
    this.#worker.clock.setTimer(pause, enter, { background: true })
  }

  /** Passes one line after the other, and has its turn at the end of the last. Tells whether that is all. */
  async #pass(place: Place, [line, ...rest]: readonly PQueue[]): Promise<boolean> {
    const { executionId } = place.waiting
    if (!line) {
      if (this.#isClosed) return true
      this.#places.delete(executionId)
      return this.#worker.take(place.waiting)
    }
    place.queue = line
    const { priority } = place.waiting
    const { signal } = place.left
    // Whoever was taken out of the line is not waited for.
    return line.add(() => this.#pass(place, rest), { id: executionId, priority, signal }).catch(() => true)
  }

  #linesOf(datasource: string | undefined): PQueue[] {
    const line = datasource === undefined ? undefined : this.#ofDatasource.get(datasource)
    return line ? [line, this.#all] : [this.#all]
  }
}

/** Takes a slot of a line that has one. Gives the function that gives it back. */
function occupy(line: PQueue): () => void {
  let release = () => {}
  void line.add(() => new Promise<void>((resolve) => (release = resolve)))
  return release
}
