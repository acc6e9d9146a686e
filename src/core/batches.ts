import { isolate } from './_isolate.js'

/** What a job says of a batch that it is done with. */
export interface BatchDone {
  /** How many records it had. */
  records: number
  /** How long it took from when it was there until it was written, in milliseconds. */
  duration: number
}

/** A batch that a job of this registry is done with. */
export interface BatchEvent extends BatchDone {
  /** The job's type. */
  type: string
  /** The job's id. */
  id: string
  /** The id of the execution in the log. */
  executionId: string
}

/** A function that hears of batches. What it throws or rejects with is logged and hurts nobody. */
export type BatchListener = (batch: BatchEvent) => unknown

/** Those who listen to batches, each isolated from the others and from the job. */
export class BatchListeners {
  readonly #listeners = new Set<BatchListener>()
  readonly #report: (error: unknown, batch: BatchEvent) => void

  constructor(report: (error: unknown, batch: BatchEvent) => void) {
    this.#report = report
  }

  /** Adds a listener. Gives the function that takes it off. */
  add(listener: BatchListener): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Tells of a batch. Never throws. */
  tell(batch: BatchEvent): void {
    for (const listener of this.#listeners) {
      isolate(
        () => listener(batch),
        (error) => this.#report(error, batch),
      )
    }
  }
}
