import PQueue from 'p-queue'
import {
  checkDone,
  createAbortController,
  errorMessages,
  JobError,
  jobKey,
  Poller,
  retry,
  sleep,
  warnOf,
  withTimeout,
} from '../base/index.js'
import { canTakeOver, isResumed, type JobCatalog, type LibraryJob } from '../execution/index.js'
import {
  type EndedStatus,
  type ExecutionRecord,
  endHandlersOf,
  hasEndHandler,
  isEnded,
  toStatus,
} from '../model/index.js'
import type { Runtime } from '../runtime/index.js'
import type { JobName, OpenEnds } from '../storage/index.js'
import { EndMemory } from './end-memory.js'
import { EndOutages } from './end-outages.js'

/** How many times per lease to poll for ends of processes that died. */
const pollsPerLease = 3

/** How often to look at the ends of all jobs, also of those that this process does not define, in milliseconds. */
const fullInterval = 3_600_000

/** How many handlers are called at once. */
const callsAtOnce = 16

/**
 * How many ends are claimed by one statement, how many statements a poll runs at most, as other processes want some too, and how many
 * jobs a statement leaves out.
 */
const page = { size: 100, max: 10, exceptions: 1000 }

/** How long an end is kept for a handler that fails, or a job that no process defines, in days. */
const maxDays = 7
const day = 24 * 3_600_000
const maxAge = maxDays * day

/** How long to wait until an orphan is resumed, such as of a paused job. Leaves the handlers a day, in which they may fail. */
const maxWait = maxAge - day

/** An end that this process may notify until its claim expires. */
interface ClaimedEnd {
  readonly job: LibraryJob
  readonly record: ExecutionRecord
  /** When the claim expires, by the clock of this process. */
  readonly until: number
}

/**
 * Calls `onEnd`. Storage lists the ends with an open notification. A process claims some, calls the handlers of the jobs that it
 * defines, and settles them. What it does not settle in time, another process claims.
 */
export class EndNotifier {
  readonly #runtime: Runtime
  readonly #jobs: JobCatalog
  readonly #poller: Poller
  readonly #calls = new PQueue({ concurrency: callsAtOnce })
  readonly #outages: EndOutages
  readonly #memory = new EndMemory()
  readonly #tasks = new Set<Promise<void>>()
  /** Jobs with open ends that this process does not define: another process may do so. */
  readonly #foreign = new Map<string, JobName>()
  /** Aborts when nothing is retried any more. */
  readonly #finishing = createAbortController()
  /** Aborts the calls. */
  readonly #stopped = createAbortController()
  #ends: OpenEnds | undefined
  #settledAt = Number.NEGATIVE_INFINITY
  #lookedAt = Number.NEGATIVE_INFINITY
  #hasMore = false

