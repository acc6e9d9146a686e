import { type Clock, sleep } from './clock.js'
import { isAlreadyRunning } from './errors.js'

/** How long to wait before the next try, in milliseconds: doubles from the first to the longest. */
const pauses = { first: 100, longest: 5000 }

/**
 * How long to wait after so many failures of storage in a row, in milliseconds: short beside a lease, as a lease holds for
 * one more after an outage.
 */
export function pauseAfter(failures: number, lease: number): number {
  return Math.round(Math.min(pauses.longest, lease / 3, pauses.first * 2 ** (failures - 1)))
}

/** How to try again. */
export interface RetryOptions {
  readonly clock: Clock
  /** How long a lease holds, in milliseconds. */
  readonly lease: number
  /** Aborts when it is to be given up. */
  readonly abandoned: AbortSignal
  /** Whether the process may end in a pause. Default `false`. */
  readonly background?: boolean
  /** Whether trying again after this error cannot help. Default: it always can. */
  isHopeless?(error: unknown): boolean
  /** Hears of every failure, and how long the next try is off, in milliseconds. */
  failed(error: unknown, delay: number): void
}

/** Asks again and again until there is an answer: `undefined` when that is given up. */
export async function retry<Answer>(ask: () => Promise<Answer>, options: RetryOptions): Promise<Answer | undefined> {
  const { clock, lease, abandoned, background = false, isHopeless = () => false, failed } = options
  for (let failures = 1; !abandoned.aborted; failures++) {
    try {
      return await ask()
    } catch (error) {
      if (isHopeless(error)) return undefined
      const pause = pauseAfter(failures, lease)
      failed(error, pause)
      await sleep(clock, pause, abandoned, { background })
    }
  }
  return undefined
}

/** Waits for `work`, or until `signal` aborts. */
export function unlessAborted(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      signal.removeEventListener('abort', done)
      resolve()
    }
    signal.addEventListener('abort', done)
    void work.then(done)
  })
}

/** Waits for a start, unless another one was sooner. */
export async function unlessRunning(start: Promise<unknown>): Promise<void> {
  try {
    await start
  } catch (error) {
    if (!isAlreadyRunning(error)) throw error
  }
}
