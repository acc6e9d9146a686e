import { setTimeout } from 'node:timers/promises'
import { DelayedError, type Job, Queue, WaitingError, Worker } from 'bullmq'
import { executionOrder, type WaitingExecution } from '../index.js'
import { type BackendFactory, patient } from './_bullmq-patience.js'

/** What a line is reached by. */
export interface Connect {
  readonly connection: object
  readonly backend: BackendFactory | undefined
  readonly prefix: string | undefined
  /** How long a turn is kept for a process that gives no sign of life, in milliseconds. */
  readonly lockDuration: number
  /** Aborts when turns are to be given back. */
  readonly left: AbortSignal
}

/** What a line is for. */
export interface LineOptions extends Connect {
  readonly name: string
  /** How many have their turn at once, over all processes. Default: no limit. */
  readonly limit?: number | undefined
  /** How many have their turn at once in this process. Default: no limit. */
  readonly concurrency?: number | undefined
  /**
   * Whether it only lets executions through to another line: one whose process leaves keeps its turn, and so goes before
   * all others.
   */
  readonly isGate?: boolean
  /** A turn: tells whether it is done, or has to be given again. */
  turn(waiting: WaitingExecution, left: AbortSignal): Promise<boolean>
  warn(error: unknown): void
}

/** What BullMQ keeps of an execution. */
interface Place extends WaitingExecution {
  /** When it came to have that priority, in epoch milliseconds. */
  readonly since: number
}

/** Those who come first in a line. */
export interface First {
  readonly total: number
  readonly hits: { readonly waiting: WaitingExecution; readonly since: number }[]
}

/** A line that processes share. */
export type Line = Pick<BullmqLine, 'add' | 'remove' | 'move' | 'first' | 'close'>

/** How long until a turn is given again that was refused, in milliseconds: the first is added each time. */
const pauses = { first: 100, longest: 5000 }

/** How long until BullMQ is asked again that could not be reached, in milliseconds. */
const retryDelay = 1000

/** How long BullMQ may take to close, in milliseconds: it waits for what cannot be reached. */
const closePatience = 5000

/** The priority of BullMQ, of which the lowest number comes first, and 0 before all others. */
const middle = 1_000_001
const first = 0

/** The most that BullMQ can count in Postgres. */
export const often = 2 ** 31 - 1

/** One queue of BullMQ, with a worker of this process. */
export class BullmqLine {
  readonly #queue: Queue<Place>
  readonly #worker: Worker<Place>
  readonly #options: LineOptions

  constructor(options: LineOptions) {
    this.#options = options
    const { name, connection, backend, prefix, lockDuration, left, warn } = options
    const { concurrency = Number.MAX_SAFE_INTEGER } = options
    const shared = { connection: connection as never, ...(prefix !== undefined && { prefix }) }
    this.#queue = new Queue(name, { ...shared, skipWaitingForReady: true }, backend as never)
    this.#worker = new Worker(
      name,
      (job, token) => this.#turn(job, token),
      {
        ...shared,
        autorun: false,
        concurrency,
        lockDuration,
        stalledInterval: lockDuration,
        // A turn is given again however often its process died: storage tells whether it is still to be had.
        maxStalledCount: often,
        runRetryDelay: retryDelay,
      },
      (backend && patient(backend, left)) as never,
    )
    this.#queue.on('error', warn)
    this.#worker.on('error', warn)
    void this.#begin()
  }

  async add(waiting: readonly WaitingExecution[]): Promise<void> {
    const since = Date.now()
    const places = waiting.map((one) => ({
      name: 'execution',
      data: { ...one, since },
      opts: {
        jobId: keyOf(one.executionId),
        priority: middle - one.priority,
        removeOnComplete: true,
        removeOnFail: true,
      },
    }))
    const [one] = places
    // The pipeline of a bulk costs a client more than the one command in it.
    if (one && places.length === 1) await this.#queue.add(one.name, one.data, one.opts)
    else await this.#queue.addBulk(places)
  }

  async remove(executionId: string): Promise<boolean> {
    const job = await this.#find(executionId)
    return job !== undefined && (await this.#queue.remove(keyOf(executionId))) === 1
  }

  async move(executionId: string, priority: number): Promise<boolean> {
    const job = await this.#find(executionId)
    if (!job) return false
    await job.updateData({ ...job.data, priority, since: Date.now() })
    await job.changePriority({ priority: middle - priority })
    return true
  }

  async first(size: number): Promise<First> {
    const total = await this.#queue.getJobCountByTypes(...this.#states)
    const jobs = size === 0 ? [] : await this.#queue.getJobs(this.#states, 0, size - 1, true)
    return { total, hits: jobs.map(({ data: { since, ...waiting } }) => ({ waiting, since })) }
  }

  async close(): Promise<void> {
    const closed = this.#worker.close().then(() => this.#queue.close())
    const isClosed = closed.then(() => true)
    if (await Promise.race([isClosed, setTimeout(closePatience, false, { ref: false })])) return
    void closed.catch(this.#options.warn)
    for (const each of [this.#worker, this.#queue]) void each.disconnect().catch(this.#options.warn)
  }

  /** The states of those who wait here: in a gate, those who have had their turn wait in the other line. */
  get #states(): ('prioritized' | 'delayed' | 'waiting')[] {
    return this.#options.isGate ? ['prioritized', 'delayed'] : ['prioritized', 'delayed', 'waiting']
  }

  async #find(executionId: string): Promise<Job<Place> | undefined> {
    const job = await this.#queue.getJob(keyOf(executionId))
    return job && (this.#states as string[]).includes(await job.getState()) ? job : undefined
  }

  /** Gives turns as soon as the limit is known to all. */
  async #begin(): Promise<void> {
    const { left, warn } = this.#options
    while (!left.aborted) {
      try {
        await this.#limit()
        await this.#worker.run()
        return
      } catch (error) {
        if (left.aborted) return
        warn(error)
        await setTimeout(retryDelay, undefined, { ref: false })
      }
    }
  }

  async #limit(): Promise<void> {
    const { limit } = this.#options
    if (limit === undefined) await this.#queue.removeGlobalConcurrency()
    else await this.#queue.setGlobalConcurrency(limit)
  }

  async #turn(job: Job<Place>, token: string | undefined): Promise<void> {
    const { isGate, left, warn } = this.#options
    const { since: _, ...waiting } = job.data
    // Delayed, one that was let through would be passed by another.
    const giveBack = () => (isGate ? this.#putBack(job, token) : this.#postpone(job, token))
    if (left.aborted) return giveBack()
    try {
      if (isGate) await job.changePriority({ priority: first })
      if (await this.#options.turn(waiting, left)) return
    } catch (error) {
      warn(error)
      return this.#postpone(job, token)
    }
    return giveBack()
  }

  async #putBack(job: Job<Place>, token: string | undefined): Promise<never> {
    await job.moveToWait(token)
    throw new WaitingError()
  }

  async #postpone(job: Job<Place>, token: string | undefined): Promise<never> {
    const pause = Math.min(pauses.longest, pauses.first * job.attemptsStarted)
    await job.moveToDelayed(Date.now() + pause, token)
    throw new DelayedError()
  }
}

/** What BullMQ knows an execution by: the part of its id that no other has, and that has no colon. */
function keyOf(executionId: string): string {
  return executionOrder(executionId) ?? executionId
}
