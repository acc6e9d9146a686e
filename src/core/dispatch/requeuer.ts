import { errorMessages, Poller } from '../base/index.js'
import type { ExecutionRecord } from '../model/index.js'
import type { Runtime } from '../runtime/index.js'
import type { SearchResult, StorageFilter } from '../storage/index.js'
import type { Dispatcher } from './dispatcher.js'

/** What is done with the executions that a {@link Requeuer} finds. */
export interface UnclaimedQueue {
  /** Adds executions again, unless they are queued. */
  requeue(records: readonly ExecutionRecord[]): Promise<void>
  /** Ends an execution that was aborted while it was queued. */
  settle(record: ExecutionRecord): Promise<unknown>
}

/** How many executions are added again even when the counts match. */
const sampleSize = 20

/** How many executions to read per page. */
const pageSize = 1000

/**
 * Re-enqueues executions that storage lists as queued but the shared queue has lost: a process died before it enqueued a start,
 * or the engine was emptied. It compares counts, and reads all executions only when the queue has fewer.
 */
export class Requeuer {
  readonly #runtime: Runtime
  readonly #dispatcher: Dispatcher
  readonly #queue: UnclaimedQueue
  readonly #poller: Poller
  /** Whether the next poll adds all executions, whatever the counts. */
  #isAllDue = false

  constructor(runtime: Runtime, dispatcher: Dispatcher, queue: UnclaimedQueue) {
    const { clock, lease, logger } = runtime
    this.#runtime = runtime
    this.#dispatcher = dispatcher
    this.#queue = queue
    this.#poller = new Poller({
      clock,
      interval: lease,
      poll: () => this.#compare(),
      onFailed: (error) =>
        logger.warn({ error: errorMessages(error) }, 'Could not look for executions that the queue has lost.'),
    })
  }

  start(): void {
    this.#poller.start()
  }

  /** Adds all executions again: the queue has not those that were paused. */
  requeueSoon(): void {
    this.#isAllDue = true
    this.#poller.nudge()
  }

  stop(): void {
    this.#poller.stop()
  }

  /** Whether storage has live executions that began before `time`. */
  async hasLiveBefore(time: number): Promise<boolean> {
    for (const state of ['queued', 'running', 'aborting'] as const) {
      if ((await this.#search({ state, startTimeTo: time - 1, size: 0 })).total > 0) return true
    }
    return false
  }

  async #compare(): Promise<void> {
    const isAllDue = this.#isAllDue
    this.#isAllDue = false
    await this.#settleAborting()
    const { total: stored } = await this.#search({ state: 'queued', size: 0 })
    if (stored === 0) return
    const isShort = isAllDue || stored > (await this.#dispatcher.waiting({ from: 0, size: 0 })).total
    await (isShort ? this.#requeueAll() : this.#requeueSample(stored))
  }

  /** The queue may hold executions that storage does not, so one may be missing though the counts match: adds a sample. */
  async #requeueSample(count: number): Promise<void> {
    const from = Math.floor(Math.random() * Math.max(1, count - sampleSize + 1))
    const { hits } = await this.#search({ state: 'queued', from, size: sampleSize })
    await this.#queue.requeue(hits.filter(({ node }) => node === null))
  }

  async #requeueAll(): Promise<void> {
    for await (const page of this.#unclaimed('queued')) await this.#queue.requeue(page)
  }

  /** Settles executions whose abort request came from a process that died before it could end them. */
  async #settleAborting(): Promise<void> {
    for await (const page of this.#unclaimed('aborting')) {
      for (const record of page) await this.#queue.settle(record)
    }
  }

  /** The executions in a state that no node has claimed. */
  async *#unclaimed(state: 'queued' | 'aborting'): AsyncGenerator<ExecutionRecord[]> {
    let last: ExecutionRecord | undefined
    do {
      const { hits } = await this.#search({ state, size: pageSize, ...(last && { searchAfter: last.executionId }) })
      yield hits.filter(({ node }) => node === null)
      last = hits.length < pageSize ? undefined : hits.at(-1)
    } while (last)
  }

  #search(filter: StorageFilter): Promise<SearchResult<ExecutionRecord>> {
    return this.#runtime.storage.search({ ...filter, includePartitions: true })
  }
}
