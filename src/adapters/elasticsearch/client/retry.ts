import { untilAborted } from '../../../adapter.js'

/** The delays between tries, in milliseconds. */
const first = 100
const longest = 5000

/** How long a server may ask to wait at most, in milliseconds. */
const longestWait = 300_000

/** Waits between tries, and says when there were enough of them. */
export class Patience {
  readonly #limit: number
  readonly #signal: AbortSignal
  #tries = 0
  #since = performance.now()

  /** Tries go on for `limit` milliseconds without success. */
  constructor(limit: number, signal: AbortSignal) {
    this.#limit = limit
    this.#signal = signal
  }

  /** Begins anew, because something succeeded. */
  reset(): void {
    this.#tries = 0
    this.#since = performance.now()
  }

  /** Waits for a random time up to a delay that doubles, or longer where the server says so. Throws `error` when there were enough tries. */
  async wait(error: unknown, retryAfter = 0): Promise<void> {
    this.#signal.throwIfAborted()
    const random = Math.random() * Math.min(longest, first * 2 ** this.#tries++)
    const delay = Math.max(random, Math.min(retryAfter, longestWait))
    if (performance.now() + delay - this.#since > this.#limit) throw error
    await pause(delay, this.#signal)
  }
}

function pause(delay: number, signal: AbortSignal): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const waiting = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, delay)
  })
  return untilAborted(waiting, signal).finally(() => clearTimeout(timer))
}
