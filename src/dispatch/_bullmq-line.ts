import { setTimeout } from 'node:timers/promises'
import { DelayedError, type Job, Queue, WaitingError, Worker } from 'bullmq'
import type { WaitingExecution } from '../index.js'
import { type Connect, disconnect, readJobs, sharedOptions, waitBriefly } from './_bullmq-connect.js'
import { Courtesy } from './_bullmq-courtesy.js'
import { makePatient } from './_bullmq-patience.js'
import { executionOf, keyOf, type Place, placeOf, takeAnyJob } from './_bullmq-place.js'

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

/** Those who come first in a line. */
export interface First {
  readonly total: number
  readonly hits: { readonly waiting: WaitingExecution; readonly since: number }[]
}

/** A line that processes share. */
export type Line = Pick<BullmqLine, 'add' | 'remove' | 'move' | 'first' | 'close'>

/** How long until a turn is given again that failed, in milliseconds. */
const failurePause = 1000

/** How often what is no execution is offered before it is removed. */
const mostOffers = 10

/** How long until BullMQ is asked again that could not be reached, in milliseconds. */
const retryDelay = 1000

/** How long a line that closes waits for an engine that may be away, in milliseconds: to give back turns, and to answer. */
const closePatience = { turns: 800, answer: 200 }

/** The priority of BullMQ, of which the lowest number comes first, and 0 before all others. */
const middle = 1_000_001
const first = 0

/** Nothing is kept of what has ended: storage does that. */
const forgotten = { removeOnComplete: true, removeOnFail: true }

/** The most that BullMQ can count in Postgres. */
export const often = 2 ** 31 - 1

/** One queue of BullMQ, with a worker of this process. */
export class BullmqLine {
  readonly #queue: Queue<Place>
  readonly #worker: Worker<Place>
  readonly #options: LineOptions
  readonly #courtesy: Courtesy

  constructor(options: LineOptions) {
    this.#options = options
    const { name, backend, lockDuration, left, warn } = options
    const { concurrency = Number.MAX_SAFE_INTEGER } = options
    const shared = sharedOptions(options)
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
      backend as never,
    )
    takeAnyJob(this.#worker)
    this.#courtesy = new Courtesy(left)
    makePatient(this.#worker.getBackend(), { courtesy: this.#courtesy, left, wakesInVain: backend !== undefined })
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
        ...forgotten,
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
    const places = (await readJobs(this.#queue, this.#states, size)).flatMap(({ job }) => placeOf(job) ?? [])
    return { total, hits: places.map((place) => ({ waiting: executionOf(place), since: place.since })) }
  }

  /** The limit that the engine keeps. */
  async limit(): Promise<number | undefined> {
    return (await this.#queue.getGlobalConcurrency()) ?? undefined
  }

  async setLimit(limit: number | undefined): Promise<void> {
    if (limit === undefined) await this.#queue.removeGlobalConcurrency()
    else await this.#queue.setGlobalConcurrency(limit)
  }

  /** Lets the worker finish what it is at, and what was asked of the queue arrive: as long as the engine answers. */
  async close(): Promise<void> {
    await waitBriefly(this.#worker.pause(), closePatience.turns)
    await waitBriefly(this.#worker.close(true), closePatience.answer)
    await waitBriefly(this.limit(), closePatience.answer)
    await Promise.all([this.#worker, this.#queue].map((each) => disconnect(each, closePatience.answer)))
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
        await this.setLimit(this.#options.limit)
        await this.#worker.run()
        return
      } catch (error) {
        if (left.aborted) return
        warn(error)
        await setTimeout(retryDelay, undefined, { ref: false })
      }
    }
  }

  async #turn(job: Job<Place>, token: string | undefined): Promise<void> {
    const { isGate, left, warn } = this.#options
    // Also of what others put in line, which BullMQ keeps unless it is told otherwise.
    Object.assign(job.opts, forgotten)
    const place = placeOf(job)
    if (!place) return this.#refuse(job, token)
    const waiting = executionOf(place)
    // Delayed, one that was let through would be passed by another.
    const giveBack = () => (isGate ? this.#putBack(job, token) : this.#offerAgain(job, token))
    if (left.aborted) return giveBack()
    try {
      if (isGate) await job.changePriority({ priority: first })
      if (await this.#options.turn(waiting, left)) return
    } catch (error) {
      warn(error)
      return this.#postpone(job, token, Date.now() + failurePause)
    }
    return giveBack()
  }

  async #putBack(job: Job<Place>, token: string | undefined): Promise<never> {
    await job.moveToWait(token)
    throw new WaitingError()
  }

  /** A later version may know what this one does not, so it is offered for a while. Storage has what is true of executions. */
  async #refuse(job: Job<Place>, token: string | undefined): Promise<void> {
    this.#options.warn(new Error(`Expected an execution that waits, got something else as job ${job.id} of BullMQ.`))
    if (job.attemptsStarted < mostOffers) await this.#offerAgain(job, token)
  }

  /** Refused here: the others are asked first. */
  async #offerAgain(job: Job<Place>, token: string | undefined): Promise<never> {
    const time = this.#courtesy.refuse(job.attemptsStarted)
    void this.#offerAt(job, time)
    return this.#postpone(job, token, time)
  }

  /** One that is due is found at once when workers that wait are told. It may have been taken by then, or be found later. */
  async #offerAt(job: Job<Place>, time: number): Promise<void> {
    await this.#courtesy.untilOffer(time)
    if (!this.#options.left.aborted) await job.promote().catch(() => undefined)
  }

  async #postpone(job: Job<Place>, token: string | undefined, until: number): Promise<never> {
    await job.moveToDelayed(until, token)
    throw new DelayedError()
  }
}
