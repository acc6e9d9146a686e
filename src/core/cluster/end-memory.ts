import type { LibraryJob } from '../execution/index.js'

/** What a process knows of an end that is not notified yet. */
interface KnownEnd {
  /** The job that has ended here. It may be removed since. */
  readonly job?: LibraryJob
  /** What the job threw, if it did so here. */
  readonly cause?: unknown
  /** The handlers that have succeeded. */
  readonly done: Set<'job' | 'registry'>
}

/** How many open ends to remember, and how many settled ones. */
const maxKnown = 1000

/** What a process knows of ends that are not notified yet: bounded, as it may be forgotten. */
export class EndMemory {
  readonly #ends = new Map<string, KnownEnd>()
  /** Ends that may be reported again after they are settled: storage may hold an end long before its process hears of it. */
  readonly #settled = new Set<string>()

  get size(): number {
    return this.#ends.size
  }

  /** Remembers an end of this process, unless it is known or settled. */
  add(executionId: string, job: LibraryJob | undefined, cause: unknown): void {
    if (this.#ends.has(executionId) || this.#settled.has(executionId)) return
    this.#set(executionId, { done: new Set(), ...(job && { job }), ...(cause !== undefined && { cause }) })
  }

  get(executionId: string): KnownEnd {
    return this.#ends.get(executionId) ?? this.#set(executionId, { done: new Set() })
  }

  /** Forgets an end whose notification is done. */
  settle(executionId: string): void {
    this.#ends.delete(executionId)
    this.#settled.add(executionId)
    const [oldest] = this.#settled
    if (this.#settled.size > maxKnown && oldest !== undefined) this.#settled.delete(oldest)
  }

  #set(executionId: string, end: KnownEnd): KnownEnd {
    this.#ends.set(executionId, end)
    const [oldest] = this.#ends.keys()
    if (this.#ends.size > maxKnown && oldest !== undefined) this.#ends.delete(oldest)
    return end
  }
}
