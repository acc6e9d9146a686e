import type {
  AddOptions,
  DispatchWorker,
  Schedule,
  ScheduledJob,
  ScheduleEngine,
  WaitingExecution,
  WaitingPage,
} from '../../adapter.js'
import { BullmqQueue, type BullmqQueueOptions } from './bullmq-queue.js'
import type { Connect } from './connect.js'
import { PauseWatch } from './pause-watch.js'
import { type Notice, type RivalListener, ScheduleDirectory } from './schedule-directory.js'

/** The queues of a dispatcher: the main queue, and a gate queue before it for each datasource with a limit. */
export class DispatcherQueues {
  readonly #name: string
  readonly #connect: Connect
  readonly #worker: DispatchWorker
  readonly #main: BullmqQueue
  readonly #directory: ScheduleDirectory
  readonly #ofDatasource = new Map<string, BullmqQueue>()
  readonly #pauses: PauseWatch[] = []

  constructor(name: string, connect: Connect, worker: DispatchWorker) {
    const { process, cluster, datasources = {} } = worker.limits
    this.#name = name
    this.#connect = connect
    this.#worker = worker
    this.#directory = new ScheduleDirectory(`${name}-board`, connect, worker)
    this.#main = this.#open(name, {
      limit: cluster,
      concurrency: process,
      dispatch: (waiting) => worker.run(waiting),
    })
    for (const [datasource, limit] of Object.entries(datasources))
      this.#ofDatasource.set(datasource, this.#openGate(datasource, limit))
  }

  async add(waiting: readonly WaitingExecution[], options?: AddOptions): Promise<void> {
    const queues = new Map<BullmqQueue, WaitingExecution[]>()
    for (const one of waiting) {
      const queue = this.#ofDatasource.get(one.datasource ?? '') ?? this.#main
      queues.set(queue, [...(queues.get(queue) ?? []), one])
    }
    const held = await Promise.all([...queues].map(([queue, entries]) => queue.add(entries, options)))
    // What holds a slot of its datasource waits in the main queue, which may have lost it.
    const passed = held.flat().filter(({ datasource }) => this.#ofDatasource.has(datasource ?? ''))
    if (passed.length > 0) await this.#main.add(passed, options)
  }

  async remove(executionId: string): Promise<boolean> {
    return this.#inAny((queue) => queue.remove(executionId))
  }

  async move(executionId: string, priority: number): Promise<boolean> {
    return this.#inAny((queue) => queue.move(executionId, priority))
  }

  async waiting({ from, size }: { from: number; size: number }): Promise<WaitingPage> {
    const pages = await Promise.all(this.#queues.map((queue) => queue.first(from + size)))
    const hits = pages
      .flatMap((page) => page.hits)
      .sort((a, b) => b.waiting.priority - a.waiting.priority || a.since - b.since)
    return {
      total: pages.reduce((total, page) => total + page.total, 0),
      hits: hits.slice(from, from + size).map(({ waiting }) => waiting),
    }
  }

  /** Why queues hand out nothing: an engine that does not answer, or a pause. */
  get problem(): string | undefined {
    return [...this.#queues, ...this.#pauses].flatMap(({ problem }) => problem ?? []).join(' ') || undefined
  }

  check(signal: AbortSignal): Promise<void> {
    return this.#main.check(signal)
  }

  setSchedule(since: number, ...[job, schedule, onRival]: Parameters<ScheduleEngine['set']>): void {
    const handleRival: RivalListener = (rival, last) => {
      if (rival || last) onRival(rival ? undefined : last?.seen)
    }
    this.#directory.publish(keyOf(job), timesOf(schedule), handleRival, since)
  }

  removeSchedule(job: ScheduledJob): void {
    this.#directory.withdraw(keyOf(job))
  }

  async close(): Promise<void> {
    // An execution that passed the gate is added to the main queue.
    await Promise.all([this.#directory, ...this.#ofDatasource.values()].map((each) => each.close()))
    await this.#main.close()
  }

  get #queues(): BullmqQueue[] {
    return [this.#main, ...this.#ofDatasource.values()]
  }

  #open(
    name: string,
    options: Pick<BullmqQueueOptions, 'limit' | 'concurrency' | 'dispatch' | 'restore' | 'isGate'>,
  ): BullmqQueue {
    const { limit } = options
    const warn = (error: unknown) => this.#worker.warn(error, `The queue [${name}] had an error.`)
    const hasLiveBefore = (time: number) => this.#worker.hasLiveBefore(time)
    const queue = new BullmqQueue({ name, warn, hasLiveBefore, ...this.#connect, ...options })
    const { clock } = this.#worker
    const { closing } = this.#connect
    const tell = (error: unknown, message: string) => this.#worker.warn(error, message)
    this.#pauses.push(new PauseWatch({ name, clock, closing, isPaused: () => queue.isPaused(), warn: tell }))
    // The engine may have been emptied, or hold the limit of a registry that has closed.
    this.#directory.publish(`limit/${name}`, limit, (rival) => queue.keepLimit(rival ? limitOf(rival) : limit))
    return queue
  }

  /** An execution keeps its slot in the gate while it waits in the main queue and runs. */
  #openGate(datasource: string, limit: number): BullmqQueue {
    return this.#open(`${this.#name}-on-${encodeURIComponent(datasource)}`, {
      limit,
      isGate: true,
      dispatch: async (waiting, closing) => {
        await this.#main.add([waiting], { requeued: true })
        return this.#worker.whenEnded(waiting, closing)
      },
      // An execution that passed the gate waits in the main queue, which may have lost it too.
      restore: async (waiting) => void (await this.#main.add(waiting, { requeued: true })),
    })
  }

  async #inAny(action: (queue: BullmqQueue) => Promise<boolean>): Promise<boolean> {
    for (const queue of this.#queues) if (await action(queue)) return true
    return false
  }
}

function limitOf({ text }: Notice): number | undefined {
  const limit = Number(text)
  return Number.isSafeInteger(limit) && limit > 0 ? limit : undefined
}

/** The parts of a schedule that decide when a job starts. `undefined` when it does not start on schedule. */
function timesOf(schedule: Schedule | undefined): Omit<Schedule, 'enabled'> | undefined {
  if (!schedule || schedule.enabled === false) return undefined
  const { cron, timeZone, every, ifRunning, ifMissed } = schedule
  return { cron, timeZone, every, ifRunning, ifMissed } as Schedule
}

/** The key of the schedule of a job in BullMQ, without colons. */
function keyOf({ type, id }: ScheduledJob): string {
  return `schedule/${encodeURIComponent(type)}/${encodeURIComponent(id)}`
}
