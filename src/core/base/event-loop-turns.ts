const { setImmediate } = globalThis as { setImmediate?(callback: () => void): unknown }

/** Calls back in the next turn of the event loop. */
const nextTurn = (callback: () => void): unknown => setImmediate?.(callback) ?? setTimeout(callback)

/** The options of {@link EventLoopTurns}. */
export interface EventLoopTurnsOptions {
  /** How long work may block the event loop, in milliseconds. Default 25. */
  longest?: number
}

/**
 * Yields to the event loop during synchronous work, such as thousands of calls to a storage in memory or in a file. Otherwise timers,
 * sockets and aborts would wait for the end of the work.
 *
 * @experimental
 */
export class EventLoopTurns {
  readonly #longest: number
  /** When the first work of this turn began. */
  #begunAt: number | undefined
  readonly #waiting: (() => void)[] = []
  readonly #urgent: (() => void)[] = []

  constructor({ longest = 25 }: EventLoopTurnsOptions = {}) {
    this.#longest = longest
  }

  /**
   * Returns `undefined` when work may continue at once. After too long without a turn, returns a promise. Each turn of the event loop
   * then resolves one, urgent work first.
   */
  pass(isUrgent = false): Promise<void> | undefined {
    const now = performance.now()
    if (this.#begunAt === undefined) {
      this.#begunAt = now
      nextTurn(() => {
        this.#begunAt = undefined
      })
    }
    const isFree = this.#waiting.length + this.#urgent.length === 0 && now - this.#begunAt < this.#longest
    return isFree ? undefined : this.#wait(isUrgent ? this.#urgent : this.#waiting)
  }

  #wait(queue: (() => void)[]): Promise<void> {
    return new Promise((resolve) => {
      if (this.#waiting.length + this.#urgent.length === 0) nextTurn(() => this.#resumeNext())
      queue.push(resolve)
    })
  }

  #resumeNext(): void {
    const next = this.#urgent.shift() ?? this.#waiting.shift()
    next?.()
    if (this.#waiting.length + this.#urgent.length > 0) nextTurn(() => this.#resumeNext())
  }
}
