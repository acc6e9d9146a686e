import { setImmediate, setTimeout } from 'node:timers/promises'
import type { Job, Queue, Worker } from 'bullmq'
import { type AddOptions, isTransient, JobError, maxPriority, type WaitingExecution } from '../../adapter.js'
import { backendOf } from './backend.js'
import { type Connect, disconnect, onReady, readJobs, reasonOf, sharedOptions, waitBriefly } from './connect.js'
import { Fairness } from './fairness.js'
import { removeLostJobs } from './lost-jobs.js'
import { type HeldSlot, LostSlots } from './lost-slots.js'
import {
  claimAnyJob,
  entryName,
  keyOf,
  mayBeExecution,
  type QueueEntry,
  toQueueEntry,
  toWaitingExecution,
} from './queue-entry.js'
import { placeOf } from './server-place.js'
import { throttleIdlePolling } from './throttled-backend.js'
import { removeUnreadable } from './unreadable-jobs.js'

/** The options of a {@link BullmqQueue}. */
export interface BullmqQueueOptions extends Connect {
  readonly name: string
  /** How many executions hold a slot at once, in all processes. Default: no limit. */
  readonly limit?: number | undefined
  /** How many executions hold a slot at once in this process. Default: no limit. */
  readonly concurrency?: number | undefined
  /**
   * Whether it is a gate to another queue. An execution whose process closes keeps its slot in the gate, and so comes
   * before all others.
   */
  readonly isGate?: boolean
  /** Dispatches an execution. Resolves with whether it is done. If not, it is queued again. */
  dispatch(waiting: WaitingExecution, closing: AbortSignal): Promise<boolean>
  /** Called after slots of this process, which the engine had lost, were restored. */
  restore?(waiting: readonly WaitingExecution[]): Promise<void>
  /** Whether storage has executions that began before a time, in epoch milliseconds, and have not ended. */
  hasLiveBefore(time: number): Promise<boolean>
  warn(error: unknown): void
}

/** The first entries of a queue. */
export interface First {
  readonly total: number
  readonly hits: { readonly waiting: WaitingExecution; readonly since: number }[]
}

/** How long until a failed dispatch is repeated, in milliseconds. */
const failurePause = 1000

/** How many times an invalid entry is offered before it is removed. */
const maxOffers = 10

/** How long until a connection to BullMQ is retried, in milliseconds. */
const retryDelay = 1000

/** How long a command may take before an error of the connection counts as the reason, in milliseconds. */
const answerTime = 250

/**
 * How long a closing queue waits for an engine that may be down, in milliseconds: to release slots, and for an
 * answer.
 */
const closeTimeouts = { slots: 800, answer: 200 }

/** The BullMQ priority of the `priority` 0, and the one before all others. BullMQ runs the lowest number first. */
const middlePriority = maxPriority + 1
const firstPriority = 0

/** Ended jobs are removed: storage keeps executions. */
const removeEnded = { removeOnComplete: true, removeOnFail: true }

/** The highest count of BullMQ in Postgres. */
export const maxCount = 2 ** 31 - 1

/** One queue of BullMQ, with a worker of this process. */
export class BullmqQueue {
  readonly #queue: Queue<QueueEntry>
  readonly #worker: Worker<QueueEntry>
  readonly #options: BullmqQueueOptions
  readonly #driver: typeof import('bullmq')
  readonly #fairness: Fairness
  /** The slots that this process holds. */
  readonly #slots = new Map<string, HeldSlot>()
  /** The last error of the connection, since the engine last answered. */
  #error: unknown
  /** Only on Redis: Postgres does not lose data on its own. */
  readonly #lostSlots: LostSlots | undefined

