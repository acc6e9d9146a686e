import { Poller } from './_poller.js'
import type { Clock } from './clock.js'
import { errorMessages } from './errors.js'
import { executionOrder, jobKey } from './ids.js'
import { isEnded, isLive } from './lifecycle.js'
import type { Logger } from './logger.js'
import type { ExecutionRecord, JobStorage, StorageChange } from './storage.js'

/** What a {@link Follower} needs of the registry. */
export interface FollowerHost {
  readonly storage: JobStorage
  readonly clock: Clock
  readonly logger: Logger
  /** The name of the registry instance. */
  readonly node: string
  /** The types of jobs that are known here. */
  types(): Iterable<string>
  /** Hears of a change on another node. */
  changed(record: ExecutionRecord, change: 'state' | 'progress'): void
}

/** The executions of one job that storage told of, and that are still to be looked at. */
interface Pending {
  readonly type: string
  readonly id: string
  readonly executionIds: Set<string>
}

/** How often to look at executions that live on other nodes, in milliseconds: for their progress. */
const interval = 1000

/** So many ended executions of a job may come between two looks. */
const maxMissed = 100

/** So many executions of this node are remembered, as word of them may come late. */
const maxOwn = 10_000

/**
 * Follows the executions of other nodes. A change that storage tells of is a reason to look, and what is found is told
 * once: each execution's end for certain, states on the way to it as far as they were seen.
 */
export class Follower {
  readonly #host: FollowerHost
  readonly #poller: Poller
  /** What was told last of each job. */
  readonly #told = new Map<string, ExecutionRecord>()
  readonly #pending = new Map<string, Pending>()
  readonly #own = new Set<string>()
  #hasBaseline = false

  constructor(host: FollowerHost) {
    this.#host = host
    this.#poller = new Poller({
      clock: host.clock,
      interval,
      look: () => this.#look(),
      failed: (error) => host.logger.warn({ error: errorMessages(error) }, 'Could not follow the jobs of other nodes.'),
    })
  }

  start(): void {
    this.#poller.start()
  }

  stop(): void {
    this.#poller.stop()
  }

  /** Storage told of a change. */
  hear({ type, id, executionId }: StorageChange): void {
    if (this.#own.has(executionId)) return
    const key = jobKey({ type, id })
    const pending = this.#pending.get(key) ?? { type, id, executionIds: new Set() }
    this.#pending.set(key, pending)
    pending.executionIds.add(executionId)
    this.#poller.nudge()
  }

  /** This node has told of the execution itself. */
  own({ executionId }: ExecutionRecord): void {
    this.#own.delete(executionId)
    this.#own.add(executionId)
    for (const oldest of this.#own) {
      if (this.#own.size <= maxOwn) break
      this.#own.delete(oldest)
    }
  }

  async #look(): Promise<void> {
    if (!this.#hasBaseline) await this.#takeBaseline()
    for (const [key, pending] of this.#pending) {
      const { executionIds } = pending
      await this.#lookAt({ ...pending, executionIds: new Set(executionIds) })
      this.#pending.delete(key)
    }
    await this.#lookAtLive()
  }

  /** What lives already is no news, but its progress will be. */
  async #takeBaseline(): Promise<void> {
    for (const type of new Set(this.#host.types())) {
      for (const record of await this.#host.storage.live(type)) {
        if (!this.#isOwn(record)) this.#told.set(jobKey(record), record)
      }
    }
    this.#hasBaseline = true
  }

  async #lookAt({ type, id, executionIds }: Pending): Promise<void> {
    const { storage } = this.#host
    const found = await storage.find(type, id)
    const missed = [...executionIds].filter((executionId) => executionId !== found?.executionId)
    if (missed.length > 0) {
      const { hits } = await storage.search({ type, id, size: maxMissed })
      for (const record of hits.reverse()) if (missed.includes(record.executionId)) this.#tell(record)
    }
    if (found) this.#tell(found)
  }

  async #lookAtLive(): Promise<void> {
    const live = [...this.#told.values()].filter(({ state }) => isLive(state))
    const seen = new Set<string>()
    for (const type of new Set(live.map((record) => record.type))) {
      for (const record of await this.#host.storage.live(type)) {
        seen.add(record.executionId)
        this.#tell(record)
      }
    }
    const gone = live.filter(({ executionId }) => !seen.has(executionId))
    for (const { type, id, executionId } of gone) await this.#lookAt({ type, id, executionIds: new Set([executionId]) })
  }

  #tell(record: ExecutionRecord): void {
    if (this.#isOwn(record)) return
    const key = jobKey(record)
    const before = this.#told.get(key)
    if (before && isOlder(record, before)) return
    this.#told.set(key, record)
    const isNew = before?.executionId !== record.executionId
    if (isNew || before.state !== record.state) this.#host.changed(record, 'state')
    else if (before.count !== record.count || before.lastId !== record.lastId) this.#host.changed(record, 'progress')
  }

  #isOwn({ executionId, node, state }: ExecutionRecord): boolean {
    return this.#own.has(executionId) || (node === this.#host.node && isLive(state))
  }
}

/** Whether `record` was overtaken by `told`: a later execution, or the end of the same one. */
function isOlder(record: ExecutionRecord, told: ExecutionRecord): boolean {
  if (record.executionId === told.executionId) return isEnded(told.state)
  return (executionOrder(record.executionId) ?? '') < (executionOrder(told.executionId) ?? '')
}
