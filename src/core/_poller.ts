import type { Clock, Timer } from './clock.js'

/** What a {@link Poller} does, and when. */
export interface PollerOptions {
  readonly clock: Clock
  /** How long to wait from the end of one look to the next, in milliseconds. */
  readonly interval: number
  look(): Promise<void>
  /** Hears of a look that failed: the next one comes as ever. */
  failed(error: unknown): void
}

/** Looks again and again once it was started, at once when asked to, and never twice at one time. */
export class Poller {
  readonly #options: PollerOptions
  #timer: Timer | undefined
  #looking: Promise<void> | undefined
  #isAsked = false
  #isRunning = false
  #isStopped = false

  constructor(options: PollerOptions) {
    this.#options = options
  }

  /** Looks soon, and from then on. Does nothing when it runs already, or was stopped. */
  start(): void {
    if (this.#isRunning || this.#isStopped) return
    this.#isRunning = true
    this.#schedule(0)
  }

  /** Looks at once, or once more when it is looking. Does nothing unless it runs. */
  nudge(): void {
    if (this.#isRunning) void this.#look()
  }

  /** Looks no more, for good. Does not wait for a look that is under way: it may hang. */
  stop(): void {
    this.#isStopped = true
    this.#isRunning = false
    this.#timer?.cancel()
  }

  #schedule(delay: number): void {
    this.#timer = this.#options.clock.setTimer(delay, () => void this.#look(), { background: true })
  }

  #look(): Promise<void> {
    this.#isAsked = this.#looking !== undefined
    this.#looking ??= this.#lookNow().finally(() => {
      this.#looking = undefined
      if (!this.#isRunning) return
      if (this.#isAsked) void this.#look()
      else this.#schedule(this.#options.interval)
    })
    return this.#looking
  }

  async #lookNow(): Promise<void> {
    this.#timer?.cancel()
    try {
      await this.#options.look()
    } catch (error) {
      if (this.#isRunning) this.#options.failed(error)
    }
  }
}
