import type { RegistryHost } from './_host.js'
import type { Runner } from './_runner.js'
import { type ScheduledStart, Scheduler } from './_scheduler.js'
import type { Dispatcher } from './dispatcher.js'
import { errorMessages, isAlreadyRunning } from './errors.js'
import type { Job } from './job.js'
import type { ExecutionRecord } from './storage.js'

/** What {@link Schedules} need of the registry. */
export interface SchedulesHost extends RegistryHost {
  readonly dispatcher: Dispatcher
  readonly runner: Pick<Runner, 'start'>
  /** Resolves with an execution, in any process, when it has ended. */
  ended(record: ExecutionRecord): Promise<ExecutionRecord>
}

/** Who keeps the schedules of jobs: timers here, or the engine of a dispatcher that has schedulers of its own. */
export class Schedules {
  readonly #host: SchedulesHost
  readonly #scheduler: Scheduler
  #isStopped = false

  constructor(host: SchedulesHost) {
    const { clock, logger, lease, storage, ended } = host
    this.#host = host
    this.#scheduler = new Scheduler({
      clock,
      logger,
      lease,
      ended,
      startFor: (job, time) => this.#startFor(job, time),
      last: ({ type, id }) => storage.find(type, id),
    })
  }

  /** Keeps the schedule of a job, if it has one. */
  add(job: Job): void {
    const { dispatcher, logger } = this.#host
    const { type, id, schedule } = job
    if (!schedule) return
    if (dispatcher.schedule) void this.#scheduler.catchUp(job)
    else this.#scheduler.add(job)
    dispatcher.schedule?.({ type, id }, schedule).catch((error) => {
      logger.warn({ type, id, error: errorMessages(error) }, `Job [${type}/${id}] is put on its schedule later.`)
    })
  }

  /** The engine tells of a time of the schedule of a job: tells whether the job has one here. */
  async tick(job: Job | undefined, time: number): Promise<boolean> {
    if (!job?.schedule || this.#isStopped) return false
    await this.#scheduler.tick(job, time)
    return true
  }

  /** When a job starts by itself the next time, in epoch milliseconds. */
  next(job: Job): number | undefined {
    return this.#scheduler.next(job)
  }

  /** Starts nothing any more. */
  stop(): void {
    this.#isStopped = true
    this.#scheduler.stop()
  }

  async #startFor(job: Job, scheduledFor: number): Promise<ScheduledStart> {
    if (this.#isStopped) return 'taken'
    try {
      await this.#host.runner.start(job, { scheduledFor })
      return 'started'
    } catch (error) {
      if (!isAlreadyRunning(error)) throw error
      const inTheWay = await this.#host.storage.find(job.type, job.id)
      const isTaken = !inTheWay || (inTheWay.scheduledFor ?? Number.NEGATIVE_INFINITY) >= scheduledFor
      return isTaken ? 'taken' : inTheWay
    }
  }
}
