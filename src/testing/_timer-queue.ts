/** A timer that waits to fire. */
export interface QueuedTimer {
  /** When it fires, in epoch milliseconds. */
  readonly at: number
  readonly callback: () => void
  /** Set once it fires no more. */
  isOff?: true
}

/** Timers by the time at which they fire; of two at one time, the one that was set first comes first. */
export class TimerQueue {
  /** A binary heap: none comes before the one at half its index. */
  readonly #heap: { readonly timer: QueuedTimer; readonly order: number }[] = []
  #set = 0
  #size = 0

  /** How many wait. */
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

  /** Takes a timer back. Does nothing once it was taken. */
  cancel(timer: QueuedTimer): void {
    if (timer.isOff) return
    timer.isOff = true
    this.#size--
  }

  /** Takes the timer that fires first of those due by `end`. */
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

  /** Gives the second place, which the one at the first has now. */
  #swap(from: number, to: number): number {
    const heap = this.#heap
    ;[heap[from], heap[to]] = [heap[to] as (typeof heap)[0], heap[from] as (typeof heap)[0]]
    return to
  }
}
