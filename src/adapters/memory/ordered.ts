import { type ExecutionRecord, executionOrder } from '../../adapter.js'

/** An execution and its position in the log. */
interface Entry {
  readonly execution: ExecutionRecord
  readonly order: string
}

/** Executions sorted by their start, so that a search need not sort a long log for each page. */
export class Ordered {
  readonly #entries: Entry[] = []

  add(execution: ExecutionRecord): void {
    const order = executionOrder(execution.executionId) ?? ''
    this.#entries.splice(this.#indexOf(order), 0, { execution, order })
  }

  delete({ executionId }: ExecutionRecord): void {
    const index = this.#indexOf(executionOrder(executionId) ?? '')
    if (this.#entries[index]?.execution.executionId !== executionId) return
    // The oldest go first, and `splice` would move all others.
    if (index === 0) this.#entries.shift()
    else this.#entries.splice(index, 1)
  }

  count(matches: (execution: ExecutionRecord) => boolean): number {
    let count = 0
    for (const { execution } of this.#entries) if (matches(execution)) count++
    return count
  }

  /** Those that began before `order`, or all. */
  *newestFirst(order?: string): Generator<ExecutionRecord> {
    const end = order === undefined ? this.#entries.length : this.#indexOf(order)
    for (let index = end - 1; index >= 0; index--) {
      const entry = this.#entries[index]
      if (entry) yield entry.execution
    }
  }

  /** Those that began after `order`. */
  *oldestFirst(order: string): Generator<ExecutionRecord> {
    for (let index = this.#indexOf(order); index < this.#entries.length; index++) {
      const entry = this.#entries[index]
      if (entry && entry.order > order) yield entry.execution
    }
  }

  /** The index of the first execution that began then or later. */
  #indexOf(order: string): number {
    let [low, high] = [0, this.#entries.length]
    // The common cases: before the first, and after the last.
    if (order <= this.#orderAt(0)) return low
    if (order > this.#orderAt(high - 1)) return high
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#orderAt(middle) < order) low = middle + 1
      else high = middle
    }
    return low
  }

  #orderAt(index: number): string {
    return this.#entries[index]?.order ?? ''
  }
}
