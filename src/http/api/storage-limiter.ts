import { EventLoopTurns } from '../../adapter.js'
import { type Clock, JobError } from '../../index.js'

/** How many calls use storage at once. More would only wait for its connections, and delay lease renewals. */
const maxRunning = 16

/** How many calls may wait for one of these, and how long, in milliseconds. */
const maxWaiting = 10_000
const longestWait = 10_000

/** How long reads of a storage that answers synchronously may block the event loop, in milliseconds. */
const longestBlock = 10

/** A client that may disconnect. `signal` is read only when the call has to wait. */
export interface Client {
  readonly signal?: AbortSignal | undefined
}

/**
 * Limits how many calls use storage at once. Other calls wait here, and a client that disconnects removes its call
 * before it reaches storage. Reads of a storage that answers synchronously yield to the event loop in between.
 */
export class StorageLimiter {
  readonly #clock: Clock
  readonly #waiting = new Set<Waiter>()
  readonly #turns = new EventLoopTurns({ longest: longestBlock })
  #running = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * Runs a call when a slot is free. Throws `storage` when that takes too long, or when the client has disconnected.
   */
  async run<Value>(call: () => Promise<Value>, client: Client = {}): Promise<Value> {
    if (this.#running < maxRunning) this.#running++
    else await this.#enter(client)
    try {
      await this.#turns.pass()
      return await call()
    } catch (error) {
      // Waiting calls fail with the same error at once.
      if (JobError.isInstance(error) && error.code === 'storage') for (const { fail } of [...this.#waiting]) fail(error)
      throw error
    } finally {
      this.#leave()
    }
  }

  /** Waits until a running call ends, and takes its slot. */
  #enter({ signal }: Client): Promise<void> {
    if (signal?.aborted || this.#waiting.size >= maxWaiting) return Promise.reject(busy())
    return new Promise((resolve, reject) => {
      const over = (then: () => void) => {
        timer.cancel()
        signal?.removeEventListener('abort', giveUp)
        this.#waiting.delete(waiter)
        then()
      }
      const waiter: Waiter = { enter: () => over(resolve), fail: (error) => over(() => reject(error)) }
      const giveUp = () => waiter.fail(busy())
      const timer = this.#clock.setTimer(longestWait, giveUp, { background: true })
      signal?.addEventListener('abort', giveUp)
      this.#waiting.add(waiter)
    })
  }

  #leave(): void {
    const [next] = this.#waiting
    if (next) next.enter()
    else this.#running--
  }
}

/** A waiting call. */
interface Waiter {
  enter(): void
  fail(error: JobError): void
}

function busy(): JobError {
  return new JobError('storage', 'Too many calls wait for the storage.', { isTransient: true })
}
