import type { Dispatcher, DispatchWorker, Schedule, ScheduledJob, WaitingExecution, WaitingPage } from '../index.js'
import { checkOptions, createAbortController, invalid, rule } from '../index.js'
import { BullmqBoard, type Notice } from './_bullmq-board.js'
import type { Connect } from './_bullmq-connect.js'
import { BullmqLine, type Line } from './_bullmq-line.js'

/** How a dispatcher on BullMQ works. */
export interface BullmqDispatcherOptions {
  /**
   * The connection, as BullMQ takes it: a client of Redis, or how to make one; with `backend`, a pool of `pg`, or how to
   * make one. A text is a URL. What you made is yours to close. A client of `ioredis` must have `maxRetriesPerRequest:
   * null`, and no `keyPrefix`.
   */
  connection: object | string
  /** What BullMQ keeps its queues in, if that is not Redis: `createPostgresBackend` of `bullmq`. */
  backend?: (...options: never[]) => unknown
  /** The name of the line: registries of one name share it, and should define the same jobs. Default `headgate`. */
  queue?: string
  /** The prefix of the keys in Redis. Default: that of BullMQ. */
  prefix?: string
  /**
   * How long the engine waits for a sign of life of a process before it gives its turns to others, in milliseconds, 1,000
   * or more. Default 30,000.
   */
  lockDuration?: number
}

const optionRules = {
  connection: {
    accepts: (value: unknown) => (typeof value === 'object' && value !== null) || rule.text.accepts(value),
    expected: 'a client of Redis, a pool of `pg` with `backend`, or how to make one',
  },
  backend: rule.optional(rule.aFunction),
  queue: rule.optional({
    accepts: (value: unknown) => typeof value === 'string' && /^[^:{}]{1,200}$/.test(value),
    expected: 'a name of 1 to 200 characters without colons and braces',
  }),
  prefix: rule.optional(rule.text),
  lockDuration: rule.optional(rule.whole(1000)),
}

/**
 * A line that processes share, on BullMQ: executions run wherever a registry of that storage and line has the job defined
 * and a slot free. Give it to the `dispatcher` option of each of them. Throws `invalid_options`.
 */
export function bullmqDispatcher(options: BullmqDispatcherOptions): Dispatcher {
  checkOptions('options', options, optionRules)
  if (options.backend === undefined) checkClient(options.connection)
  return new BullmqDispatcher(options)
}

/** What BullMQ would refuse later, and with less to say. */
function checkClient(connection: object | string): void {
  const { defineCommand, options = {} } = connection as { defineCommand?: unknown; options?: Record<string, unknown> }
  if (typeof defineCommand !== 'function') return
  const { maxRetriesPerRequest, keyPrefix } = options
  if (maxRetriesPerRequest)
    throw invalid('connection', 'a client with `maxRetriesPerRequest: null`', maxRetriesPerRequest)
  if (keyPrefix) throw invalid('connection', 'a client without `keyPrefix`; the option `prefix` does that', keyPrefix)
}

class BullmqDispatcher implements Dispatcher {
  readonly #name: string
  readonly #connect: Connect
  readonly #left = createAbortController()
  #all!: Line
  #board!: BullmqBoard
  #worker!: DispatchWorker
  /** A line in front of the one of all, for each datasource that has a limit. */
  readonly #ofDatasource = new Map<string, Line>()

  constructor({ queue = 'headgate', connection, backend, prefix, lockDuration = 30_000 }: BullmqDispatcherOptions) {
    this.#name = queue
    const reached = typeof connection === 'object' ? connection : ofUrl(connection, backend)
    this.#connect = { connection: reached, backend, prefix, lockDuration, left: this.#left.signal }
  }

