import type { Clock, Timer } from '../../adapter.js'

/** How often a queue is asked whether somebody has paused it, in milliseconds. */
const interval = 5000

/** What a {@link PauseWatch} watches, and tells. */
export interface PauseWatchOptions {
  readonly name: string
  readonly clock: Clock
  readonly closing: AbortSignal
  isPaused(): Promise<boolean>
  warn(error: unknown, message: string): void
}

/** Notices that somebody has paused a queue with BullMQ: it then hands out nothing, and no call fails. */
export class PauseWatch {
  readonly #options: PauseWatchOptions
  #problem: string | undefined
  #timer: Timer | undefined

  constructor(options: PauseWatchOptions) {
    this.#options = options
    options.closing.addEventListener('abort', () => this.#timer?.cancel(), { once: true })
    void this.#ask()
  }

  /** Why the queue hands out nothing. `undefined` when it is not paused. */
  get problem(): string | undefined {
    return this.#problem
  }

  async #ask(): Promise<void> {
    const { clock, closing, isPaused } = this.#options
    // The queue tells that its engine does not answer. Until it does, nothing is known.
    const isFound = await isPaused().catch(() => undefined)
    if (closing.aborted) return
    if (isFound !== undefined) this.#note(isFound)
    this.#timer = clock.setTimer(interval, () => void this.#ask(), { background: true })
  }

  #note(isPaused: boolean): void {
    const { name, warn } = this.#options
    if (isPaused === (this.#problem !== undefined)) return
    const paused = `The queue [${name}] is paused in BullMQ: it hands out no executions until \`resume()\` of the queue is called.`
    this.#problem = isPaused ? paused : undefined
    warn(
      new Error(isPaused ? paused : `The queue [${name}] is no longer paused in BullMQ.`),
      'The state of a queue has changed.',
    )
  }
}
