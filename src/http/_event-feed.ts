import {
  executionOrder,
  isEnded,
  type JobEvent,
  type JobStatus,
  type Redactor,
  type SearchFilter,
  type SearchResult,
} from '../index.js'
import { printCursor } from './_cursor.js'
import { pagesOf, type Search } from './_pages.js'

/** What a feed needs of a registry. */
export interface FedRegistry {
  readonly redactor?: Pick<Redactor, 'shorten'>
  on(name: 'status', listener: (event: JobEvent) => unknown, options: { scope: 'cluster' }): () => void
  search(filter: SearchFilter): Promise<SearchResult<JobStatus>>
}

/** The live states, in the order of life: what is on its way through them is found in one of them. */
const liveStates = ['queued', 'running', 'aborting'] as const

/** About how much of what lives is read at once, in characters of text. */
const lookSize = 256 * 1024

/** One subscription to a registry: it knows what lives, and so what a reader that goes now would have to be told later. */
export class EventFeed {
  readonly #registry: FedRegistry
  readonly #search: Search
  readonly #tell: (status: JobStatus, isTurn: boolean) => void
  /** What lives, by its place in the log. */
  readonly #live = new Map<string, JobStatus>()
  /** The place in the log of the newest execution that was seen. */
  #newest: string | undefined
  /** The place in the log of the execution that was seen to end last. */
  #lastEnded: string | undefined
  /** What has ended while storage was asked what lives, and may be among the answer. */
  readonly #ended = new Set<string>()
  #looking: Promise<void> | undefined
  #unsubscribe: (() => void) | undefined

  /** `tell` hears of every change of a status, and whether it was a turn: an execution that is new, or has ended. */
  constructor(registry: FedRegistry, search: Search, tell: (status: JobStatus, isTurn: boolean) => void) {
    this.#registry = registry
    this.#search = search
    this.#tell = tell
  }

  /** Subscribes. Resolves when it is known what lives. */
  async start(): Promise<void> {
    this.#unsubscribe = this.#registry.on('status', ({ status }) => this.#hear(status), { scope: 'cluster' })
    await this.look()
    const { hits } = await this.#search({ size: 1 })
    for (const { executionId } of hits) {
      this.#pass(orderOf(executionId))
      this.#lastEnded ??= orderOf(executionId)
    }
  }

  stop(): void {
    this.#unsubscribe?.()
  }

  /** Asks storage what lives. Leases that have run out are settled by it, and told of. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  /** The statuses of all that lives, oldest first. */
  get live(): JobStatus[] {
    return [...this.#live].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, status]) => status)
  }

  /** Whether the execution at a place in the log lives. */
  isLive(order: string): boolean {
    return this.#live.has(order)
  }

  /** The id of a reader that was told all up to now. */
  get cursor(): string {
    return this.cursorAt(this.#newest)
  }

  /** The id of a reader that was told all up to now of what is not newer than the execution at a place in the log. */
  cursorAt(order: string | undefined): string {
    return printCursor(order, this.#live.keys(), this.#lastEnded)
  }

  async #look(): Promise<void> {
    this.#ended.clear()
    for (const state of liveStates) {
      for await (const { hits } of pagesOf(this.#search, { state, size: Number.POSITIVE_INFINITY }, lookSize)) {
        for (const status of hits) {
          const order = orderOf(status.executionId)
          if (!this.#ended.has(order) && !this.#live.has(order)) this.#add(order, status)
        }
      }
    }
  }

  #hear(status: JobStatus): void {
    const order = orderOf(status.executionId)
    const hasEnded = isEnded(status.state)
    const isTurn = hasEnded || !this.#live.has(order)
    if (hasEnded) this.#end(order)
    else this.#add(order, status)
    this.#tell(status, isTurn)
  }

  #add(order: string, status: JobStatus): void {
    this.#live.set(order, status)
    this.#pass(order)
  }

  #end(order: string): void {
    this.#live.delete(order)
    // Of use only while storage is asked.
    if (this.#looking) this.#ended.add(order)
    this.#lastEnded = order
    this.#pass(order)
  }

  #pass(order: string): void {
    if (this.#newest === undefined || order > this.#newest) this.#newest = order
  }
}

/** The place of an execution in the log. */
export function orderOf(executionId: string): string {
  return executionOrder(executionId) ?? ''
}
