import PQueue from 'p-queue'
import { type Clock, JobError } from '../base/index.js'

/**
 * Maximum number of concurrent starts in one registry. A pool of pg has 10 connections by default, and reads and aborts need
 * some of them.
 */
export const startsAtOnce = 4

/** How long queued starts wait behind others while storage does not answer, in milliseconds. */
const maxSilence = 5000

/**
 * Limits concurrent starts and queues the others. Without it, a thousand concurrent starts would wait for connections until they
 * time out, although storage answers as fast as it can, and lease renewals would wait behind them.
 */
export class StartGate {
  readonly #clock: Clock
  readonly #queue = new PQueue({ concurrency: startsAtOnce })
  #answeredAt = Number.NEGATIVE_INFINITY
  #failure: unknown

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Calls `ask` when a slot is free. While storage does not answer, queued starts fail with the last storage error. */
  async pass<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    const askedAt = this.#clock.now()
    return this.#queue.add(async () => {
      const silence = this.#clock.now() - Math.max(askedAt, this.#answeredAt)
      if (this.#failure !== undefined && silence >= maxSilence) throw this.#failure
      try {
        const answer = await ask()
        this.#answered()
        return answer
      } catch (error) {
        if (JobError.isInstance(error) && error.code === 'storage') this.#failure = error
        else this.#answered()
        throw error
      }
    })
  }

  #answered(): void {
    this.#answeredAt = this.#clock.now()
    this.#failure = undefined
  }
}
