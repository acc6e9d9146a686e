import { executionOrder, type Redactor } from '../../adapter.js'
import { isEnded, type JobEvent, type JobStatus, type SearchFilter, type SearchResult } from '../../index.js'
import { pagesOf, type Search } from '../answers/index.js'
import { printResumeToken } from './resume-token.js'

/** The part of a registry that tells of executions. */
export interface FedRegistry {
  readonly redactor?: Pick<Redactor, 'shorten'>
  readonly closed?: AbortSignal
  on(name: 'status', listener: (event: JobEvent) => unknown, options: { scope: 'cluster' }): () => void
  search(filter: SearchFilter): Promise<SearchResult<JobStatus>>
}

/** The live states in order, so that an execution that changes its state during the search is found in one of them. */
const liveStates = ['queued', 'running', 'aborting'] as const

/** About how many characters of live executions are read at once. */
const refreshSize = 256 * 1024

/**
 * One subscription to a registry. It tracks the live executions, and so what a reader that disconnects now needs
 * later.
 */
export class LiveExecutions {
  readonly #registry: FedRegistry
  readonly #search: Search
  readonly #onChange: (status: JobStatus, isBeginOrEnd: boolean) => void
  /** The live executions, by their position in the log. */
  readonly #live = new Map<string, JobStatus>()
  /** The position of the newest execution seen. */
  #newest: string | undefined
  /** The position of the execution that was last seen to end. */
  #lastEnded: string | undefined
  /** Executions that ended while storage was searched, and may be in its answer. */
  readonly #ended = new Set<string>()
  #refreshing: Promise<void> | undefined
  #unsubscribe: (() => void) | undefined

  /** `onChange` is called for every change of a status, with whether the execution is new or has ended. */
  constructor(registry: FedRegistry, search: Search, onChange: (status: JobStatus, isBeginOrEnd: boolean) => void) {
    this.#registry = registry
    this.#search = search
    this.#onChange = onChange
  }

  /** Subscribes. Resolves when the live executions are known. */
  async start(): Promise<void> {
    this.#unsubscribe = this.#registry.on('status', ({ status }) => this.#handleStatus(status), { scope: 'cluster' })
    await this.refresh()
    const { hits } = await this.#search({ size: 1 })
    for (const { executionId } of hits) {
      this.#updateNewest(orderOf(executionId))
      this.#lastEnded ??= orderOf(executionId)
    }
  }

  stop(): void {
    this.#unsubscribe?.()
  }

  /** Reads the live executions from storage, which ends expired leases and emits their changes. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined
    })
    return this.#refreshing
  }

  /** The statuses of the live executions, oldest first. */
  get live(): JobStatus[] {
    return [...this.#live].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, status]) => status)
  }

  /** Whether the execution at a position is live. */
  isLive(order: string): boolean {
    return this.#live.has(order)
  }

  /** The event id of a reader that has all events so far. */
  get resumeToken(): string {
    return this.resumeTokenAt(this.#newest)
  }

  /** The event id of a reader that has all events of executions up to a position. */
  resumeTokenAt(order: string | undefined): string {
    return printResumeToken(order, this.#live.keys(), this.#lastEnded)
  }

  async #refresh(): Promise<void> {
    this.#ended.clear()
    for (const state of liveStates) {
      for await (const { hits } of pagesOf(
        this.#search,
        { state, size: Number.POSITIVE_INFINITY },
        { text: refreshSize },
      )) {
        for (const status of hits) {
          const order = orderOf(status.executionId)
          if (!this.#ended.has(order) && !this.#live.has(order)) this.#add(order, status)
        }
      }
    }
  }

  #handleStatus(status: JobStatus): void {
    const order = orderOf(status.executionId)
    const hasEnded = isEnded(status.state)
    const isBeginOrEnd = hasEnded || !this.#live.has(order)
    if (hasEnded) this.#end(order)
    else this.#add(order, status)
    this.#onChange(status, isBeginOrEnd)
  }

  #add(order: string, status: JobStatus): void {
    this.#live.set(order, status)
    this.#updateNewest(order)
  }

  #end(order: string): void {
    this.#live.delete(order)
    // Only needed while storage is searched.
    if (this.#refreshing) this.#ended.add(order)
    this.#lastEnded = order
    this.#updateNewest(order)
  }

  #updateNewest(order: string): void {
    if (this.#newest === undefined || order > this.#newest) this.#newest = order
  }
}

/** The position of an execution in the log. */
export function orderOf(executionId: string): string {
  return executionOrder(executionId) ?? ''
}
