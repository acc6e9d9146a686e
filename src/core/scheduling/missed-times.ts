import { errorMessages } from '../base/index.js'
import { type ExecutionRecord, type Job, lastTick, type Schedule } from '../model/index.js'
import type { Runtime } from '../runtime/index.js'
import type { CallLimiter } from './call-limiter.js'
import type { ScheduleLog } from './schedule-log.js'
import type { ScheduledStarts } from './scheduled-starts.js'

/** The maximum delay of a scheduled start, and the maximum lead of a clock, in milliseconds. */
export const leeway = 60_000

type UsedRuntime = Pick<Runtime, 'clock' | 'logger' | 'storage'>

interface Parts {
  readonly starts: ScheduledStarts
  readonly limiter: CallLimiter
  readonly log: ScheduleLog
  /** Whether the definition of the job was removed. */
  isRemoved(job: Job): boolean
}

/** Handles the scheduled times that came while no process was available. */
export class MissedTimes {
  readonly #runtime: UsedRuntime
  readonly #parts: Parts

  constructor(runtime: UsedRuntime, parts: Parts) {
    this.#runtime = runtime
    this.#parts = parts
  }

  /** Starts a job once for its latest missed time, if its schedule catches up, or logs that time. */
  handle(job: Job, schedule: Schedule): void {
    if (schedule.ifMissed === 'catchUp') void this.#catchUp(job, schedule)
    else this.#check(job, schedule)
  }

  async #catchUp(job: Job, schedule: Schedule): Promise<void> {
    const { limiter, starts } = this.#parts
    const last = await limiter.callUntilAnswered(job, () => this.#last(job))
    if (last?.scheduledFor === undefined) return
    const due = lastTick(schedule, this.#runtime.clock.now())
    if (due !== undefined && due > Math.max(last.scheduledFor, last.endTime ?? 0))
      await starts.start(job, schedule, due)
  }

  /** Another process may still handle a recent time. */
  #check(job: Job, schedule: Schedule): void {
    const { clock } = this.#runtime
    const now = clock.now()
    const [settled, latest] = [lastTick(schedule, now - leeway), lastTick(schedule, now)]
    if (settled !== undefined) void this.#logMissed(job, settled)
    if (latest === undefined || latest === settled) return
    clock.setTimer(latest + leeway - now, () => this.#logMissed(job, latest), { background: true })
  }

  async #logMissed(job: Job, due: number): Promise<void> {
    const { type, id } = job
    if (this.#parts.isRemoved(job)) return
    try {
      const last = await this.#parts.limiter.call(() => this.#last(job))
      if (last?.scheduledFor === undefined || Math.max(last.scheduledFor, last.endTime ?? due) >= due) return
      this.#parts.log.skipped(job, due, 'no process was available')
    } catch (error) {
      const message = `Could not check whether job [${type}/${id}] missed a scheduled time.`
      this.#runtime.logger.warn({ type, id, error: errorMessages(error) }, message)
    }
  }

  /** The live execution of a job, else its last one. */
  #last({ type, id }: Job): Promise<ExecutionRecord | undefined> {
    return this.#runtime.storage.find(type, id)
  }
}
