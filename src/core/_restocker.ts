import { Poller } from './_poller.js'
import type { Clock } from './clock.js'
import type { Dispatcher } from './dispatcher.js'
import { errorMessages } from './errors.js'
import type { Logger } from './logger.js'
import type { ExecutionRecord, JobStorage } from './storage.js'

/** What a {@link Restocker} needs of the registry. */
export interface RestockerHost {
  readonly storage: JobStorage
  readonly clock: Clock
  readonly logger: Logger
  /** How long a lease holds, in milliseconds. */
  readonly lease: number
  readonly dispatcher: Dispatcher
  /** The types of jobs that are known here. */
  types(): Iterable<string>
  /** Puts executions in line. */
  enqueue(records: readonly ExecutionRecord[]): Promise<void>
  /** Ends an execution that was asked to stop while it waited. */
  settle(record: ExecutionRecord): Promise<unknown>
}

/** How many executions are added to the line that may well be in it. */
const sampleSize = 20

/** How many executions to look at a time. */
const pageSize = 1000

/**
 * Sees to it that a line which processes share has what storage holds as waiting, though it lost it: a start whose process
 * died on the way to it, or all, when the engine was emptied. It compares the numbers, and reads all
 * executions only when the line has fewer.
 */
export class Restocker {
  readonly #host: RestockerHost
  readonly #poller: Poller

  constructor(host: RestockerHost) {
    const { clock, lease, logger } = host
    this.#host = host
    this.#poller = new Poller({
      clock,
      interval: lease,
      look: () => this.#look(),
      failed: (error) =>
        logger.warn({ error: errorMessages(error) }, 'Could not look for what waits outside the line.'),
    })
  }

  start(): void {
    this.#poller.start()
  }

  stop(): void {
    this.#poller.stop()
  }

  async #look(): Promise<void> {
    // A search without a type finds those of all types but the hidden ones.
    const hidden = [...new Set(this.#host.types())].filter((type) => type.startsWith('_'))
    const types = [undefined, ...hidden]
    for (const type of types) await this.#settleAborting(type)
    const counts = await Promise.all(types.map((type) => this.#count(type)))
    const stored = counts.reduce((sum, count) => sum + count, 0)
    if (stored === 0) return
    const isShort = stored > (await this.#host.dispatcher.waiting({ from: 0, size: 0 })).total
    for (const [index, type] of types.entries()) {
      if (isShort) await this.#restock(type)
      else await this.#restockSome(type, counts[index] as number)
    }
  }

  /** How many wait by storage. */
  async #count(type: string | undefined): Promise<number> {
    return (await this.#host.storage.search({ state: 'queued', size: 0, ...(type && { type }) })).total
  }

  /** The line may have what storage has not, so that one is missing though the numbers are equal: some are always added. */
  async #restockSome(type: string | undefined, count: number): Promise<void> {
    const from = Math.floor(Math.random() * Math.max(1, count - sampleSize + 1))
    const { hits } = await this.#host.storage.search({ state: 'queued', from, size: sampleSize, ...(type && { type }) })
    await this.#host.enqueue(hits.filter(({ node }) => node === ''))
  }

  async #restock(type: string | undefined): Promise<void> {
    for await (const page of this.#waiting(type, 'queued')) await this.#host.enqueue(page)
  }

  /** Whoever asked it to stop may have died before it was ended. */
  async #settleAborting(type: string | undefined): Promise<void> {
    for await (const page of this.#waiting(type, 'aborting')) {
      for (const record of page) await this.#host.settle(record)
    }
  }

  /** The executions of a state, and of a type if it is hidden, that wait for any registry. */
  async *#waiting(type: string | undefined, state: 'queued' | 'aborting'): AsyncGenerator<ExecutionRecord[]> {
    let last: ExecutionRecord | undefined
    do {
      const filter = { state, size: pageSize, ...(type && { type }), ...(last && { searchAfter: last.executionId }) }
      const { hits } = await this.#host.storage.search(filter)
      yield hits.filter(({ node }) => node === '')
      last = hits.length < pageSize ? undefined : hits.at(-1)
    } while (last)
  }
}
