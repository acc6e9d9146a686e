import PQueue from 'p-queue'
import { JobError } from '../../../adapter.js'

/** How long a read waits for a slot, in milliseconds. Its caller has given up by then. */
const longestWait = 5000

/** The maximum number of waiting reads. */
const maxWaiting = 10_000

/** The default size of a pool of pg. */
const defaultPoolSize = 10

/** Connections that reads leave free: one listens, and one renews leases and ends executions. */
const reserved = 2

/**
 * Limits how many reads and starts run at once. Renewing leases and ending executions use the same pool and must not
 * wait behind them. A read that has waited too long fails without reaching the server.
 */
export class ReadLimiter {
  readonly #queue: PQueue

  /** `poolSize` is the number of connections that reads and writes share. */
  constructor(poolSize: number = defaultPoolSize) {
    this.#queue = new PQueue({ concurrency: Math.max(1, poolSize - reserved) })
  }

  /**
   * Runs a read when a slot is free. Starts come before reads. Throws `storage` when too many wait, or when this one
   * has waited too long.
   */
  async run<Answer>(read: () => Promise<Answer>, options: { isStart?: boolean } = {}): Promise<Answer> {
    if (this.#queue.size >= maxWaiting) throw tooMany(`${maxWaiting} reads already wait`)
    const askedAt = performance.now()
    return this.#queue.add(
      async () => {
        const waited = performance.now() - askedAt
        if (waited > longestWait) throw tooMany(`this one has waited for ${Math.round(waited)} ms`)
        return read()
      },
      { priority: options.isStart ? 1 : 0 },
    )
  }
}

function tooMany(reason: string): JobError {
  return new JobError('storage', `Too many reads of the storage at once: ${reason}.`, { isTransient: true })
}