  constructor(options: BullmqQueueOptions) {
    this.#options = options
    this.#driver = options.driver as typeof import('bullmq')
    const { name, backend, lockDuration, closing, warn } = options
    const { concurrency = Number.MAX_SAFE_INTEGER } = options
    const shared = sharedOptions(options)
    this.#queue = new this.#driver.Queue<QueueEntry>(name, { ...shared, skipWaitingForReady: true }, backend as never)
    this.#worker = new this.#driver.Worker<QueueEntry>(
      name,
      (job, token) => this.#process(job, token),
      {
        ...shared,
        autorun: false,
        concurrency,
        lockDuration,
        stalledInterval: lockDuration,
        // A stalled job is always offered again: storage decides whether it can still be claimed.
        maxStalledCount: maxCount,
        runRetryDelay: retryDelay,
      },
      backend as never,
    )
    claimAnyJob(this.#worker, (job) => this.#lostSlots?.noteTaken(job))
    if (backend === undefined) removeUnreadable(backendOf(this.#worker), warn)
    this.#fairness = new Fairness(closing)
    this.#lostSlots = backend === undefined ? this.#watchRedis() : undefined
    throttleIdlePolling(backendOf(this.#worker), {
      fairness: this.#fairness,
      closing,
      wakesInVain: backend !== undefined,
      isOpen: () => this.#lostSlots?.isOpen ?? true,
    })
    this.#queue.on('error', (error) => {
      this.#error = error
      warn(error)
    })
    onReady(this.#queue, () => {
      this.#error = undefined
    })
    this.#worker.on('error', (error) => this.#fail(error))
    void this.#begin()
  }

  /** Adds executions. Resolves with the requeued ones that a process holds already. */
  async add(waiting: readonly WaitingExecution[], { requeued = false }: AddOptions = {}): Promise<WaitingExecution[]> {
    const since = Date.now()
    const entries = waiting.map((one) => ({
      name: entryName,
      data: { ...one, since },
      opts: {
        jobId: keyOf(one.executionId),
        priority: middlePriority - one.priority,
        ...removeEnded,
      },
    }))
    const ids = entries.map(({ opts }) => opts.jobId)
    const locked = this.#lostSlots && requeued ? await removeLostJobs(backendOf(this.#queue), ids) : []
    const [one] = entries
    // A bulk costs a client more than a single command.
    if (one && entries.length === 1) await this.#queue.add(one.name, one.data, one.opts)
    else await this.#queue.addBulk(entries)
    return waiting.filter(({ executionId }) => locked.includes(keyOf(executionId)))
  }

  async remove(executionId: string): Promise<boolean> {
    const job = await this.#find(executionId)
    return job !== undefined && (await this.#queue.remove(keyOf(executionId))) === 1
  }

  async move(executionId: string, priority: number): Promise<boolean> {
    const job = await this.#find(executionId)
    if (!job) return false
    await job.updateData({ ...job.data, priority, since: Date.now() })
    await job.changePriority({ priority: middlePriority - priority })
    return true
  }

  async first(size: number): Promise<First> {
    const total = await this.#queue.getJobCountByTypes(...this.#states)
    const entries = (await readJobs(this.#queue, this.#states, size)).flatMap(({ job }) => toQueueEntry(job) ?? [])
    return { total, hits: entries.map((entry) => ({ waiting: toWaitingExecution(entry), since: entry.since })) }
  }

  /** The limit that the engine holds. */
  async limit(): Promise<number | undefined> {
    return (await this.#queue.getGlobalConcurrency()) ?? undefined
  }

  /** Whether somebody has paused the queue with BullMQ. */
  async isPaused(): Promise<boolean> {
    const isPaused = await this.#queue.isPaused()
    this.#error = undefined
    return isPaused
  }

  /** Why the engine does not answer. `undefined` when it does, as far as is known. */
  get problem(): string | undefined {
    return this.#error === undefined ? undefined : this.#unreached(this.#error).message
  }

  #unreached(cause: unknown): JobError {
    const message = `The queue [${this.#options.name}] cannot be reached${this.#server}: ${reasonOf(cause)}`
    return new JobError('dispatcher', message, { cause })
  }

  /** The server, for messages, as a wrong port often leads to another one. */
  get #server(): string {
    const { connection, backend } = this.#options
    const [kind, port] = backend ? ['Postgres', 5432] : ['Redis', 6379]
    const place = placeOf(connection, port as number)
    return place === undefined ? '' : ` at ${place}, where \`connection\` expects ${kind}`
  }

  /**
   * Resolves when the engine answers. Commands wait without an error for a Redis that is down, so the last error of the
   * connection rejects.
   */
  async check(signal: AbortSignal): Promise<void> {
    let hasAnswered = false
    const answer = this.limit().finally(() => {
      hasAnswered = true
    })
    while (!hasAnswered && !signal.aborted) {
      await waitBriefly(answer, answerTime)
      if (!hasAnswered && this.#error) throw this.#unreached(this.#error)
    }
    await answer.catch((error: unknown) => {
      throw isTransient(error) ? this.#unreached(error) : error
    })
    this.#error = undefined
  }

  /** Sets the limit of the engine, if it differs. */
  async keepLimit(limit: number | undefined): Promise<void> {
    this.#lostSlots?.setLimit(limit)
    if ((await this.limit()) === limit) return
    if (limit === undefined) await this.#queue.removeGlobalConcurrency()
    else await this.#queue.setGlobalConcurrency(limit)
  }

  /** Waits for the worker and for pending commands, as long as the engine answers. */
  async close(): Promise<void> {
    await waitBriefly(this.#worker.pause(), closeTimeouts.slots)
    await waitBriefly(this.#worker.close(true), closeTimeouts.answer)
    await waitBriefly(this.limit(), closeTimeouts.answer)
    await Promise.all([this.#worker, this.#queue].map((each) => disconnect(each, closeTimeouts.answer)))
  }

  /** The states of queued entries. In a gate, entries with a slot wait in the main queue. */
  get #states(): ('prioritized' | 'delayed' | 'waiting')[] {
    return this.#options.isGate ? ['prioritized', 'delayed'] : ['prioritized', 'delayed', 'waiting']
  }

  async #find(executionId: string): Promise<Job<QueueEntry> | undefined> {
    const job = await this.#queue.getJob(keyOf(executionId))
    return job && (this.#states as string[]).includes(await job.getState()) ? job : undefined
  }

  #watchRedis(): LostSlots {
    const { lockDuration, closing, warn, hasLiveBefore, restore } = this.#options
    const lostSlots = new LostSlots({
      engine: backendOf(this.#worker),
      lockDuration,
      closing,
      held: () => this.#slots.values(),
      isHeld: (slot) => this.#slots.get(slot.job.id as string) === slot,
      onRestored: async (slots) =>
        restore?.(slots.flatMap(({ job }) => toQueueEntry(job) ?? []).map(toWaitingExecution)),
      hasLiveBefore,
      warn,
    })
    this.#worker.on('lockRenewalFailed', (ids: readonly string[]) => {
      const lost = ids.flatMap((id) => this.#slots.get(id) ?? [])
      void lostSlots.restore(lost).catch(warn)
    })
    void lostSlots.watch()
    return lostSlots
  }

  /** Starts the worker once the engine has the limit. */
  async #begin(): Promise<void> {
    const { closing } = this.#options
    while (!closing.aborted) {
      try {
        await this.keepLimit(this.#options.limit)
        await this.#worker.run()
        return
      } catch (error) {
        if (closing.aborted) return
        this.#fail(error)
        await setTimeout(retryDelay, undefined, { ref: false })
      }
    }
  }

  /** Reports an error of the worker. One of the connection counts until the engine answers. */
  #fail(error: unknown): void {
    if (isTransient(error)) this.#error ??= error
    this.#options.warn(error)
  }

  async #process(job: Job<QueueEntry>, token: string | undefined): Promise<void> {
    const { isGate, closing, warn } = this.#options
    // Also for jobs that others added, which BullMQ would keep by default.
    Object.assign(job.opts, removeEnded)
    const entry = toQueueEntry(job)
    if (!entry) return this.#refuse(job, token)
    const waiting = toWaitingExecution(entry)
    // If it were delayed, another execution could overtake one that has passed the gate.
    const requeue = () => (isGate ? this.#moveToWait(job, token) : this.#offerAgain(job, token))
    if (closing.aborted) return requeue()
    try {
      // A slot that was taken while the engine had lost the limit does not count and is taken again.
      const counts = this.#lostSlots?.counts(job) ?? true
      if (counts !== true && !(await counts)) return this.#postpone(job, token, Date.now() + failurePause)
      if (isGate) await job.changePriority({ priority: firstPriority })
      if (await this.#holdSlot(job, token, () => this.#options.dispatch(waiting, closing))) {
        // What starts because this one has ended is queued first: the engine then hands it out with the same command.
        await setImmediate()
        return
      }
    } catch (error) {
      warn(error)
      return this.#postpone(job, token, Date.now() + failurePause)
    }
    return requeue()
  }

  /** Runs `run` while this process holds the slot. */
  async #holdSlot<Result>(job: Job<QueueEntry>, token = '', run: () => Promise<Result>): Promise<Result> {
    const key = job.id as string
    this.#slots.set(key, { job, token })
    try {
      return await run()
    } finally {
      this.#slots.delete(key)
    }
  }

  async #moveToWait(job: Job<QueueEntry>, token: string | undefined): Promise<never> {
    await job.moveToWait(token)
    throw new this.#driver.WaitingError()
  }

  /**
   * A later version may understand the entry of an execution, so it is offered for a while. Another job is dropped at once: many of them
   * would hold up executions. Storage has the truth about executions.
   */
  async #refuse(job: Job<QueueEntry>, token: string | undefined): Promise<void> {
    this.#options.warn(new Error(`Expected a queued execution, got something else as job ${job.id} of BullMQ.`))
    if (mayBeExecution(job) && job.attemptsStarted < maxOffers) await this.#offerAgain(job, token)
  }

  /** Refused here, so that others get it first. */
  async #offerAgain(job: Job<QueueEntry>, token: string | undefined): Promise<never> {
    const time = this.#fairness.refuse(job.attemptsStarted)
    void this.#offerAt(job, time)
    return this.#postpone(job, token, time)
  }

  /** Promotes the job, so that waiting workers find it at once. It may already be taken, or be found later. */
  async #offerAt(job: Job<QueueEntry>, time: number): Promise<void> {
    await this.#fairness.untilOffer(time)
    if (!this.#options.closing.aborted) await job.promote().catch(() => undefined)
  }

  async #postpone(job: Job<QueueEntry>, token: string | undefined, until: number): Promise<never> {
    await job.moveToDelayed(until, token)
    throw new this.#driver.DelayedError()
  }
}
