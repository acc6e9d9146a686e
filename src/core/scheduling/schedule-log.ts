import { bounded, type Logger } from '../base/index.js'
import type { Job } from '../model/index.js'
import type { Runtime } from '../runtime/index.js'

/** Logs the scheduled times for which no job starts, at a bounded rate: thousands of jobs may have missed a time. */
export class ScheduleLog {
  readonly #info: Logger['info']

  constructor({ clock, logger }: Pick<Runtime, 'clock' | 'logger'>) {
    this.#info = bounded((details, message) => logger.info(details, message), clock)
  }

  skipped({ type, id }: Job, due: number, why: string): void {
    const scheduledFor = new Date(due).toISOString()
    this.#info({ type, id, scheduledFor }, `Job [${type}/${id}] skips a scheduled time: ${why}.`)
  }

  /** A job starts for the last of the times from `first` to `due`. */
  passed({ type, id }: Job, first: number, due: number): void {
    if (first >= due) return
    const details = { type, id, from: new Date(first).toISOString(), to: new Date(due).toISOString() }
    const why = 'they came before it could be started'
    this.#info(details, `Job [${type}/${id}] starts for the latest of several scheduled times: ${why}.`)
  }
}
