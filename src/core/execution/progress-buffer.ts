import type { Progress } from '../model/index.js'

/** The progress that a job has reported, and which of it remains to be saved. */
export class ProgressBuffer {
  #reported: Progress = {}
  #unsaved: Progress | undefined

  /** Everything that the job has reported. */
  get reported(): Progress {
    return this.#reported
  }

  /** What remains to be saved. */
  get unsaved(): Progress | undefined {
    return this.#unsaved
  }

  add(progress: Progress): void {
    this.#reported = { ...this.#reported, ...progress }
    this.#unsaved = { ...this.#unsaved, ...progress }
  }

  /** Takes what remains to be saved. */
  take(): Progress | undefined {
    const progress = this.#unsaved
    this.#unsaved = undefined
    return progress
  }

  /** Puts back what could not be saved. Later reports prevail. */
  putBack(progress: Progress | undefined): void {
    this.#unsaved = { ...progress, ...this.#unsaved }
  }
}
