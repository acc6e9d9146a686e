import type { Progress } from '../model/index.js'
import type { LogTail } from './log-tail.js'

/** The progress that a job has reported and the lines that it logged, and which of it remains to be saved. */
export class ProgressBuffer {
  readonly #log: LogTail
  #reported: Progress = {}
  #unsaved: Progress | undefined

  constructor(log: LogTail) {
    this.#log = log
  }

  /** Everything that the job has reported. */
  get reported(): Progress {
    return this.#reported
  }

  /** Whether progress remains to be saved. */
  get hasUnsaved(): boolean {
    return this.#unsaved !== undefined
  }

  /** Whether progress or lines remain to be saved. */
  get hasUnsavedWork(): boolean {
    return this.hasUnsaved || this.#log.isUnsaved
  }

  add(progress: Progress): void {
    this.#reported = { ...this.#reported, ...progress }
    this.#unsaved = { ...this.#unsaved, ...progress }
  }

  /** Takes what remains to be saved. */
  take(): Progress | undefined {
    const progress = this.#log.isUnsaved ? { ...this.#unsaved, logTail: this.#log.take() } : this.#unsaved
    this.#unsaved = undefined
    return progress
  }

  /** Puts back what could not be saved. Later reports prevail. */
  putBack(progress: Progress | undefined): void {
    this.#unsaved = { ...progress, ...this.#unsaved }
  }
}
