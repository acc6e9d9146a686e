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

/** What a feed needs of a registry. */
export interface FedRegistry {
  readonly redactor?: Pick<Redactor, 'shorten'>
  on(name: 'status', listener: (event: JobEvent) => unknown, options: { scope: 'cluster' }): () => void
  search(filter: SearchFilter): Promise<SearchResult<JobStatus>>
}

/** The live states, in the order of life: what is on its way through them is found in one of them. */
const liveStates = ['queued', 'running', 'aborting'] as const

/** The most executions that are asked for at once. */
export const pageSize = 1000

/** One subscription to a registry: it knows what lives, and so what a reader that goes now would have to be told later. */
export class EventFeed {
  readonly #registry: FedRegistry
  readonly #tell: (status: JobStatus, isTurn: boolean) => void
  readonly #live = new Map<string, JobStatus>()
  /** The place in the log of the newest execution that was seen. */
  #newest: string | undefined
  /** What has ended while storage was asked what lives, and may be among the answer. */
  readonly #ended = new Set<string>()
  #looking: Promise<void> | undefined
  #unsubscribe: (() => void) | undefined

  /** `tell` hears of every change of a status, and whether it was a turn: an execution that is new, or has ended. */
  constructor(registry: FedRegistry, tell: (status: JobStatus, isTurn: boolean) => void) {
    this.#registry = registry
    this.#tell = tell
  }

  /** Subscribes. Resolves when it is known what lives. */
  async start(): Promise<void> {
    this.#unsubscribe = this.#registry.on('status', ({ status }) => this.#hear(status), { scope: 'cluster' })
    await this.look()
    const { hits } = await this.#registry.search({ size: 1 })
    for (const { executionId } of hits) this.#pass(executionId)
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
    return [...this.#live]
      .sort(([one], [other]) => (orderOf(one) < orderOf(other) ? -1 : 1))
      .map(([, status]) => status)
  }

  /** Whether the execution at a place in the log lives. */
  isLive(order: string): boolean {
    return [...this.#live.keys()].some((executionId) => orderOf(executionId) === order)
  }

  /** The id of a reader that was told all up to now. */
  get cursor(): string {
    return printCursor(this.#newest, [...this.#live.keys()].map(orderOf))
  }

  async #look(): Promise<void> {
    this.#ended.clear()
    for (const state of liveStates) {
      for await (const status of pagesOf(this.#registry, { state })) {
        const { executionId } = status
        if (!this.#ended.has(executionId) && !this.#live.has(executionId)) this.#add(status)
      }
    }
  }

  #hear(status: JobStatus): void {
    const { executionId, state } = status
    const isTurn = isEnded(state) || !this.#live.has(executionId)
    if (isEnded(state)) this.#end(executionId)
    else this.#add(status)
    this.#tell(status, isTurn)
  }

  #add(status: JobStatus): void {
    this.#live.set(status.executionId, status)
    this.#pass(status.executionId)
  }

  #end(executionId: string): void {
    this.#live.delete(executionId)
    this.#ended.add(executionId)
    this.#pass(executionId)
  }

  #pass(executionId: string): void {
    const order = orderOf(executionId)
    if (this.#newest === undefined || order > this.#newest) this.#newest = order
  }
}

/** What the log has of a filter, newest first, page by page. */
export async function* pagesOf(
  registry: Pick<FedRegistry, 'search'>,
  filter: SearchFilter,
  pages = Number.POSITIVE_INFINITY,
): AsyncGenerator<JobStatus> {
  let last: JobStatus | undefined
  for (let page = 0; page < pages; page++) {
    const { hits } = await registry.search({
      ...filter,
      size: pageSize,
      ...(last && { searchAfter: last.executionId }),
    })
    yield* hits
    last = hits.at(-1)
    if (hits.length < pageSize) return
  }
}

/** The place of an execution in the log. */
export function orderOf(executionId: string): string {
  return executionOrder(executionId) ?? ''
}
