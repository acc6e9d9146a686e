import { findEnded } from './_find-ended.js'
import { jobKey } from './ids.js'
import { type Name, type Parts, partOf, shownAs, wholeOf } from './parts.js'
import type { ExecutionRecord, JobStorage } from './storage.js'

/** What is done with parts by whoever runs executions. */
export interface PartActions {
  /** Lets a part wait for a slot of any registry, unless it waits or runs already. */
  start(part: Name): Promise<void>
  /** Puts a part in line that waits. */
  enqueue(record: ExecutionRecord): Promise<void>
  /** Does a part here. */
  run(record: ExecutionRecord): Promise<void>
  /** Asks a part to stop. */
  abort(part: Name): Promise<void>
}

/** Those who wait for news of parts. */
export class PartNews {
  readonly #listeners = new Map<string, () => void>()

  /** Calls `listener` when a part of a job is said to have changed. Gives the function that takes it off. */
  on(whole: Name, listener: () => void): () => void {
    const key = jobKey(whole)
    this.#listeners.set(key, listener)
    return () => void this.#listeners.delete(key)
  }

  /** An execution has changed its state, which may be one of a part. */
  tell(execution: Name): void {
    const whole = wholeOf(execution)
    if (whole) this.#listeners.get(jobKey(whole))?.()
  }
}

/** The parts of an execution, or the parts beside it and their whole. */
export class RunnerParts implements Parts {
  readonly #whole: Name
  readonly #storage: JobStorage
  readonly #news: PartNews
  readonly #actions: PartActions
  #wholeId: string | undefined

  constructor(execution: Name, storage: JobStorage, news: PartNews, actions: PartActions) {
    this.#whole = shownAs(execution)
    this.#storage = storage
    this.#news = news
    this.#actions = actions
  }

  onNews(listener: () => void): () => void {
    return this.#news.on(this.#whole, listener)
  }

  find(n: number): Promise<ExecutionRecord | undefined> {
    const { type, id } = this.#nameOf(n)
    return this.#storage.find(type, id)
  }

  async live(): Promise<number[]> {
    const { type, id } = this.#whole
    const all = await this.#storage.live(this.#nameOf(0).type)
    return all.flatMap((record) => {
      const whole = wholeOf(record)
      return whole?.type === type && whole.id === id ? [whole.n] : []
    })
  }

  findEnded(record: ExecutionRecord): Promise<ExecutionRecord | undefined> {
    return findEnded(this.#storage, record)
  }

  start(n: number): Promise<void> {
    return this.#actions.start(this.#nameOf(n))
  }

  enqueue(record: ExecutionRecord): Promise<void> {
    return this.#actions.enqueue(record)
  }

  run(record: ExecutionRecord): Promise<void> {
    return this.#actions.run(record)
  }

  abort(n: number): Promise<void> {
    return this.#actions.abort(this.#nameOf(n))
  }

  async whole(): Promise<ExecutionRecord | undefined> {
    const { type, id } = this.#whole
    const whole = await this.#storage.find(type, id)
    this.#wholeId = whole?.executionId ?? this.#wholeId
    return whole
  }

  get wholeId(): string | undefined {
    return this.#wholeId
  }

  #nameOf(n: number): Name {
    return partOf(this.#whole, n)
  }
}
