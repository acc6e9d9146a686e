import type { StorageChange } from '../index.js'
import { keyOf, Lookout, type LookoutOptions } from './_postgres-lookout.js'

type Listener = (change: StorageChange) => void

/** How long it is known what was told, in milliseconds, beyond the time from one look to the next. */
const memory = 20_000

/** Tells listeners of changes, once each: of this storage's own at once, of others' as soon as they are heard or seen. */
export class Watch {
  readonly #options: LookoutOptions
  readonly #listeners = new Set<Listener>()
  /** What was told, and when: what is heard is seen too. */
  readonly #told = new Map<string, number>()
  #lookout: Lookout | undefined

  constructor(options: LookoutOptions) {
    this.#options = options
  }

  /** Adds a listener. Gives the function that takes it off. */
  add(listener: Listener): () => void {
    // Not the function itself, which may be added twice.
    const own: Listener = (change) => listener(change)
    this.#listeners.add(own)
    this.#lookout ??= new Lookout(
      this.#options,
      (change) => this.tell(change),
      (change) => this.#isNew(change),
    )
    return () => {
      this.#listeners.delete(own)
      if (this.#listeners.size === 0) void this.stop()
    }
  }

  /** Tells the listeners, unless they were told. */
  tell(change: StorageChange): void {
    if (this.#listeners.size === 0 || !this.#isNew(change)) return
    for (const listener of this.#listeners) {
      try {
        listener(change)
      } catch (error) {
        // One that throws must not keep the others from hearing, nor fail the call that changed something.
        void error
      }
    }
  }

  /** Whether a change was not told before. From then on it counts as told. */
  #isNew(change: StorageChange): boolean {
    const key = keyOf(change)
    if (this.#told.has(key)) return false
    const now = performance.now()
    this.#told.set(key, now)
    for (const [old, at] of this.#told) {
      if (now - at < this.#options.interval + memory) break
      this.#told.delete(old)
    }
    return true
  }

  /** Takes all listeners off, and looks no more. */
  async stop(): Promise<void> {
    this.#listeners.clear()
    const lookout = this.#lookout
    this.#lookout = undefined
    await lookout?.stop()
  }
}
