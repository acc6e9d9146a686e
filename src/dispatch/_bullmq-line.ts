import { DelayedError, type Job, Queue, Worker } from 'bullmq'
import { executionOrder, type WaitingExecution } from '../index.js'

/** What a line is reached by. */
export interface Connect {
  readonly connection: unknown
  readonly backend: unknown
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
  /** A turn: tells whether it is done, or has to be given again later. */
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

/** How long until a turn is given again that could not be taken, in milliseconds. */
const pause = 500

/** The priority of BullMQ, of which the lowest number comes first, and 0 means none. */
const middle = 1_000_001

const waitingStates = ['prioritized', 'waiting', 'delayed'] as const

/** One queue of BullMQ, with a worker of this process. */
export class BullmqLine {
  readonly #queue: Queue<WaitingExecution>
  readonly #worker: Worker<WaitingExecution>
  readonly #options: LineOptions

  constructor(options: LineOptions) {
    this.#options = options
    const { name, connection, backend, prefix, lockDuration, concurrency = Number.MAX_SAFE_INTEGER, warn } = options
    const shared = { connection: connection as never, ...(prefix !== undefined && { prefix }) }
    this.#queue = new Queue(name, { ...shared, skipWaitingForReady: true }, backend as never)
    this.#worker = new Worker(
      name,
      (job, token) => this.#turn(job, token),
      // A turn is given again however often its process died: storage tells whether it is still to be had.
      { ...shared, concurrency, lockDuration, stalledInterval: lockDuration, maxStalledCount: Number.MAX_SAFE_INTEGER },
      backend as never,
    )
    this.#queue.on('error', warn)
    this.#worker.on('error', warn)
    void this.#limit().catch(warn)
  }

  async add(waiting: readonly WaitingExecution[]): Promise<void> {
    await this.#queue.addBulk(
      waiting.map((data) => ({
        name: 'execution',
        data,
        opts: {
          jobId: keyOf(data.executionId),
          priority: middle - data.priority,
          removeOnComplete: true,
          removeOnFail: true,
        },
      })),
    )
  }

  async remove(executionId: string): Promise<boolean> {
    return (await this.#queue.remove(keyOf(executionId))) === 1
  }

  async move(executionId: string, priority: number): Promise<boolean> {
    const job = await this.#queue.getJob(keyOf(executionId))
    if (!job || !(waitingStates as readonly string[]).includes(await job.getState())) return false
    await job.updateData({ ...job.data, priority })
    await job.changePriority({ priority: middle - priority })
    return true
  }

  async first(size: number): Promise<First> {
    const total = await this.#queue.getJobCountByTypes(...waitingStates)
    const jobs = size === 0 ? [] : await this.#queue.getJobs([...waitingStates], 0, size - 1, true)
    return { total, hits: jobs.map(({ data, timestamp }) => ({ waiting: data, since: timestamp })) }
  }

  async close(): Promise<void> {
    await this.#worker.close()
    await this.#queue.close()
  }

  async #turn(job: Job<WaitingExecution>, token: string | undefined): Promise<void> {
    if (await this.#options.turn(job.data, this.#options.left)) return
    await job.moveToDelayed(Date.now() + pause, token)
    throw new DelayedError()
  }

  async #limit(): Promise<void> {
    const { limit } = this.#options
    if (limit === undefined) await this.#queue.removeGlobalConcurrency()
    else await this.#queue.setGlobalConcurrency(limit)
  }
}

/** What BullMQ knows an execution by: the part of its id that no other has, and that has no colon. */
function keyOf(executionId: string): string {
  return executionOrder(executionId) ?? executionId
}
