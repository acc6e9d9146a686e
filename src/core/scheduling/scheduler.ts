import { createAbortController, jobKey, type Timer } from '../base/index.js'
import type { ScheduleEngine } from '../dispatch/index.js'
import { type Job, lastTick, nextAfter, type Schedule } from '../model/index.js'
import type { Runtime } from '../runtime/index.js'
import { CallLimiter } from './call-limiter.js'
import { leeway, MissedTimes } from './missed-times.js'
import { ScheduleLog } from './schedule-log.js'
import { type OverdueSchedule, ScheduledStarts, type StartParts } from './scheduled-starts.js'

/** Maximum timer delay, in milliseconds. Clock changes are noticed within this time. */
const longestWait = 30_000

/** What a {@link Scheduler} uses of the registry. */
export type SchedulerRuntime = Pick<Runtime, 'clock' | 'logger' | 'lease' | 'storage'>

/** A job with an active schedule. */
interface Waiting {
  readonly job: Job
  readonly schedule: Schedule
  /** The first scheduled time that was neither handled nor skipped. */
  next: number
}

/**
 * Starts jobs on schedule, with timers that do not keep the process alive. Any number of processes may follow the schedule of a job,
 * as storage starts each time once. Of registries that share an engine and define different schedules, the one with the latest
 * definition continues, and the others yield.
 */
export class Scheduler {
  readonly #runtime: SchedulerRuntime
  readonly #engine: ScheduleEngine | undefined
  readonly #log: ScheduleLog
  readonly #starts: ScheduledStarts
  readonly #missed: MissedTimes
  readonly #waiting = new Map<string, Waiting>()
  /** The jobs whose schedules another registry follows. */
  readonly #yielded = new Set<string>()
  /** The definitions that were removed, whose starts may be under way. */
  readonly #removed = new WeakSet<Job>()
  readonly #stopped = createAbortController()
  #timer: Timer | undefined
  /** When the timer fires. */
  #wakesAt = Number.POSITIVE_INFINITY
  /** The last observed time of the clock. */
  #seen = 0

