/** A pending timer. */
export interface QueuedTimer {
  /** When it fires, in epoch milliseconds. */
  readonly at: number
  readonly callback: () => void
  /** Set when the timer has fired or was cancelled. */
  isOff?: true
}

/** Timers in the order in which they fire. Of two timers at the same time, the one that was set first fires first. */
export class TimerQueue {
  /** A binary heap: no timer fires before the one at half its index. */
  readonly #heap: { readonly timer: QueuedTimer; readonly order: number }[] = []
  #set = 0
  #size = 0

  /** The number of pending timers. */
  get size(): number {
    return this.#size
  }

  /** Adds a timer. */
  add(timer: QueuedTimer): void {
    const heap = this.#heap
    let at = heap.push({ timer, order: this.#set++ }) - 1
    while (at > 0 && this.#isBefore(at, (at - 1) >> 1)) at = this.#swap(at, (at - 1) >> 1)
    this.#size++
  }

  /** Cancels a timer. Has no effect after it has fired. */
  cancel(timer: QueuedTimer): void {
    if (timer.isOff) return
    timer.isOff = true
    this.#size--
  }

  /** Removes and returns the first timer that is due by `end`. */
  takeDue(end: number): QueuedTimer | undefined {
    for (let first = this.#heap[0]; first && (first.timer.isOff || first.timer.at <= end); first = this.#heap[0]) {
      this.#dropFirst()
      if (first.timer.isOff) continue
      this.cancel(first.timer)
      return first.timer
    }
    return undefined
  }

  #dropFirst(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (!last || heap.length === 0) return
    heap[0] = last
    for (let at = 0, child = 1; child < heap.length; child = 2 * at + 1) {
      if (child + 1 < heap.length && this.#isBefore(child + 1, child)) child++
      if (!this.#isBefore(child, at)) return
      at = this.#swap(at, child)
    }
  }

  #isBefore(a: number, b: number): boolean {
    const [one, other] = [this.#heap[a], this.#heap[b]]
    if (!one || !other) return false
    return one.timer.at < other.timer.at || (one.timer.at === other.timer.at && one.order < other.order)
  }

  /** Swaps two entries. Returns the new index of the first one. */
  #swap(from: number, to: number): number {
    const heap = this.#heap
    ;[heap[from], heap[to]] = [heap[to] as (typeof heap)[0], heap[from] as (typeof heap)[0]]
    return to
  }
}
