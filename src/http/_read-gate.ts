import { type Clock, JobError } from '../index.js'

/** So many calls ask storage at once: more would only wait in front of its connections, and of renewals of leases. */
const maxReads = 16

/** So many calls wait for one of them at most, and so long, in milliseconds. */
const maxWaiting = 10_000
const longestWait = 10_000

/** What a call has that may be left: `signal` is asked for only when the call has to wait. */
export interface Leavable {
  readonly signal?: AbortSignal | undefined
}

/**
 * Lets a bounded number of calls ask storage at once, to read or to write. The others wait here, where a client that leaves takes its call with
 * it: storage never hears of it.
 */
export class ReadGate {
  readonly #clock: Clock
  readonly #waiting = new Set<Waiter>()
  #reads = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Reads when it may. Throws `storage` when that takes too long, or the caller has left. */
  async read<Value>(read: () => Promise<Value>, caller: Leavable = {}): Promise<Value> {
    if (this.#reads < maxReads) this.#reads++
    else await this.#enter(caller)
    try {
      return await read()
    } catch (error) {
      // Who waits behind a storage that is away would only wait to be told the same.
      if (JobError.isInstance(error) && error.code === 'storage') for (const { fail } of [...this.#waiting]) fail(error)
      throw error
    } finally {
      this.#leave()
    }
  }

  /** Waits for a read that ends, whose place it takes. */
  #enter({ signal }: Leavable): Promise<void> {
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
    else this.#reads--
  }
}

/** A call that waits for its read. */
interface Waiter {
  enter(): void
  fail(error: JobError): void
}

function busy(): JobError {
  return new JobError('storage', 'Too many calls ask the storage.', { isTransient: true })
}
