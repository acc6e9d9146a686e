import { Poller } from './_poller.js'
import type { Clock } from './clock.js'
import { errorMessages } from './errors.js'
import { executionOrder, jobKey } from './ids.js'
import { isEnded, isLive } from './lifecycle.js'
import type { Logger } from './logger.js'
import { areAlike } from './status.js'
import type { ExecutionRecord, JobStorage, StorageChange } from './storage.js'

/** What a {@link Follower} needs of the registry. */
export interface FollowerHost {
  readonly storage: JobStorage
  readonly clock: Clock
  readonly logger: Logger
  /** Whether this node runs the job, or is about to. */
  isHere(job: Pick<ExecutionRecord, 'type' | 'id'>): boolean
  /** The types of jobs that are known here. */
  types(): Iterable<string>
  /** Whether anybody wants to hear. */
  isFollowed(): boolean
  /** Hears of a change on another node. */
  changed(record: ExecutionRecord, change: 'state' | 'progress'): void
}

/** The executions of one job that storage told of, and that are still to be looked at. */
interface Pending {
  readonly type: string
  readonly id: string
  readonly executionIds: readonly string[]
}

/** How often to look at executions that live on other nodes, in milliseconds: for their progress. */
const interval = 1000

/** How many ended executions of a job to look through at a time. */
const pageSize = 100

/** So many executions are remembered that need not be told, as word of them may come late. */
const maxRemembered = 10_000

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
  /** Executions of this node, which it tells of itself. */
  readonly #own = new Recent()
  /** Executions whose end was told. */
  readonly #ended = new Recent()
  #hasBaseline = false
  #isStopped = false

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
    this.#isStopped = true
    this.#poller.stop()
  }

  /** Storage told of a change. */
  hear({ type, id, executionId }: StorageChange): void {
    if (!this.#host.isFollowed() || this.#own.has(executionId)) return
    this.#expect({ type, id, executionIds: [executionId] })
    this.#poller.nudge()
  }

  /** This node has told of the execution itself. */
  own({ executionId }: ExecutionRecord): void {
    this.#own.add(executionId)
  }

  async #look(): Promise<void> {
    if (!this.#host.isFollowed()) {
      this.#told.clear()
      this.#hasBaseline = false
      return
    }
    if (!this.#hasBaseline) await this.#takeBaseline()
    for (const [key, pending] of this.#pending) {
      this.#pending.delete(key)
      try {
        await this.#lookAt(pending)
      } catch (error) {
        this.#expect(pending)
        throw error
      }
    }
    await this.#lookAtLive()
  }

  #expect({ type, id, executionIds }: Pending): void {
    const key = jobKey({ type, id })
    const before = this.#pending.get(key)?.executionIds ?? []
    this.#pending.set(key, { type, id, executionIds: [...new Set([...before, ...executionIds])] })
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
    const found = await this.#host.storage.find(type, id)
    const told = this.#told.get(jobKey({ type, id }))
    // Of one that was seen to live, the end is told too, though nobody told of it.
    const expected = told && isLive(told.state) ? [...executionIds, told.executionId] : executionIds
    const others = expected.filter((executionId) => executionId !== found?.executionId)
    for (const record of await this.#ends(type, id, others)) this.#tell(record)
    if (found) this.#tell(found)
  }

  /** Those of the executions of a job that have ended, oldest first. */
  async #ends(type: string, id: string, executionIds: readonly string[]): Promise<ExecutionRecord[]> {
    const [oldest] = executionIds.map((executionId) => orderOf(executionId)).sort()
    const ends: ExecutionRecord[] = []
    let last: ExecutionRecord | undefined
    while (oldest !== undefined && orderOf(last?.executionId) >= oldest) {
      const page = { type, id, size: pageSize, ...(last && { searchAfter: last.executionId }) }
      const { hits } = await this.#host.storage.search(page)
      ends.unshift(...hits.filter(({ executionId }) => executionIds.includes(executionId)).reverse())
      last = hits.at(-1)
      if (!last) break
    }
    return ends
  }

  async #lookAtLive(): Promise<void> {
    const before = [...this.#told.values()].filter(({ state }) => isLive(state))
    const now: ExecutionRecord[] = []
    for (const type of new Set(before.map((record) => record.type))) {
      for (const record of await this.#host.storage.live(type)) now.push(record)
    }
    const there = new Set(now.map(({ executionId }) => executionId))
    const isGone = ({ executionId }: ExecutionRecord) => !there.has(executionId)
    for (const { type, id, executionId } of before.filter(isGone)) {
      await this.#lookAt({ type, id, executionIds: [executionId] })
    }
    for (const record of now) this.#tell(record)
  }

  #tell(record: ExecutionRecord): void {
    if (this.#isStopped || this.#isOwn(record)) return
    const before = this.#told.get(jobKey(record))
    const isLatest = orderOf(record.executionId) >= orderOf(before?.executionId, '')
    const { executionId, state } = record
    if (this.#ended.has(executionId) || (isLive(state) && !isLatest)) return
    if (isEnded(state)) this.#ended.add(executionId)
    if (isLatest) this.#told.set(jobKey(record), record)
    if (before?.executionId !== executionId || before.state !== state) this.#host.changed(record, 'state')
    else if (!areAlike(before, record)) this.#host.changed(record, 'progress')
  }

  #isOwn(record: ExecutionRecord): boolean {
    return this.#own.has(record.executionId) || (isLive(record.state) && this.#host.isHere(record))
  }
}

/** The ids of executions, of which the ones that came first are forgotten when there are too many. */
class Recent {
  readonly #executionIds = new Set<string>()

  has(executionId: string): boolean {
    return this.#executionIds.has(executionId)
  }

  add(executionId: string): void {
    this.#executionIds.delete(executionId)
    this.#executionIds.add(executionId)
    if (this.#executionIds.size <= maxRemembered) return
    for (const first of this.#executionIds) {
      this.#executionIds.delete(first)
      break
    }
  }
}

/** The place of an execution in the log: of none, `last` or the end of the log. */
function orderOf(executionId: string | undefined, last = '~'): string {
  return executionId === undefined ? last : (executionOrder(executionId) ?? '')
}