  work(worker: DispatchWorker): void {
    const { process, cluster, datasources = {} } = worker.limits
    this.#worker = worker
    this.#board = new BullmqBoard(`${this.#name}-board`, this.#connect, worker)
    this.#all = this.#open(this.#name, worker, {
      limit: cluster,
      concurrency: process,
      turn: (waiting) => worker.take(waiting),
    })
    for (const [datasource, limit] of Object.entries(datasources)) {
      const name = `${this.#name}-on-${encodeURIComponent(datasource)}`
      const turn = (waiting: WaitingExecution, left: AbortSignal) => this.#pass(worker, waiting, left)
      this.#ofDatasource.set(datasource, this.#open(name, worker, { limit, turn, isGate: true }))
    }
  }

  async add(waiting: readonly WaitingExecution[]): Promise<void> {
    const lines = new Map<Line, WaitingExecution[]>()
    for (const one of waiting) {
      const line = this.#ofDatasource.get(one.datasource ?? '') ?? this.#all
      lines.set(line, [...(lines.get(line) ?? []), one])
    }
    await Promise.all([...lines].map(([line, ones]) => line.add(ones)))
  }

  async remove(executionId: string): Promise<boolean> {
    return this.#inSome((line) => line.remove(executionId))
  }

  async move(executionId: string, priority: number): Promise<boolean> {
    return this.#inSome((line) => line.move(executionId, priority))
  }

  async waiting({ from, size }: { from: number; size: number }): Promise<WaitingPage> {
    const pages = await Promise.all(this.#lines.map((line) => line.first(from + size)))
    const hits = pages
      .flatMap((page) => page.hits)
      .sort((a, b) => b.waiting.priority - a.waiting.priority || a.since - b.since)
    return {
      total: pages.reduce((total, page) => total + page.total, 0),
      hits: hits.slice(from, from + size).map(({ waiting }) => waiting),
    }
  }

  schedule(job: ScheduledJob, schedule: Schedule | undefined): void {
    const settled = (rival: Notice | undefined, last: Notice | undefined) => {
      if (rival || last) this.#worker.yieldSchedule(job, rival === undefined ? last?.seen : undefined)
    }
    this.#board.publish(`schedule/${keyOf(job)}`, timesOf(schedule), settled)
  }

  async close(): Promise<void> {
    this.#left.abort()
    // Who was let through is put in the line of all.
    await Promise.all([this.#board.close(), ...[...this.#ofDatasource.values()].map((line) => line.close())])
    await this.#all.close()
  }

  get #lines(): Line[] {
    return [this.#all, ...this.#ofDatasource.values()]
  }

  #open(
    name: string,
    worker: DispatchWorker,
    options: Pick<ConstructorParameters<typeof BullmqLine>[0], 'limit' | 'concurrency' | 'turn' | 'isGate'>,
  ): Line {
    const warn = (error: unknown) => worker.warn(error, `The line [${name}] had an error.`)
    const line = new BullmqLine({ name, warn, ...this.#connect, ...options })
    const { limit } = options
    // The engine may have been emptied, or hold the limit of a registry that is gone.
    this.#board.publish(`limit/${name}`, limit, async (rival) => {
      const holds = rival ? limitOf(rival) : limit
      if ((await line.limit()) !== holds) await line.setLimit(holds)
    })
    return line
  }

  /** The turn in the line of a datasource: it lasts while the execution waits in the line of all, and runs. */
  async #pass(worker: DispatchWorker, waiting: WaitingExecution, left: AbortSignal): Promise<boolean> {
    await this.#all.add([waiting])
    return worker.ended(waiting, left)
  }

  async #inSome(does: (line: Line) => Promise<boolean>): Promise<boolean> {
    for (const line of this.#lines) if (await does(line)) return true
    return false
  }
}

function ofUrl(url: string, backend: unknown): object {
  return backend === undefined ? { url } : { connectionString: url }
}

function limitOf({ text }: Notice): number | undefined {
  const limit = Number(text)
  return Number.isSafeInteger(limit) && limit > 0 ? limit : undefined
}

/** What of a schedule says when a job starts: nothing, when it does not start by itself. */
function timesOf(schedule: Schedule | undefined): Omit<Schedule, 'enabled'> | undefined {
  if (!schedule || schedule.enabled === false) return undefined
  const { cron, timeZone, every, ifRunning, ifMissed } = schedule
  return { cron, timeZone, every, ifRunning, ifMissed } as Schedule
}

/** What BullMQ knows a job by: it has no colon. */
function keyOf({ type, id }: ScheduledJob): string {
  return `${encodeURIComponent(type)}/${encodeURIComponent(id)}`
}
