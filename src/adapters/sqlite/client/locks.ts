import { setTimeout } from 'node:timers/promises'
import { JobError, type JobErrorCode } from '../../../adapter.js'
import { isBusy } from './errors.js'

/** How long to wait before the next attempt at a lock, in milliseconds. Doubles from the first to the last. */
const delays = { first: 5, last: 100 }

/** The default of `lockTimeout`, in milliseconds. */
export const defaultLockTimeout = 10_000

/** Waits for locks of other connections, without blocking the process. */
export class LockPatience {
  readonly #code: JobErrorCode
  readonly #path: string
  readonly #timeout: number
  readonly #signal: AbortSignal

  constructor(code: JobErrorCode, path: string, timeout: number, signal: AbortSignal) {
    this.#code = code
    this.#path = path
    this.#timeout = timeout
    this.#signal = signal
  }

  /** Runs `work`, and again while another connection holds the lock. Throws a transient error after `lockTimeout`. */
  async attempt<Answer>(work: () => Answer | Promise<Answer>): Promise<Answer> {
    const start = performance.now()
    for (let delay = delays.first; ; delay = Math.min(delay * 2, delays.last)) {
      this.#signal.throwIfAborted()
      try {
        return await work()
      } catch (cause) {
        if (!isBusy(cause) && !isBusy(Object(cause).cause)) throw cause
        if (performance.now() - start >= this.#timeout) throw this.#late(cause)
        await this.#pause(delay * (0.5 + Math.random() / 2))
      }
    }
  }

  async #pause(delay: number): Promise<void> {
    const signal = this.#signal
    await setTimeout(delay, undefined, { signal }).catch(() => signal.throwIfAborted())
  }

  #late(cause: unknown): JobError {
    const message = `Another connection has held the lock of \`${this.#path}\` for ${this.#timeout} ms.`
    return new JobError(this.#code, message, { cause, isTransient: true })
  }
}
