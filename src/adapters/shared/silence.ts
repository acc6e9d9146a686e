import { JobError, type JobErrorCode } from '../../adapter.js'

/** How long a server may be silent before headgate checks that it can be reached, in milliseconds. */
export const defaultSilenceTimeout = 60_000

/** How long the server may take to answer that check, in milliseconds. */
const answerTimeout = 10_000

/** What a {@link SilenceWatch} needs. */
export interface SilenceOptions {
  /** Reaches the server over a second connection. Rejects when it does not answer within `timeout` milliseconds. */
  reach(timeout: number): Promise<void>
  /** How long the server may be silent, in milliseconds. */
  readonly timeout: number
  /** The code of the error. */
  readonly code: JobErrorCode
  /** Called once when the server cannot be reached. */
  onLost(error: JobError): void
}

/**
 * Detects a server that vanished without closing the connection, for example behind a network that drops packets. A
 * long query is silent too, so the watch also contacts the server over a second connection.
 */
export class SilenceWatch {
  readonly #options: SilenceOptions
  #timer: NodeJS.Timeout | undefined
  /** Counts the waits. A check that started in an earlier wait says nothing about a later one. */
  #waits = 0

  constructor(options: SilenceOptions) {
    this.#options = options
  }

  /** Starts to wait for an answer of the server. */
  start(): void {
    this.stop()
    const wait = this.#waits
    this.#timer = setTimeout(() => void this.#check(wait), this.#options.timeout)
    // The connection keeps the process alive, not this timer.
    this.#timer.unref()
  }

  /** Stops the wait: the server has answered. */
  stop(): void {
    this.#waits++
    clearTimeout(this.#timer)
  }

  async #check(wait: number): Promise<void> {
    const { timeout, code, onLost } = this.#options
    try {
      await this.#options.reach(Math.min(answerTimeout, timeout))
      if (wait === this.#waits) this.start()
    } catch (cause) {
      if (wait !== this.#waits) return
      const message = `The server has been silent for ${timeout} ms and cannot be reached.`
      onLost(new JobError(code, message, { cause, isTransient: true }))
    }
  }
}
