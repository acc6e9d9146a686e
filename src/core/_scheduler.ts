import PQueue from 'p-queue'
import { retry } from './_retry.js'
import { startsAtOnce } from './_start-gate.js'
import { createAbortController } from './abort.js'
import type { Clock, Timer } from './clock.js'
import { errorMessages } from './errors.js'
import { jobKey } from './ids.js'
import type { Job } from './job.js'
import type { Logger } from './logger.js'
import { lastTick, nextTick, type Schedule } from './schedule.js'
import type { ExecutionRecord } from './storage.js'

/** What became of a start for a time of a schedule: `taken` when that time, or a later one, was begun by anybody. */
export type ScheduledStart = 'started' | 'taken' | ExecutionRecord

/** What a {@link Scheduler} needs of the registry. */
export interface SchedulerHost {
  readonly clock: Clock
  readonly logger: Logger
  /** How long a lease holds, in milliseconds. */
  readonly lease: number
  /** Starts a job for a time of its schedule, or gives the live execution that stands in the way. */
  startFor(job: Job, scheduledFor: number): Promise<ScheduledStart>
  /** The live execution of a job, else its last one. */
  last(job: Job): Promise<ExecutionRecord | undefined>
  /** Resolves when an execution has ended, or the registry closes. */
  ended(record: ExecutionRecord): Promise<unknown>
}

/** How late a time may be handled, and how early be told of by somebody's clock, in milliseconds. */
const leeway = 60_000

/** The longest wait, in milliseconds: a clock that was put forward or back is noticed within it. */
const longestWait = 30_000

/** A job whose times are waited for. */
interface Waiting {
  readonly job: Job
  readonly schedule: Schedule
  /** The first of its times that was neither handled nor let pass. */
  next: number
}

/** A start that is under way: of one job there is one at most, which itself sees to the times that come meanwhile. */
interface Start {
  /** The latest time that was asked for. */
  asked: number
  /** The first time that was neither begun nor skipped. */
  first: number
  done: Promise<void>
}

/**
 * Starts jobs at the times of their schedules. Storage decides who does: a time is begun once at most, so any number of
 * processes may handle the same one, late and more than once. Nothing here keeps a process alive.
 */
export class Scheduler {
  readonly #host: SchedulerHost
  readonly #waiting = new Map<string, Waiting>()
  readonly #starts = new Map<string, Start>()
  /** Thousands of jobs may be due at once. */
  readonly #asks = new PQueue({ concurrency: startsAtOnce })
  readonly #stopped = createAbortController()
  #timer: Timer | undefined
  /** When the timer is to fire. */
  #wakesAt = Number.POSITIVE_INFINITY
  /** The last time that the clock was seen to show. */
  #seen = 0

  constructor(host: SchedulerHost) {
    this.#host = host
  }

