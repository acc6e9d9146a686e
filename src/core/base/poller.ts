import type { Clock, Timer } from './clock.js'

/** Options of a {@link Poller}. */
export interface PollerOptions {
  readonly clock: Clock
  /** Time from the end of one poll to the next, in milliseconds. */
  readonly interval: number
  poll(): Promise<void>
  /** Called when a poll fails. The next one comes as usual. */
  onFailed(error: unknown): void
}

/** Polls repeatedly once started, and at once when nudged. Polls never overlap. */
export class Poller {
  readonly #options: PollerOptions
  #timer: Timer | undefined
  #polling: Promise<void> | undefined
  #isNudged = false
  #isRunning = false
  #isStopped = false

  constructor(options: PollerOptions) {
    this.#options = options
  }

  /** Starts polling. Has no effect when it is running already, or was stopped. */
  start(): void {
    if (this.#isRunning || this.#isStopped) return
    this.#isRunning = true
    this.#schedule(0)
  }

  /** Polls at once, or once more after the current poll. Has no effect unless it is running. */
  nudge(): void {
    if (this.#isRunning) void this.#poll()
  }

  /** Stops polling for good. Does not wait for a current poll, which may hang. */
  stop(): void {
    this.#isStopped = true
    this.#isRunning = false
    this.#timer?.cancel()
  }

  #schedule(delay: number): void {
    this.#timer = this.#options.clock.setTimer(delay, () => void this.#poll(), { background: true })
  }

  #poll(): Promise<void> {
    this.#isNudged = this.#polling !== undefined
    this.#polling ??= this.#pollNow().finally(() => {
      this.#polling = undefined
      if (!this.#isRunning) return
      if (this.#isNudged) void this.#poll()
      else this.#schedule(this.#options.interval)
    })
    return this.#polling
  }

  async #pollNow(): Promise<void> {
    this.#timer?.cancel()
    try {
      await this.#options.poll()
    } catch (error) {
      if (this.#isRunning) this.#options.onFailed(error)
    }
  }
}