  constructor(runtime: SchedulerRuntime, engine: ScheduleEngine | undefined, parts: StartParts) {
    this.#runtime = runtime
    this.#engine = engine
    this.#log = new ScheduleLog(runtime)
    const log = this.#log
    const stopped = this.#stopped.signal
    const isRemoved = (job: Job) => this.#removed.has(job)
    const isFollowed = (job: Job) => !isRemoved(job) && !this.#yielded.has(jobKey(job))
    const limiter = new CallLimiter(runtime, stopped)
    this.#starts = new ScheduledStarts(runtime, { ...parts, limiter, log, isFollowed, stopped })
    this.#missed = new MissedTimes(runtime, { starts: this.#starts, limiter, log, isRemoved })
    parts.paused.onUnpaused((affects) => this.#catchUp(affects))
  }

  /** Follows the schedule of a job, if it has one, unless another registry has a newer one. */
  add(job: Job): void {
    const { type, id } = job
    const schedule = scheduleOf(job)
    if (schedule && !this.#stopped.signal.aborted) this.#follow(job, schedule)
    this.#engine?.set({ type, id }, job.schedule, (lastSeen) => this.#handleRival(job, lastSeen))
  }

  /** Follows the schedule of a job no more. Other registries follow theirs. */
  remove(job: Job): void {
    const { type, id } = job
    this.#engine?.remove({ type, id })
    const key = jobKey(job)
    this.#removed.add(job)
    this.#waiting.delete(key)
    this.#yielded.delete(key)
    this.#starts.forget(job)
  }

  /** Starts a job for a scheduled time that has come, or for the latest one since. Never rejects. */
  async tick(job: Job, time: number): Promise<void> {
    const schedule = scheduleOf(job)
    if (!schedule) return
    const now = this.#runtime.clock.now()
    const due = lastTick(schedule, Math.min(Math.max(time, now), now + leeway))
    if (due === undefined) return
    if (now - due > leeway && schedule.ifMissed !== 'catchUp') return this.#log.skipped(job, due, 'it was missed')
    await this.#starts.start(job, schedule, due, Math.min(time, due))
  }

  /** When a job starts next, in epoch milliseconds. `undefined` when it does not. */
  next(job: Job): number | undefined {
    const schedule = scheduleOf(job)
    if (!schedule) return undefined
    const now = this.#runtime.clock.now()
    const waiting = this.#waiting.get(jobKey(job))
    // A pattern takes 0.2 ms to parse: too long for a list of many jobs.
    const isKnown = waiting?.job === job && now >= this.#seen && now < waiting.next
    const next = isKnown ? waiting.next : nextAfter(schedule, now)
    return Number.isFinite(next) ? next : undefined
  }

  /** The schedules that are late by more than a minute. */
  get overdue(): OverdueSchedule[] {
    return this.#starts.startsBefore(this.#runtime.clock.now() - leeway)
  }

  /** Stops all schedules without waiting for a start in progress. */
  stop(): void {
    this.#stopped.abort()
    this.#timer?.cancel()
    this.#waiting.clear()
  }

  #follow(job: Job, schedule: Schedule): void {
    const now = this.#runtime.clock.now()
    const next = nextAfter(schedule, now)
    this.#waiting.set(jobKey(job), { job, schedule, next })
    this.#seen = Math.max(this.#seen, now)
    if (next < this.#wakesAt) this.#wakeAt(next)
    this.#missed.handle(job, schedule)
  }

  /** Yields a schedule to another registry or, when that has been gone since `lastSeen`, resumes it. */
  #handleRival(job: Job, lastSeen: number | undefined): void {
    const schedule = scheduleOf(job)
    if (!schedule || this.#removed.has(job) || this.#stopped.signal.aborted) return
    const key = jobKey(job)
    const isYielded = this.#yielded.has(key)
    if (lastSeen === undefined && !isYielded) {
      this.#yielded.add(key)
      this.#logFollowed(job, 'is not followed here: another registry has defined it differently since')
    } else if (lastSeen !== undefined && isYielded) {
      this.#yielded.delete(key)
      this.#logFollowed(job, 'is followed here again: the registry that defined it differently is gone')
      const first = nextAfter(schedule, lastSeen)
      if (first <= this.#runtime.clock.now()) void this.tick(job, first)
    }
  }

  #logFollowed({ type, id }: Job, what: string): void {
    this.#runtime.logger.info({ type, id }, `The schedule of job [${type}/${id}] ${what}.`)
  }

  /** Starts the jobs whose schedules catch up for the times that came while they were paused. */
  #catchUp(affects: (job: Job) => boolean): void {
    for (const { job, schedule } of this.#waiting.values()) {
      if (schedule.ifMissed === 'catchUp' && affects(job)) this.#missed.handle(job, schedule)
    }
  }

  #wakeAt(time: number): void {
    const { clock } = this.#runtime
    this.#timer?.cancel()
    this.#wakesAt = time
    const delay = Math.min(time - clock.now(), longestWait)
    this.#timer = clock.setTimer(delay, () => this.#wake(), { background: true })
  }

  #wake(): void {
    const now = this.#runtime.clock.now()
    // After a clock change, storage knows which of the repeated times were started.
    const isPutBack = now < this.#seen
    this.#seen = now
    let first = Number.POSITIVE_INFINITY
    for (const waiting of this.#waiting.values()) {
      const { job, schedule, next } = waiting
      if (now >= next) void this.tick(job, next)
      if (now >= next || isPutBack) waiting.next = nextAfter(schedule, now)
      first = Math.min(first, waiting.next)
    }
    this.#wakeAt(first)
  }
}

/** The schedule of a job, if it is enabled. */
function scheduleOf({ schedule }: Job): Schedule | undefined {
  return schedule?.enabled === false ? undefined : schedule
}