  /** Waits for the times of a job from now on, and catches up on those that were missed, if it is to. */
  add(job: Job): void {
    const schedule = scheduleOf(job)
    if (!schedule || this.#stopped.signal.aborted) return
    const now = this.#host.clock.now()
    const next = nextAfter(schedule, now)
    this.#waiting.set(jobKey(job), { job, schedule, next })
    this.#seen = Math.max(this.#seen, now)
    if (next < this.#wakesAt) this.#wakeAt(next)
    void this.catchUp(job)
  }

  /** Starts a job, if it is to catch up and missed a time: once, for the last of them. Never rejects. */
  async catchUp(job: Job): Promise<void> {
    const schedule = scheduleOf(job)
    if (schedule?.ifMissed !== 'catchUp') return
    const last = await this.#ask(job, () => this.#host.last(job))
    if (last?.scheduledFor === undefined) return
    const due = lastTick(schedule, this.#host.clock.now())
    if (due !== undefined && due > Math.max(last.scheduledFor, last.endTime ?? 0)) await this.#start(job, schedule, due)
  }

  /** Sees to the times of a job that nobody may have seen to since `since`, as `tick` does. Never rejects. */
  async takeUp(job: Job, since: number): Promise<void> {
    const schedule = scheduleOf(job)
    const first = schedule && nextTick(schedule, since)
    if (first !== undefined && first <= this.#host.clock.now()) await this.tick(job, first)
  }

  /**
   * Starts a job for a time of its schedule that has come, or for the last one that has come since. Resolves when that was
   * done, or need not be: with `runAfter`, when the execution that is in the way has ended. Never rejects.
   */
  async tick(job: Job, time: number): Promise<void> {
    const schedule = scheduleOf(job)
    if (!schedule) return
    const now = this.#host.clock.now()
    const due = lastTick(schedule, Math.min(Math.max(time, now), now + leeway))
    if (due === undefined) return
    if (now - due > leeway && schedule.ifMissed !== 'catchUp') return this.#tellSkipped(job, due, 'it was missed')
    await this.#start(job, schedule, due, Math.min(time, due))
  }

  /** When a job starts by itself the next time, in epoch milliseconds: `undefined` when it does not. */
  next(job: Job): number | undefined {
    const schedule = scheduleOf(job)
    return schedule && nextTick(schedule, this.#host.clock.now())
  }

  /** Starts nothing any more. Does not wait for a start that is under way. */
  stop(): void {
    this.#stopped.abort()
    this.#timer?.cancel()
    this.#waiting.clear()
  }

  #wakeAt(time: number): void {
    const { clock } = this.#host
    this.#timer?.cancel()
    this.#wakesAt = time
    const delay = Math.min(time - clock.now(), longestWait)
    this.#timer = clock.setTimer(delay, () => this.#wake(), { background: true })
  }

  #wake(): void {
    const now = this.#host.clock.now()
    // Storage knows which of the times that come again were begun.
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

  /** Starts a job, or has the start that is under way see to it. */
  #start(job: Job, schedule: Schedule, due: number, first = due): Promise<void> {
    const key = jobKey(job)
    const underWay = this.#starts.get(key)
    if (underWay) {
      underWay.asked = Math.max(underWay.asked, due)
      return underWay.done
    }
    const start = { asked: due, first, done: Promise.resolve() }
    this.#starts.set(key, start)
    start.done = this.#startNow(job, schedule, start)
    return start.done
  }

  async #startNow(job: Job, schedule: Schedule, start: Start): Promise<void> {
    const latest = () => Math.max(start.asked, lastTick(schedule, this.#host.clock.now()) ?? 0)
    let due: number
    do {
      due = latest()
      const found = await this.#ask(job, () => {
        due = latest()
        return this.#host.startFor(job, due)
      })
      if (found === 'started') this.#tellPassed(job, start.first, due)
      if (typeof found === 'object') {
        if (schedule.ifRunning !== 'runAfter') this.#tellSkipped(job, due, 'the job is running')
        else {
          await this.#host.ended(found)
          due = Number.NEGATIVE_INFINITY
        }
      }
      if (due >= start.first) start.first = nextAfter(schedule, due)
    } while (!this.#stopped.signal.aborted && latest() > due)
    this.#starts.delete(jobKey(job))
  }

  /** Asks storage until it answers, for few jobs at a time: `undefined` when this was stopped before. */
  async #ask<Answer>(job: Job, ask: () => Promise<Answer>): Promise<Answer | undefined> {
    const { clock, lease, logger } = this.#host
    const { signal: abandoned } = this.#stopped
    const askInTurn = () => this.#asks.add(async () => (abandoned.aborted ? undefined : ask()))
    const { type, id } = job
    const failed = (error: unknown, delay: number) =>
      logger.warn(
        { type, id, error: errorMessages(error) },
        `The schedule of job [${type}/${id}] could not reach storage, trying again in ${delay} ms.`,
      )
    return retry(askInTurn, { clock, lease, abandoned, isHopeless: () => abandoned.aborted, background: true, failed })
  }

  #tellPassed({ type, id }: Job, first: number, due: number): void {
    if (first >= due) return
    const details = { type, id, from: new Date(first).toISOString(), to: new Date(due).toISOString() }
    const why = 'they came before it could be started'
    this.#host.logger.info(details, `Job [${type}/${id}] starts for the last of several times of its schedule: ${why}.`)
  }

  #tellSkipped({ type, id }: Job, due: number, why: string): void {
    const scheduledFor = new Date(due).toISOString()
    this.#host.logger.info({ type, id, scheduledFor }, `Job [${type}/${id}] skips a time of its schedule: ${why}.`)
  }
}

/** The schedule of a job, if it is enabled. */
function scheduleOf({ schedule }: Job): Schedule | undefined {
  return schedule?.enabled === false ? undefined : schedule
}

function nextAfter(schedule: Schedule, time: number): number {
  return nextTick(schedule, time) ?? Number.POSITIVE_INFINITY
}
