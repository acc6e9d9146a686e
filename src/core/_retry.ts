import { type Clock, sleep } from './clock.js'

/** How long to wait before the next try, in milliseconds: doubles from the first to the last. */
const delays = { first: 100, last: 5000 }

/** How to try again. */
export interface RetryOptions {
  readonly clock: Clock
  /** Aborts when it is to be given up. */
  readonly abandoned: AbortSignal
  /** Hears of every failure, and how long the next try is off, in milliseconds. */
  failed(error: unknown, delay: number): void
}

/** Asks again and again until there is an answer: `undefined` when that is given up. */
export async function retry<Answer>(ask: () => Promise<Answer>, options: RetryOptions): Promise<Answer | undefined> {
  const { clock, abandoned, failed } = options
  for (let delay = delays.first; !abandoned.aborted; delay = Math.min(delay * 2, delays.last)) {
    try {
      return await ask()
    } catch (error) {
      failed(error, delay)
      await sleep(clock, delay, abandoned)
    }
  }
  return undefined
}
