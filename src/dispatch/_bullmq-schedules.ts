import { DelayedError, type Job, Queue, type RepeatOptions, Worker } from 'bullmq'
import { type DispatchWorker, nextTick, type Schedule, type ScheduledJob, type Timer } from '../index.js'
import { type Connect, often } from './_bullmq-line.js'

/** How often to look whether the engine still has all schedules, in milliseconds: it may have been emptied. */
const interval = 30_000

/** How long a time is offered to registries that do not know the job, in milliseconds. */
const patience = 60_000

/** How long until it is offered again, in milliseconds. */
const pause = 5000

/** The schedules of jobs, kept by BullMQ's job schedulers: each time is given to one process. */
export class BullmqSchedules {
  readonly #queue: Queue<ScheduledJob>
  readonly #worker: Worker<ScheduledJob>
  readonly #dispatchWorker: DispatchWorker
  readonly #schedules = new Map<string, { readonly job: ScheduledJob; readonly schedule: Schedule }>()
  #timer: Timer | undefined

  constructor(name: string, { connection, backend, prefix, lockDuration }: Connect, worker: DispatchWorker) {
    this.#dispatchWorker = worker
    const shared = {
      connection: connection as never,
      settings: { repeatStrategy },
      ...(prefix !== undefined && { prefix }),
    }
    const warn = (error: unknown) => worker.warn(error, `The schedules [${name}] had an error.`)
    this.#queue = new Queue(name, { ...shared, skipWaitingForReady: true }, backend as never)
    this.#worker = new Worker(
      name,
      (job, token) => this.#tick(job, token),
      {
        ...shared,
        concurrency: Number.MAX_SAFE_INTEGER,
        lockDuration,
        stalledInterval: lockDuration,
        maxStalledCount: often,
      },
      backend as never,
    )
    this.#queue.on('error', warn)
    this.#worker.on('error', warn)
    this.#lookLater()
  }

  async keep(job: ScheduledJob, schedule: Schedule): Promise<void> {
    const key = keyOf(job)
    if (schedule.enabled === false) {
      this.#schedules.delete(key)
      await this.#queue.removeJobScheduler(key)
      return
    }
    this.#schedules.set(key, { job, schedule })
    await this.#ensure(key)
  }

  async close(): Promise<void> {
    this.#timer?.cancel()
    await this.#worker.close()
    await this.#queue.close()
  }

  /** One that is there as it should be is left alone: a time that has come may not have been given yet. */
  async #ensure(key: string): Promise<void> {
    const kept = this.#schedules.get(key)
    if (!kept) return
    const pattern = patternOf(kept.schedule)
    const found = await this.#queue.getJobScheduler(key)
    const isStuck = (found?.next ?? 0) < this.#dispatchWorker.clock.now() - patience
    if (found?.pattern === pattern && !isStuck) return
    const template = { name: 'time', data: kept.job, opts: { removeOnComplete: true, removeOnFail: true } }
    await this.#queue.upsertJobScheduler(key, { pattern }, template)
  }

  #lookLater(): void {
    this.#timer = this.#dispatchWorker.clock.setTimer(interval, () => void this.#look(), { background: true })
  }

  async #look(): Promise<void> {
    try {
      for (const key of this.#schedules.keys()) await this.#ensure(key)
    } catch (error) {
      this.#dispatchWorker.warn(error, 'Could not look for schedules that the engine has lost.')
    }
    this.#lookLater()
  }

  async #tick(job: Job<ScheduledJob>, token: string | undefined): Promise<void> {
    const { clock } = this.#dispatchWorker
    const time = Number(job.opts.prevMillis ?? job.timestamp)
    if (await this.#dispatchWorker.tick(job.data, time)) return
    if (clock.now() - time < patience) {
      await job.moveToDelayed(Date.now() + pause, token)
      throw new DelayedError()
    }
    // Nobody has such a job any more.
    await this.#queue.removeJobScheduler(keyOf(job.data))
  }
}

/** BullMQ asks for the next time by the pattern alone. */
function repeatStrategy(millis: number, { pattern = '{}' }: RepeatOptions): number | undefined {
  return nextTick(JSON.parse(pattern), millis)
}

function patternOf({ cron, timeZone, every }: Schedule): string {
  return JSON.stringify({ cron, timeZone, every })
}

/** What BullMQ knows a schedule by: it has no colon. */
function keyOf({ type, id }: ScheduledJob): string {
  return `${encodeURIComponent(type)}/${encodeURIComponent(id)}`
}
