import type { StorageChange } from '../../../adapter.js'
import { ChangeFeed, type ChangeFeedOptions, keyOf } from './change-feed.js'

type Listener = (change: StorageChange) => void

/** How long an emitted change is remembered, in milliseconds, in addition to the time between two polls. */
const memory = 20_000

/**
 * Emits each change once to the listeners: changes of this storage at once, changes of others when they are notified
 * or polled.
 */
export class ChangeListeners {
  readonly #options: ChangeFeedOptions
  readonly #listeners = new Set<Listener>()
  /** The emitted changes with their times. A notified change is also found by a poll. */
  readonly #emitted = new Map<string, number>()
  #feed: ChangeFeed | undefined

  constructor(options: ChangeFeedOptions) {
    this.#options = options
  }

  /** Adds a listener. Returns a function that removes it. */
  add(listener: Listener): () => void {
    // A wrapper, because the same function may be added twice.
    const own: Listener = (change) => listener(change)
    this.#listeners.add(own)
    this.#feed ??= new ChangeFeed(
      this.#options,
      (change) => this.emit(change),
      (change) => this.#isNew(change),
    )
    return () => {
      this.#listeners.delete(own)
      if (this.#listeners.size === 0) void this.stop()
    }
  }

  /** Emits a change, unless it was emitted before. */
  emit(change: StorageChange): void {
    if (this.#listeners.size === 0 || !this.#isNew(change)) return
    for (const listener of this.#listeners) {
      try {
        listener(change)
      } catch (error) {
        // A listener that throws must not affect other listeners or the call that made the change.
        void error
      }
    }
  }

  /** Whether a change was not emitted before. Marks it as emitted. */
  #isNew(change: StorageChange): boolean {
    const key = keyOf(change)
    if (this.#emitted.has(key)) return false
    const now = performance.now()
    this.#emitted.set(key, now)
    for (const [old, at] of this.#emitted) {
      if (now - at < this.#options.interval + memory) break
      this.#emitted.delete(old)
    }
    return true
  }

  /** Removes all listeners and stops the feed. */
  async stop(): Promise<void> {
    this.#listeners.clear()
    const feed = this.#feed
    this.#feed = undefined
    await feed?.stop()
  }
}
