import type { ExecutionRecord, StorageFilter } from '../../adapter.js'

/** For how many filters the total is kept. */
const maxFilters = 20

interface Total {
  readonly filter: StorageFilter
  count: number
}

/** The totals of recent searches, kept up to date, so that not every page counts the whole log. */
export class Totals {
  readonly #matches: (execution: ExecutionRecord, filter: StorageFilter) => boolean
  /** The last one used is at the end. */
  readonly #totals = new Map<string, Total>()

  constructor(matches: (execution: ExecutionRecord, filter: StorageFilter) => boolean) {
    this.#matches = matches
  }

  /** How many executions match, by `count` when it is not known. */
  of({ from: _, size: __, searchAfter: ___, ...filter }: StorageFilter, count: () => number): number {
    const key = JSON.stringify(Object.entries(filter).sort())
    const total = this.#totals.get(key) ?? { filter, count: count() }
    this.#totals.delete(key)
    this.#totals.set(key, total)
    const [oldest = ''] = this.#totals.keys()
    if (this.#totals.size > maxFilters) this.#totals.delete(oldest)
    return total.count
  }

  /** Counts an execution that entered the log, or with -1 one that left it. */
  add(execution: ExecutionRecord, change: 1 | -1): void {
    for (const total of this.#totals.values()) if (this.#matches(execution, total.filter)) total.count += change
  }
}
