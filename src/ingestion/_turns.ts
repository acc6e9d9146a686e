/** How long work may keep the event loop to itself, in milliseconds. */
const longest = 10

/**
 * Lets the event loop turn during work that waits for nothing else, such as batches that go from memory to memory: timers,
 * sockets and aborts would wait for its end.
 */
export class Turns {
  #turnedAt = performance.now()

  /** Whether it is time to {@link take} a turn. */
  get isDue(): boolean {
    return performance.now() - this.#turnedAt >= longest
  }

  /** Resolves when the event loop has turned. */
  async take(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve))
    this.#turnedAt = performance.now()
  }
}
