/** The smallest size of a request that the window shrinks to, in bytes. */
const smallest = 1 << 14

/** How many requests may be in flight at once, and how large they may be. Both shrink when the server is busy, and grow again. */
export class SendWindow {
  readonly #most: number
  #largest: number
  #limit: number
  #size: number
  #inFlight = 0
  #waiting: (() => void)[] = []

  constructor(most: number, largest: number) {
    this.#most = most
    this.#largest = largest
    this.#limit = most
    this.#size = largest
  }

  /** How large a request may be now, in bytes. */
  get size(): number {
    return this.#size
  }

  /** How many requests may be in flight now. */
  get limit(): number {
    return Math.max(1, Math.floor(this.#limit))
  }

  /** Resolves when another request may be sent. */
  async enter(): Promise<void> {
    while (this.#inFlight >= this.limit) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#inFlight++
  }

  leave(): void {
    this.#inFlight--
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  /** The server has taken a request. */
  grow(): void {
    this.#limit = Math.min(this.#most, this.#limit + 1 / this.#limit)
    this.#size = Math.min(this.#largest, this.#size * 1.1)
  }

  /** The server is busy. */
  shrink(): void {
    this.#limit = Math.max(1, this.#limit / 2)
    this.#size = Math.min(this.#size, Math.max(smallest, this.#size / 2))
  }

  /** The server never takes a request of this size. */
  limitTo(size: number): void {
    this.#largest = Math.max(1, Math.min(this.#largest, size))
    this.#size = Math.min(this.#size, this.#largest)
  }
}
