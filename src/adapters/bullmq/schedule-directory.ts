import type { Job, Queue } from 'bullmq'
import type { DispatchWorker, Timer } from '../../adapter.js'
import { backendOf } from './backend.js'
import { type Connect, disconnect, onReady, sharedOptions, waitBriefly } from './connect.js'
import { removeLostJobs } from './lost-jobs.js'
import { bodyId, type Definition, definitionsOf, type Heartbeat, heartbeatId, heartbeatOf } from './schedule-entries.js'

/** A different and newer definition of another registry of the queue. */
export interface Notice extends Definition {
  /** When that registry was last seen, in epoch milliseconds. */
  readonly seen: number
}

/** Called with the rival: at every poll while there is one, and when it is gone. */
export type RivalListener = (rival: Notice | undefined, last: Notice | undefined) => unknown

/** What this registry defines. */
interface Own extends Definition {
  /** The newer definition that applies instead, if one is known. An engine that was emptied knows none. */
  rival: Notice | undefined
  readonly onRival: RivalListener
}

/** Another registry when it was last seen. */
interface Other extends Heartbeat {
  readonly definitions: readonly Definition[]
}

/** How often registries poll the directory within a lease, and how many milliseconds apart at most. */
const polls = { perLease: 6, longest: 5000 }

/**
 * The shortest time that a registry counts as present without a heartbeat, in milliseconds: the clocks of processes
 * differ.
 */
const shortestPresence = 5000

/** The maximum number of BullMQ jobs that are read. */
const maxJobs = 100_000

/** The text of an absent definition. */
const nothing = 'null'

/**
 * The definitions that registries of a queue do not share, as in a rolling upgrade. BullMQ keeps them as jobs of a
 * queue without workers. The newest definition applies as long as a registry that has it is present. Each registry
 * has one job as its heartbeat, and one with all its definitions, which the others read once. So a poll costs as many
 * commands as there are registries. What the engine loses is written again by its registry.
 */
export class ScheduleDirectory {
  readonly #queue: Queue
  readonly #isOnRedis: boolean
  readonly #worker: DispatchWorker
  readonly #self = crypto.randomUUID()
  readonly #own = new Map<string, Own>()
  readonly #others = new Map<string, Other>()
  readonly #presenceTime: number
  /** The written definitions of this registry, with a version that increases with each change. */
  #written = { version: 0, text: '[]' }
  #timer: Timer | undefined
  #isPolling = false
  #mustPollAgain = false
  #isClosed = false

