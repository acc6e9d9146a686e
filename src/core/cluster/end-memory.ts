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

/** How many ends to remember. */
const maxKnown = 1000

/** What a process knows of ends that are not notified yet: bounded, as it may be forgotten. */
export class EndMemory {
  readonly #ends = new Map<string, KnownEnd>()

  get size(): number {
    return this.#ends.size
  }

  /** Remembers an end of this process, unless it is known. */
  add(executionId: string, job: LibraryJob | undefined, cause: unknown): void {
    if (this.#ends.has(executionId)) return
    this.#set(executionId, { done: new Set(), ...(job && { job }), ...(cause !== undefined && { cause }) })
  }

  get(executionId: string): KnownEnd {
    return this.#ends.get(executionId) ?? this.#set(executionId, { done: new Set() })
  }

  delete(executionId: string): void {
    this.#ends.delete(executionId)
  }

  #set(executionId: string, end: KnownEnd): KnownEnd {
    this.#ends.set(executionId, end)
    const [oldest] = this.#ends.keys()
    if (this.#ends.size > maxKnown && oldest !== undefined) this.#ends.delete(oldest)
    return end
  }
}