  constructor(runtime: Runtime, jobs: JobCatalog) {
    const { clock, lease, logger, events } = runtime
    this.#runtime = runtime
    this.#jobs = jobs
    this.#outages = new EndOutages(clock)
    this.#poller = new Poller({
      clock,
      interval: lease / pollsPerLease,
      poll: () => this.#poll(),
      onFailed: (error) => logger.warn({ error: errorMessages(error) }, 'Could not poll for ends to notify.'),
    })
    // The end may be claimed as soon as storage holds it.
    events.on('ending', (record, cause) => this.#remember(record, cause))
    events.on('changed', (record, _, cause) => this.#handleChange(record, cause))
  }

  /** Notifies of the ends that `ends` lists, from now on. */
  start(ends: OpenEnds): void {
    this.#ends = ends
    this.#poller.start()
  }

  /** Notifies of what has ended, once, and retries nothing. */
  async finish(): Promise<void> {
    this.#poller.stop()
    this.#finishing.abort()
    try {
      if (this.#ends && this.#memory.size > 0) await this.#claim(this.#ends)
    } catch (error) {
      const message = 'Could not notify of the last ends. Another process does, or this one when it starts again.'
      this.#runtime.logger.warn({ error: errorMessages(error) }, message)
    }
    await Promise.all(this.#tasks)
  }

  /** Aborts the calls that have not returned. */
  stop(): void {
    this.#poller.stop()
    this.#finishing.abort()
    this.#stopped.abort(new JobError('closed', 'The registry is closed.'))
  }

  get #clock() {
    return this.#runtime.clock
  }

  #handleChange(record: ExecutionRecord, cause: unknown): void {
    if (!this.#ends || !record.notifiesEnd || !isEnded(record.state)) return
    this.#remember(record, cause)
    this.#poller.nudge()
  }

  #remember(record: ExecutionRecord, cause: unknown): void {
    if (this.#ends && record.notifiesEnd) this.#memory.add(record.executionId, this.#jobs.forExecution(record), cause)
  }

  async #poll(): Promise<void> {
    const { storage, lease } = this.#runtime
    const now = this.#clock.now()
    // Settles the executions whose process died, also when no process polls for orphans.
    if (now - this.#settledAt >= lease / pollsPerLease) {
      await storage.orphans({ size: 1, includePartitions: true })
      this.#settledAt = now
    }
    if (now - this.#lookedAt >= fullInterval) {
      this.#foreign.clear()
      this.#lookedAt = now
    }
    for (let pages = 0; pages < page.max && this.#ends && this.#calls.size === 0; pages++) {
      if ((await this.#claim(this.#ends)) < page.size) return
    }
    this.#hasMore = true
  }

  /** Claims ends and begins to notify. Returns how many it has claimed. */
  async #claim(ends: OpenEnds): Promise<number> {
    const { node, lease, onEndTimeout } = this.#runtime
    const duration = 2 * onEndTimeout + lease
    const until = this.#clock.now() + duration
    const except = this.#exceptions()
    const claimed = await ends.claim({ node, lease: duration, size: page.size, ...(except.length > 0 && { except }) })
    for (const record of claimed) this.#track(this.#handle(record, until))
    return claimed.length
  }

  /** The jobs whose ends are left to other processes, or to a later time. */
  #exceptions(): JobName[] {
    const foreign = [...this.#foreign.values()].filter((job) => !this.#isNotifiedHere(job))
    return [...foreign, ...this.#outages.jobs].slice(0, page.exceptions)
  }

  #isNotifiedHere(name: JobName, job = this.#jobs.forExecution(name)): boolean {
    return job !== undefined && hasEndHandler(job, this.#runtime)
  }

  #track(task: Promise<void>): void {
    const tracked = task.finally(() => {
      this.#tasks.delete(tracked)
      if (!this.#hasMore || this.#calls.size > 0) return
      this.#hasMore = false
      this.#poller.nudge()
    })
    this.#tasks.add(tracked)
  }

  /** Never rejects. */
  async #handle(record: ExecutionRecord, until: number): Promise<void> {
    try {
      const job = this.#jobs.forExecution(record) ?? this.#memory.get(record.executionId).job
      const fate = await this.#fateOf(record, job)
      if (fate === 'none') await this.#settle(record)
      else if (this.#ageOf(record) > maxAge) await this.#drop(record)
      else if (fate === 'due' && job) await this.#notify({ job, record, until })
    } catch (error) {
      warnOf(this.#runtime.logger, record, error, 'has ended, of which no `onEnd` could be notified yet')
    }
  }

  /** Whether to notify of an end: it is due, nobody wants it, or it is left to another process or a later time. */
  async #fateOf(record: ExecutionRecord, job: LibraryJob | undefined): Promise<'due' | 'none' | 'left'> {
    if (record.partition !== undefined) return 'none'
    if (!job || !this.#isNotifiedHere(record, job)) {
      const { type, id } = record
      if (this.#foreign.size < page.exceptions) this.#foreign.set(jobKey(record), { type, id })
      return 'left'
    }
    if (!canTakeOver(job, record)) return 'due'
    const { storage } = this.#runtime
    const last = await storage.find(record.type, record.id)
    if (!last || last.executionId === record.executionId) return this.#ageOf(record) > maxWait ? 'due' : 'left'
    return (await isResumed(storage, record, last)) ? 'none' : 'due'
  }

  /** How long ago an execution ended, in milliseconds. */
  #ageOf({ endTime = 0 }: ExecutionRecord): number {
    return this.#clock.now() - endTime
  }

  /** Calls the handlers until they succeed, or the claim does not last for another call. */
  async #notify(end: ClaimedEnd): Promise<void> {
    const key = jobKey(end.record)
    if (this.#outages.isProbed(key)) return
    let isProbe = this.#outages.probe(key)
    try {
      for (;;) {
        const wait = this.#outages.delayOf(key)
        if (this.#clock.now() + wait + this.#runtime.onEndTimeout > end.until) return
        if (wait > 0) await sleep(this.#clock, wait, this.#finishing.signal, { background: true })
        if (wait > 0 && this.#finishing.signal.aborted) return
        const outcome = await this.#calls.add(() => this.#call(end))
        if (outcome === 'done') {
          this.#outages.end(key)
          return await this.#settle(end.record)
        }
        if (outcome !== 'failed' || (!isProbe && this.#outages.isProbed(key))) return
        isProbe ||= this.#outages.probe(key)
      }
    } finally {
      if (isProbe) this.#outages.release(key)
    }
  }

  /** Calls the handlers that have not succeeded before, at once. */
  async #call({ job, record, until }: ClaimedEnd): Promise<'done' | 'failed' | 'late'> {
    if (this.#stopped.signal.aborted || this.#clock.now() + this.#runtime.onEndTimeout > until) return 'late'
    const memory = this.#memory.get(record.executionId)
    const open = endHandlersOf(job, this.#runtime).filter(({ of }) => !memory.done.has(of))
    const results = await Promise.allSettled(
      open.map(async ({ of, call }) => {
        const cause = memory.cause !== undefined && { cause: memory.cause }
        await this.#callInTime(async (signal) => {
          const answer = await call(toStatus(record) as EndedStatus, { signal, ...cause })
          checkDone('invalid_options', `\`onEnd\` of the ${of}`, answer)
        })
        memory.done.add(of)
      }),
    )
    const errors = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []))
    if (errors.length === 0) return 'done'
    const delay = this.#outages.begin(record)
    const error = errors.length === 1 ? errors[0] : new AggregateError(errors, 'Both `onEnd` failed.')
    warnOf(this.#runtime.logger, record, error, `has ended, and \`onEnd\` failed. It is called again after ${delay} ms`)
    return 'failed'
  }

  /** Calls a handler and rejects when it does not return in time. */
  async #callInTime(call: (signal: AbortSignal) => unknown): Promise<void> {
    const { onEndTimeout } = this.#runtime
    const given = createAbortController()
    const { signal: stopped } = this.#stopped
    const called = Promise.resolve().then(async () => {
      await call(given.signal)
      return true
    })
    if (await withTimeout(this.#clock, onEndTimeout, called, undefined, stopped)) return
    const late = new JobError('timeout', `\`onEnd\` took longer than ${onEndTimeout} ms.`)
    given.abort(stopped.aborted ? stopped.reason : late)
    throw given.signal.reason
  }

  async #drop(record: ExecutionRecord): Promise<void> {
    const { type, id, executionId } = record
    const message = `Job [${type}/${id}] has ended, and no \`onEnd\` could be notified within ${maxDays} days.`
    this.#runtime.logger.warn({ type, id, executionId }, message)
    await this.#settle(record)
  }

  /** Marks the notification as done, with retries, so that nobody repeats it. */
  async #settle(record: ExecutionRecord): Promise<void> {
    const { logger, lease } = this.#runtime
    await retry(async () => this.#ends?.settle(record.executionId), {
      clock: this.#clock,
      lease,
      abandoned: this.#stopped.signal,
      isHopeless: () => this.#finishing.signal.aborted,
      background: true,
      onFailed: (error, delay) =>
        warnOf(logger, record, error, `could not store that \`onEnd\` was called, retrying in ${delay} ms`),
    })
    this.#memory.settle(record.executionId)
  }
}
