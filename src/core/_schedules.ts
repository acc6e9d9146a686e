import type { RegistryHost } from './_host.js'
import type { Runner } from './_runner.js'
import { type ScheduledStart, Scheduler } from './_scheduler.js'
import type { Dispatcher } from './dispatcher.js'
import { isAlreadyRunning } from './errors.js'
import { jobKey } from './ids.js'
import type { Job } from './job.js'
import type { ExecutionRecord } from './storage.js'

/** What {@link Schedules} need of the registry. */
export interface SchedulesHost extends RegistryHost {
  readonly dispatcher: Dispatcher
  readonly runner: Pick<Runner, 'start'>
  /** Resolves with an execution, in any process, when it has ended. */
  ended(record: ExecutionRecord): Promise<ExecutionRecord>
}

/**
 * Starts jobs at the times of their schedules, by timers of this registry: storage lets each time be begun once. Of
 * registries that share a dispatcher and define a schedule differently, the one that did last goes on, and the others yield.
 */
export class Schedules {
  readonly #host: SchedulesHost
  readonly #scheduler: Scheduler
  /** The jobs whose times are left to another registry. */
  readonly #yielded = new Set<string>()
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
    const { type, id, schedule } = job
    if (schedule) this.#scheduler.add(job)
    this.#host.dispatcher.schedule?.({ type, id }, schedule)
  }

  /** Leaves the times of a job to another registry, or, when that is gone since `lastSeen`, sees to them again. */
  yield(job: Job | undefined, lastSeen: number | undefined): void {
    if (!job?.schedule || job.schedule.enabled === false || this.#isStopped) return
    const { type, id } = job
    const key = jobKey(job)
    const isYielded = this.#yielded.has(key)
    if (lastSeen === undefined && !isYielded) {
      this.#yielded.add(key)
      const why = 'another registry has defined it differently since'
      this.#host.logger.info({ type, id }, `The schedule of job [${type}/${id}] is not followed here: ${why}.`)
    } else if (lastSeen !== undefined && isYielded) {
      this.#yielded.delete(key)
      const why = 'the registry that defined it differently is gone'
      this.#host.logger.info({ type, id }, `The schedule of job [${type}/${id}] is followed here again: ${why}.`)
      void this.#scheduler.takeUp(job, lastSeen)
    }
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
    if (this.#isStopped || this.#yielded.has(jobKey(job))) return 'taken'
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
