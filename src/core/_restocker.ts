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

/** How many executions to look at a time. */
const pageSize = 1000

/**
 * Sees to it that a line which processes share has what storage holds as waiting, though it lost it: a start whose process
 * died on the way to it, or all, when the engine was emptied. It compares the numbers, and reads the executions only when
 * the line has fewer.
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
    if (await this.#isShort(types)) for (const type of types) await this.#restock(type)
  }

  /** Whether fewer wait in the line than storage holds. */
  async #isShort(types: readonly (string | undefined)[]): Promise<boolean> {
    const { storage, dispatcher } = this.#host
    let stored = 0
    for (const type of types) {
      stored += (await storage.search({ state: 'queued', size: 0, ...(type && { type }) })).total
    }
    return stored > 0 && stored > (await dispatcher.waiting({ from: 0, size: 0 })).total
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
