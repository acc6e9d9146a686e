import PQueue from 'p-queue'
import type { Clock } from './clock.js'
import { JobError } from './errors.js'

/**
 * The most starts that ask storage at once, in one registry. A pool of pg has 10 connections unless it is told otherwise, of
 * which reads and aborts need some.
 */
export const startsAtOnce = 4

/** How long starts wait behind others that storage does not answer, in milliseconds. */
const patience = 5000

/**
 * Lets few starts ask storage at a time, and the others wait here. A thousand that ask at once wait for connections until
 * their time to answer is over, though storage answers as fast as it can, and leases are renewed behind them.
 */
export class StartGate {
  readonly #clock: Clock
  readonly #queue = new PQueue({ concurrency: startsAtOnce })
  #answeredAt = Number.NEGATIVE_INFINITY
  #failure: unknown

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Asks when it is its turn. While storage answers nobody, those that wait fail as those before them did. */
  async pass<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    const askedAt = this.#clock.now()
    return this.#queue.add(async () => {
      const silence = this.#clock.now() - Math.max(askedAt, this.#answeredAt)
      if (this.#failure !== undefined && silence >= patience) throw this.#failure
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
