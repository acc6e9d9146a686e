const { setImmediate } = globalThis as { setImmediate?(callback: () => void): unknown }

/** Calls back in the next turn of the event loop. */
const nextTurn = (callback: () => void): unknown => setImmediate?.(callback) ?? setTimeout(callback)

/** How long a turn is measured before the next one, in milliseconds. A callback in every turn would keep the event loop from sleeping. */
const measured = 5

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
    const begunAt = this.#begunAt ?? this.#begin(now)
    const isFree = this.#waiting.length + this.#urgent.length === 0 && now - begunAt < this.#longest
    return isFree ? undefined : this.#wait(isUrgent ? this.#urgent : this.#waiting)
  }

  /** A timer that is due and has not fired tells that the event loop has had no turn since. */
  #begin(now: number): number {
    this.#begunAt = now
    const timer: unknown = setTimeout(() => {
      this.#begunAt = undefined
    }, measured)
    ;(timer as { unref?(): void }).unref?.()
    return now
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

/** How long one list blocks the event loop, in milliseconds. Its longest record comes on top. */
const turns = new EventLoopTurns({ longest: 10 })

/**
 * Maps the records of a list one by one, and yields to the event loop in between when that takes long: each may have megabytes of JSON.
 * Returns the list at once when it is short.
 *
 * @experimental
 */
export function mapInTurns<Value, Mapped>(
  values: readonly Value[],
  map: (value: Value) => Mapped,
): Mapped[] | Promise<Mapped[]> {
  const mapped: Mapped[] = []
  // At least one per turn, so that many lists at once all go on.
  const proceed = (): Mapped[] | Promise<Mapped[]> => {
    let turn: Promise<void> | undefined
    while (mapped.length < values.length && !turn) {
      mapped.push(map(values[mapped.length] as Value))
      turn = turns.pass()
    }
    return turn ? turn.then(proceed) : mapped
  }
  return proceed()
}
