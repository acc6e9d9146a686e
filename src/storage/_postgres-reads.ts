import PQueue from 'p-queue'
import { JobError } from '../index.js'

/** How long a read waits for its turn, in milliseconds: whoever asked has given up by then. */
const longestWait = 5000

/** The most reads that wait. */
const maxWaiting = 10_000

/** The size of a pool of pg that was not told one. */
const defaultPoolSize = 10

/** Connections that reads leave free: one listens, and one renews leases and ends executions. */
const reserved = 2

/**
 * Bounds the reads and the starts that run at once. Leases are renewed and executions end through the same pool, and must
 * not wait behind them, however many are asked for. A read that has waited for too long fails without reaching the server.
 */
export class ReadLimit {
  readonly #queue: PQueue

  /** `poolSize` is the number of connections that reads and writes share. */
  constructor(poolSize: number = defaultPoolSize) {
    this.#queue = new PQueue({ concurrency: Math.max(1, poolSize - reserved) })
  }

  /**
   * Runs a read when its turn comes, or a start, which goes before reads. Throws `storage` when too many wait, or when this
   * one has waited too long.
   */
  async run<Answer>(read: () => Promise<Answer>, options: { isStart?: boolean } = {}): Promise<Answer> {
    if (this.#queue.size >= maxWaiting) throw tooMany(`${maxWaiting} reads wait already`)
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
  return new JobError('storage', `The storage is asked for too many reads at once: ${reason}.`, { isTransient: true })
}
