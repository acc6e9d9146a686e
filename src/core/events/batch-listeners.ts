import { isolate } from '../base/index.js'
import type { BatchDone } from '../model/index.js'

/** A batch that a job of this registry has written. */
export interface BatchEvent extends BatchDone {
  /** The job's type. */
  type: string
  /** The job's id. */
  id: string
  /** The id of the execution in the log. */
  executionId: string
}

/** A listener to batches. Its errors and rejections are logged and do not affect the job. */
export type BatchListener = (batch: BatchEvent) => unknown

/** The listeners to batches, isolated from each other and from the job. */
export class BatchListeners {
  readonly #listeners = new Set<BatchListener>()
  readonly #report: (error: unknown, batch: BatchEvent) => void

  constructor(report: (error: unknown, batch: BatchEvent) => void) {
    this.#report = report
  }

  /** Adds a listener. Returns a function that removes it. */
  add(listener: BatchListener): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Calls every listener. Never throws. */
  emit(batch: BatchEvent): void {
    for (const listener of this.#listeners) {
      isolate(
        () => listener(batch),
        (error) => this.#report(error, batch),
      )
    }
  }
}