  constructor(name: string, connect: Connect, worker: DispatchWorker) {
    this.#worker = worker
    this.#presenceTime = Math.max(worker.lease, shortestPresence)
    const { backend } = connect
    const driver = connect.driver as typeof import('bullmq')
    this.#queue = new driver.Queue(name, { ...sharedOptions(connect), skipWaitingForReady: true }, backend as never)
    this.#isOnRedis = backend === undefined
    this.#queue.on('error', (error) => worker.warn(error, `The directory [${name}] had an error.`))
    // A server that is back may be empty.
    onReady(this.#queue, () => this.#pollIn(0))
  }

  /** Publishes what this registry defines since then, or now. `undefined` means none, which counts where another registry has one. */
  publish(key: string, value: unknown, onRival: RivalListener = () => {}, since = this.#worker.clock.now()): void {
    const text = JSON.stringify(value) ?? nothing
    this.#own.set(key, { key, text, since, rival: undefined, onRival })
    this.#pollIn(0)
  }

  /** Publishes no definition any more, not even that there is none: those of other registries apply. */
  withdraw(key: string): void {
    if (this.#own.delete(key)) this.#pollIn(0)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    await waitBriefly(disconnect(this.#queue, 200), 200)
  }

  #pollIn(delay: number): void {
    this.#timer?.cancel()
    if (this.#isClosed) return
    this.#timer = this.#worker.clock.setTimer(delay, () => void this.#poll(), { background: true })
  }

  /** One poll at a time. What was published during a poll is handled by the next one, at once. */
  async #poll(): Promise<void> {
    this.#mustPollAgain = this.#isPolling
    if (this.#isPolling) return
    this.#isPolling = true
    const { lease, warn } = this.#worker
    try {
      const own = await this.#read()
      await this.#notifyAll()
      await this.#write(own)
    } catch (error) {
      if (!this.#isClosed) warn(error, 'Could not read the definitions of other registries of the queue.')
    }
    this.#isPolling = false
    this.#pollIn(this.#mustPollAgain ? 0 : Math.min(lease / polls.perLease, polls.longest))
  }

  /** Reads the present registries and their definitions. Returns the job ids, and removes jobs without a registry. */
  async #read(): Promise<ReadonlySet<string>> {
    const now = this.#worker.clock.now()
    const ids = new Set(await this.#queue.getRanges(['waiting'], 0, maxJobs - 1, true))
    const jobs = await Promise.all([...ids].filter(heartbeatId.is).map((id) => this.#job(id)))
    const present = jobs.flatMap((job) => heartbeatOf(job) ?? []).filter(({ seen }) => this.#isPresent(seen, now))
    for (const heartbeat of present) if (heartbeat.registry !== this.#self) await this.#readOther(heartbeat)
    for (const [registry, { seen }] of this.#others) if (!this.#isPresent(seen, now)) this.#others.delete(registry)
    const registries = new Set([this.#self, ...present.map(({ registry }) => registry)])
    for (const id of ids) {
      const registry = heartbeatId.registryOf(id) ?? bodyId.registryOf(id)
      // A damaged job that cannot be removed does no harm.
      if (!registries.has(registry ?? '')) await this.#queue.remove(id).catch(() => undefined)
    }
    return ids
  }

  /** Reads the definitions of another registry when they have changed. They may be written later. */
  async #readOther(heartbeat: Heartbeat): Promise<void> {
    const { registry, version, seen } = heartbeat
    const known = this.#others.get(registry)
    if (known?.version === version) return void this.#others.set(registry, { ...known, seen })
    const definitions = definitionsOf(await this.#job(bodyId.of(heartbeat)), seen)
    if (definitions) this.#others.set(registry, { ...heartbeat, definitions })
    else if (known) this.#others.set(registry, { ...known, seen })
  }

  /** Returns a job, or `undefined` for one that is missing or that BullMQ cannot read. */
  #job(id: string): Promise<Job | undefined> {
    return this.#queue.getJob(id).catch(() => undefined)
  }

  #isPresent(seen: number, now: number): boolean {
    return Math.abs(now - seen) <= this.#presenceTime
  }

  /** A callback that fails does not affect the others. */
  async #notifyAll(): Promise<void> {
    const newest = this.#newest()
    const errors: unknown[] = []
    for (const own of this.#own.values()) {
      const { rival: last } = own
      const found = newest.get(own.key)
      own.rival = found && isBefore(own, found) ? found : undefined
      try {
        await own.onRival(own.rival, last)
      } catch (error) {
        errors.push(error)
      }
    }
    if (errors.length > 0) throw errors[0]
  }

  /** The newest definition of each key among the other registries. */
  #newest(): Map<string, Notice> {
    const newest = new Map<string, Notice>()
    for (const { definitions, seen } of this.#others.values()) {
      for (const definition of definitions) {
        const known = newest.get(definition.key)
        if (!known || isNewer(definition, known)) newest.set(definition.key, { ...definition, seen })
      }
    }
    return newest
  }

  async #write(ids: ReadonlySet<string>): Promise<void> {
    const { clock } = this.#worker
    const { version: before } = this.#written
    const text = JSON.stringify(this.#toPublish())
    if (text !== this.#written.text) this.#written = { version: before + 1, text }
    const { version } = this.#written
    if (version === 0) return
    const registry = this.#self
    const heartbeat = { registry, version, seen: clock.now() }
    // The heartbeat comes first, because jobs without one are removed.
    await this.#put(heartbeatId.of(registry), heartbeat, ids)
    const body = bodyId.of(heartbeat)
    if (!ids.has(body)) await this.#add('definitions', { definitions: JSON.parse(text) }, body)
    if (version !== before) await this.#queue.remove(bodyId.of({ registry, version: before }))
  }

  /** The definitions of this registry. Absent ones are included only where other registries have a definition. */
  #toPublish(): Definition[] {
    const known = new Set([...this.#others.values()].flatMap(({ definitions }) => definitions.map(({ key }) => key)))
    const found = [...this.#own.values()].filter(({ key, text }) => text !== nothing || known.has(key))
    return found.map(({ key, text, since }) => ({ key, text, since }))
  }

  async #put(id: string, data: object, ids: ReadonlySet<string>): Promise<void> {
    const job = ids.has(id) ? await this.#job(id) : undefined
    // The engine may lose the job after it was read.
    const isUpdated = await job?.updateData(data).then(
      () => true,
      () => false,
    )
    if (!isUpdated) await this.#add('registry', data, id)
  }

  async #add(name: string, data: object, jobId: string): Promise<void> {
    if (this.#isOnRedis) await removeLostJobs(backendOf(this.#queue), [jobId])
    await this.#queue.add(name, data, { jobId })
  }
}

/** Whether another definition applies in place of one of this registry. */
function isBefore(own: Definition, found: Definition): boolean {
  return found.text !== own.text && isNewer(found, own)
}

function isNewer(one: Definition, other: Definition): boolean {
  return one.since === other.since ? one.text > other.text : one.since > other.since
}
