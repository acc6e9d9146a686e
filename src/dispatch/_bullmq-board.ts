import { type Job, Queue } from 'bullmq'
import type { DispatchWorker, Timer } from '../index.js'
import { type Connect, disconnect, onReady, readJobs, sharedOptions, waitBriefly } from './_bullmq-connect.js'

/** What registries that share a line define, each for itself, and of which one holds: the newest. */
export interface Notice {
  /** What it is about. */
  readonly key: string
  /** What was defined, as JSON. */
  readonly text: string
  /** When a registry defined it so, in epoch milliseconds: the one that did last. */
  readonly since: number
  /** When a registry that defines it so was last seen, in epoch milliseconds. */
  readonly seen: number
}

/** What this registry defines. */
interface Own {
  readonly key: string
  readonly text: string
  readonly since: number
  /** What holds in its place, as far as is known here: an engine that was emptied does not know. */
  rival: Notice | undefined
  /** Hears of the rival: at every look while there is one, and when it is gone. */
  readonly settled: (rival: Notice | undefined, last: Notice | undefined) => unknown
}

/** How often registries look at the board within a lease, and how many milliseconds apart at most. */
const looks = { perLease: 6, longest: 5000 }

/** The least that a notice holds without a sign of life, in milliseconds: the clocks of processes differ. */
const shortestLife = 5000

/** The most notices that are read. */
const maxNotices = 100_000

/** The longest text of a notice, in UTF-16 code units. */
const maxText = 10_000

/** What no registry says is written as this. */
const nothing = 'null'

/**
 * What registries of a line define differently, as in a rolling upgrade: kept by BullMQ as the jobs of a queue without
 * workers. The definition that is newest holds, as long as a registry is there that has it. What the engine loses is put
 * back by those who said it.
 */
export class BullmqBoard {
  readonly #queue: Queue<Notice>
  readonly #worker: DispatchWorker
  readonly #own = new Map<string, Own>()
  readonly #life: number
  #timer: Timer | undefined
  #isLooking = false
  #isAsked = false
  #isClosed = false

  constructor(name: string, connect: Connect, worker: DispatchWorker) {
    this.#worker = worker
    this.#life = Math.max(worker.lease, shortestLife)
    this.#queue = new Queue(name, { ...sharedOptions(connect), skipWaitingForReady: true }, connect.backend as never)
    this.#queue.on('error', (error) => worker.warn(error, `The board [${name}] had an error.`))
    // A server that is there again may be an empty one.
    onReady(this.#queue, () => this.#lookIn(0))
  }

  /** Says what this registry defines: `undefined` for nothing, which counts where another one says something. */
  publish(key: string, value: unknown, settled: Own['settled'] = () => undefined): void {
    const text = JSON.stringify(value) ?? nothing
    this.#own.set(key, { key, text, since: this.#worker.clock.now(), rival: undefined, settled })
    this.#lookIn(0)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    await waitBriefly(disconnect(this.#queue, 200), 200)
  }

  #lookIn(delay: number): void {
    this.#timer?.cancel()
    if (this.#isClosed) return
    this.#timer = this.#worker.clock.setTimer(delay, () => void this.#look(), { background: true })
  }

  /** One look at a time: what was published since it began is seen to by the next, at once. */
  async #look(): Promise<void> {
    this.#isAsked = this.#isLooking
    if (this.#isLooking) return
    this.#isLooking = true
    const { clock, lease, warn } = this.#worker
    try {
      const found = await this.#read()
      for (const own of this.#own.values()) await this.#settle(own, found.get(own.key), clock.now())
    } catch (error) {
      if (!this.#isClosed) warn(error, 'Could not look what other registries of the line define.')
    }
    this.#isLooking = false
    this.#lookIn(this.#isAsked ? 0 : Math.min(lease / looks.perLease, looks.longest))
  }

  /** What the board says. What is no notice, or of nobody any more, is removed. */
  async #read(): Promise<Map<string, Job<Notice>>> {
    const found = new Map<string, Job<Notice>>()
    const now = this.#worker.clock.now()
    for (const { id, job } of await readJobs(this.#queue, ['waiting'], maxNotices)) {
      const notice = job && noticeOf(job.data, id)
      if (job && notice && Math.abs(now - notice.seen) <= this.#life) found.set(notice.key, job)
      else await this.#queue.remove(id)
    }
    return found
  }

  async #settle(own: Own, job: Job<Notice> | undefined, now: number): Promise<void> {
    const { rival: last } = own
    const said = job?.data ?? last
    own.rival = said && now - said.seen <= this.#life && isBefore(own, said) ? said : undefined
    await own.settled(own.rival, last)
    if (own.rival || (own.text === nothing && !job)) return
    const isFresh = job?.data.text === own.text && now - job.data.seen < this.#life / 3
    if (!isFresh) await this.#write(own, job, now)
  }

  async #write({ key, text, since }: Own, job: Job<Notice> | undefined, now: number): Promise<void> {
    const isSame = job?.data.text === text
    const notice = { key, text, since: isSame ? Math.max(since, job.data.since) : since, seen: now }
    if (job) await job.updateData(notice)
    else await this.#queue.add('notice', notice, { jobId: key })
  }
}

/** Whether another definition holds in place of one of this registry. */
function isBefore(own: Own, said: Notice): boolean {
  if (said.text === own.text) return false
  return own.since === said.since ? own.text < said.text : own.since < said.since
}

function noticeOf(data: unknown, id: string): Notice | undefined {
  const { key, text, since, seen } = Object(data) as Partial<Record<keyof Notice, unknown>>
  const isText = key === id && typeof text === 'string' && text.length <= maxText
  const areTimes = Number.isSafeInteger(seen) && Number.isSafeInteger(since) && (since as number) <= (seen as number)
  return isText && areTimes ? (data as Notice) : undefined
}
