import { isAlreadyRunning, jobKey } from '../base/index.js'
import type { CompletionWaiter, PausedJobs, Runner } from '../execution/index.js'
import { type ExecutionRecord, type Job, lastTick, nextAfter, type Schedule } from '../model/index.js'
import type { Runtime } from '../runtime/index.js'
import type { CallLimiter } from './call-limiter.js'
import type { ScheduleLog } from './schedule-log.js'

/** The parts of a registry that start jobs and see them end. */
export interface StartParts {
  readonly runner: Pick<Runner, 'start'>
  readonly completions: Pick<CompletionWaiter, 'whenEnded'>
  readonly paused: Pick<PausedJobs, 'pending' | 'of' | 'onUnpaused'>
}

/** The parts of a scheduler that {@link ScheduledStarts} use. */
interface SchedulerParts {
  readonly limiter: CallLimiter
  readonly log: ScheduleLog
  /** Whether this registry follows the schedule of a job: it is still defined, and no other registry follows another schedule. */
  isFollowed(job: Job): boolean
  readonly stopped: AbortSignal
}

/** A schedule whose job should have started, and did not. */
export interface OverdueSchedule {
  /** The job's type. */
  type: string
  /** The job's id. */
  id: string
  /** The first scheduled time without a start, in epoch milliseconds. */
  since: number
}

/** The result of a start. `taken`: any node has started this time or a later one, or this one need not. */
type Result = 'started' | 'taken' | 'paused' | ExecutionRecord

/** A start in progress. A job has at most one, which also handles times that come in the meantime. */
interface Start {
  readonly job: Job
  /** The latest requested time. */
  asked: number
  /** The first time that was neither started nor skipped. */
  first: number
  done: Promise<void>
}

/** Starts jobs for scheduled times. Storage starts each time at most once, so a time may be handled late and repeatedly. */
export class ScheduledStarts {
  readonly #runtime: Pick<Runtime, 'clock' | 'storage'>
  readonly #parts: StartParts & SchedulerParts
  readonly #starts = new Map<string, Start>()

  constructor(runtime: Pick<Runtime, 'clock' | 'storage'>, parts: StartParts & SchedulerParts) {
    this.#runtime = runtime
    this.#parts = parts
  }

  /**
   * Starts a job for the times from `first` to `due`, or leaves them to its start in progress. Resolves when that is done or not
   * needed: with `runAfter`, when the live execution has ended. Never rejects.
   */
  start(job: Job, schedule: Schedule, due: number, first = due): Promise<void> {
    const key = jobKey(job)
    const inProgress = this.#starts.get(key)
    // The start of a definition that was removed since ends by itself.
    if (inProgress?.job === job) {
      inProgress.asked = Math.max(inProgress.asked, due)
      return inProgress.done
    }
    const start = { job, asked: due, first, done: Promise.resolve() }
    this.#starts.set(key, start)
    start.done = this.#run(job, schedule, start)
    return start.done
  }

  /** The jobs whose scheduled time came before `time` and that are not started yet, with that time. */
  startsBefore(time: number): OverdueSchedule[] {
    const late = [...this.#starts.values()].filter(({ first }) => first < time)
    return late.map(({ job: { type, id }, first }) => ({ type, id, since: first }))
  }

  /** Forgets the start in progress of a job, which ends by itself. */
  forget(job: Job): void {
    this.#starts.delete(jobKey(job))
  }

  async #run(job: Job, schedule: Schedule, start: Start): Promise<void> {
    const { limiter, completions, log, stopped } = this.#parts
    const latest = () => Math.max(start.asked, lastTick(schedule, this.#runtime.clock.now()) ?? 0)
    let due: number
    do {
      due = latest()
      const result = await limiter.callUntilAnswered(job, () => {
        due = latest()
        return this.#startFor(job, schedule, due)
      })
      if (result === undefined && !stopped.aborted) log.skipped(job, due, 'the storage cannot be used')
      if (result === 'started') log.passed(job, start.first, due)
      if (result === 'paused') log.skipped(job, due, 'the job is paused')
      if (typeof result === 'object') {
        if (schedule.ifRunning !== 'runAfter') log.skipped(job, due, 'the job is running')
        else {
          await completions.whenEnded(result)
          due = Number.NEGATIVE_INFINITY
        }
      }
      if (due >= start.first) start.first = nextAfter(schedule, due)
    } while (!stopped.aborted && latest() > due)
    if (this.#starts.get(jobKey(job)) === start) this.#starts.delete(jobKey(job))
  }

  /** Starts a job for a scheduled time, or returns the live execution that prevents it. */
  async #startFor(job: Job, { params }: Schedule, scheduledFor: number): Promise<Result> {
    const { paused, runner } = this.#parts
    if (!this.#parts.isFollowed(job)) return 'taken'
    const { pending } = paused
    if (pending) await pending
    if (paused.of(job)) return 'paused'
    try {
      await runner.start(job, { scheduledFor, ...(params && { params: { ...params } }) })
      return 'started'
    } catch (error) {
      if (!isAlreadyRunning(error)) throw error
      const live = await this.#runtime.storage.find(job.type, job.id)
      const isTaken = !live || (live.scheduledFor ?? Number.NEGATIVE_INFINITY) >= scheduledFor
      return isTaken ? 'taken' : live
    }
  }
}
