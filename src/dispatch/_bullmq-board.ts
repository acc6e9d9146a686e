import { type Job, Queue } from 'bullmq'
import type { DispatchWorker, Timer } from '../index.js'
import {
  bodyId,
  type Definition,
  definitionsOf,
  type Heartbeat,
  heartbeatId,
  heartbeatOf,
} from './_bullmq-board-jobs.js'
import { type Connect, disconnect, onReady, sharedOptions, waitBriefly } from './_bullmq-connect.js'

/** What a registry that shares the line defines otherwise, and since later. */
export interface Notice extends Definition {
  /** When that registry was last seen, in epoch milliseconds. */
  readonly seen: number
}

/** What this registry defines. */
interface Own extends Definition {
  /** What holds in its place, as far as is known here: an engine that was emptied does not know. */
  rival: Notice | undefined
  /** Hears of the rival: at every look while there is one, and when it is gone. */
  readonly settled: (rival: Notice | undefined, last: Notice | undefined) => unknown
}

/** Another registry, as it was last seen. */
interface Other extends Heartbeat {
  readonly definitions: readonly Definition[]
}

/** How often registries look at the board within a lease, and how many milliseconds apart at most. */
const looks = { perLease: 6, longest: 5000 }

/** The least that a registry counts as being there without a sign of life, in milliseconds: the clocks of processes differ. */
const shortestLife = 5000

/** The most jobs of BullMQ that are read. */
const maxJobs = 100_000

/** What no registry says is written as this. */
const nothing = 'null'

/**
 * What registries of a line define differently, as in a rolling upgrade: kept by BullMQ as the jobs of a queue without
 * workers. The definition that is newest holds, as long as a registry is there that has it. Each registry has a job that
 * says that it is there, and one with all that it defines, which the others read once: a look costs as many commands as
 * there are registries, however much they define. What the engine loses is put back by those who said it.
 */
export class BullmqBoard {
  readonly #queue: Queue
  readonly #worker: DispatchWorker
  readonly #self = crypto.randomUUID()
  readonly #own = new Map<string, Own>()
  readonly #others = new Map<string, Other>()
  readonly #life: number
  /** What was written of what this registry defines: counted up with each change. */
  #written = { version: 0, text: '[]' }
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
    const { lease, warn } = this.#worker
    try {
      const own = await this.#read()
      await this.#settleAll()
      await this.#write(own)
    } catch (error) {
      if (!this.#isClosed) warn(error, 'Could not look what other registries of the line define.')
    }
    this.#isLooking = false
    this.#lookIn(this.#isAsked ? 0 : Math.min(lease / looks.perLease, looks.longest))
  }

  /** Reads who is there and what they define. Gives the jobs of this registry, and removes those of nobody. */
  async #read(): Promise<ReadonlySet<string>> {
    const now = this.#worker.clock.now()
    const ids = new Set(await this.#queue.getRanges(['waiting'], 0, maxJobs - 1, true))
    const jobs = await Promise.all([...ids].filter(heartbeatId.is).map((id) => this.#job(id)))
    const present = jobs.flatMap((job) => heartbeatOf(job) ?? []).filter(({ seen }) => this.#isThere(seen, now))
    for (const heartbeat of present) if (heartbeat.registry !== this.#self) await this.#meet(heartbeat)
    for (const [registry, { seen }] of this.#others) if (!this.#isThere(seen, now)) this.#others.delete(registry)
    const registries = new Set([this.#self, ...present.map(({ registry }) => registry)])
    for (const id of ids) {
      const registry = heartbeatId.registryOf(id) ?? bodyId.registryOf(id)
      // One that cannot be removed, as it is damaged, is in nobody's way.
      if (!registries.has(registry ?? '')) await this.#queue.remove(id).catch(() => undefined)
    }
    return ids
  }

  /** What another registry defines is read when it has changed. It may be written only later. */
  async #meet(heartbeat: Heartbeat): Promise<void> {
    const { registry, version, seen } = heartbeat
    const known = this.#others.get(registry)
    if (known?.version === version) return void this.#others.set(registry, { ...known, seen })
    const definitions = definitionsOf(await this.#job(bodyId.of(heartbeat)), seen)
    if (definitions) this.#others.set(registry, { ...heartbeat, definitions })
    else if (known) this.#others.set(registry, { ...known, seen })
  }

  /** A job: `undefined` for one that is gone, or that BullMQ cannot read. */
  #job(id: string): Promise<Job | undefined> {
    return this.#queue.getJob(id).catch(() => undefined)
  }

  #isThere(seen: number, now: number): boolean {
    return Math.abs(now - seen) <= this.#life
  }

  /** One that fails keeps the others from nothing. */
  async #settleAll(): Promise<void> {
    const newest = this.#newest()
    const errors: unknown[] = []
    for (const own of this.#own.values()) {
      const { rival: last } = own
      const said = newest.get(own.key)
      own.rival = said && isBefore(own, said) ? said : undefined
      try {
        await own.settled(own.rival, last)
      } catch (error) {
        errors.push(error)
      }
    }
    if (errors.length > 0) throw errors[0]
  }

  /** What the others define, of each key what is newest. */
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
    const text = JSON.stringify(this.#toSay())
    if (text !== this.#written.text) this.#written = { version: before + 1, text }
    const { version } = this.#written
    if (version === 0) return
    const registry = this.#self
    const heartbeat = { registry, version, seen: clock.now() }
    // The heartbeat comes first: what belongs to none is removed.
    await this.#put(heartbeatId.of(registry), heartbeat, ids)
    const body = bodyId.of(heartbeat)
    if (!ids.has(body)) await this.#queue.add('definitions', { definitions: JSON.parse(text) }, { jobId: body })
    if (version !== before) await this.#queue.remove(bodyId.of({ registry, version: before }))
  }

  /** What this registry defines, beside nothing where the others have nothing, either. */
  #toSay(): Definition[] {
    const known = new Set([...this.#others.values()].flatMap(({ definitions }) => definitions.map(({ key }) => key)))
    const said = [...this.#own.values()].filter(({ key, text }) => text !== nothing || known.has(key))
    return said.map(({ key, text, since }) => ({ key, text, since }))
  }

  async #put(id: string, data: object, ids: ReadonlySet<string>): Promise<void> {
    const job = ids.has(id) ? await this.#job(id) : undefined
    if (job) await job.updateData(data)
    else await this.#queue.add('registry', data, { jobId: id })
  }
}

/** Whether another definition holds in place of one of this registry. */
function isBefore(own: Definition, said: Definition): boolean {
  return said.text !== own.text && isNewer(said, own)
}

function isNewer(one: Definition, other: Definition): boolean {
  return one.since === other.since ? one.text > other.text : one.since > other.since
}
