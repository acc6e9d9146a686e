import { EventLoopTurns } from '../../../adapter.js'

/** The maximum number of notifications that wait: a poll finds the changes of the rest. */
const maxWaiting = 1000

/** How long notifications are handled before the event loop has a turn, in milliseconds. */
const longest = 5

/**
 * Notifications that have arrived and are not handled yet. Any client of the database may send any number of them, and one turn of the event
 * loop may receive thousands. They are only a hint: what does not fit is left to the next poll.
 */
export class NotificationQueue {
  readonly #handle: (payload: string) => void
  readonly #onMissed: () => void
  readonly #turns = new EventLoopTurns({ longest })
  #waiting: string[] = []
  #isDraining = false
  #hasMissed = false

  /** Calls `handle` for each notification, and `onMissed` after a burst of which some were left out. Neither throws. */
  constructor(handle: (payload: string) => void, onMissed: () => void) {
    this.#handle = handle
    this.#onMissed = onMissed
  }

  add(payload: string): void {
    if (this.#waiting.length === maxWaiting) {
      this.#hasMissed = true
      return
    }
    this.#waiting.push(payload)
    if (!this.#isDraining) void this.#drain()
  }

  async #drain(): Promise<void> {
    this.#isDraining = true
    while (this.#waiting.length > 0) {
      const next = this.#waiting
      this.#waiting = []
      for (const payload of next) {
        this.#handle(payload)
        const turn = this.#turns.pass()
        if (turn) await turn
      }
    }
    this.#isDraining = false
    if (!this.#hasMissed) return
    this.#hasMissed = false
    this.#onMissed()
  }
}
