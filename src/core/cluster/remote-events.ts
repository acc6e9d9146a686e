import { errorMessages, executionOrder, jobKey, Poller } from '../base/index.js'
import { emitChange, type IsolatedEmitter } from '../events/index.js'
import type { JobCatalog, LocalExecutions } from '../execution/index.js'
import { type ExecutionRecord, hasSameProgress, isEnded, isLive } from '../model/index.js'
import type { Runtime } from '../runtime/index.js'
import { allLive, type StorageChange } from '../storage/index.js'

/** The changed executions of one job that are still to be read. */
interface Pending {
  readonly type: string
  readonly id: string
  readonly executionIds: Set<string>
}

/** How often to poll executions of other nodes for progress, in milliseconds. */
const interval = 1000

/** How many ended executions of a job to read per page. */
const pageSize = 100

/** How many changed executions of one job to read: anyone may notify of any number that do not exist. */
const maxPending = 10_000

/** How many handled executions to remember, as notifications may come late. */
const maxRemembered = 10_000

/**
 * Emits changes to executions of other nodes. A change in storage triggers a read, and the result is emitted once: the end of each
 * execution always, earlier states as far as they were observed.
 */
export class RemoteEvents {
  readonly #runtime: Runtime
  readonly #jobs: JobCatalog
  readonly #executions: LocalExecutions
  readonly #emitter: IsolatedEmitter
  readonly #poller: Poller
  /** The last emitted record of each job. */
  readonly #emitted = new Map<string, ExecutionRecord>()
  readonly #pending = new Map<string, Pending>()
  /** Executions of this node, which emits them itself. */
  readonly #own = new Recent()
  /** Executions whose end was emitted. */
  readonly #ended = new Recent()
  #hasBaseline = false
  #isStopped = false

  constructor(runtime: Runtime, jobs: JobCatalog, executions: LocalExecutions, emitter: IsolatedEmitter) {
    const { clock, logger, events } = runtime
    this.#runtime = runtime
    this.#jobs = jobs
    this.#executions = executions
    this.#emitter = emitter
    this.#poller = new Poller({
      clock,
      interval,
      poll: () => this.#refresh(),
      onFailed: (error) => logger.warn({ error: errorMessages(error) }, 'Could not observe the jobs of other nodes.'),
    })
    events.on('changed', ({ executionId }) => this.#own.add(executionId))
    events.on('storageChange', (change) => this.#handleStorageChange(change))
  }

  start(): void {
    this.#poller.start()
  }

  stop(): void {
    this.#isStopped = true
    this.#poller.stop()
  }

  #handleStorageChange({ type, id, partition, executionId }: StorageChange): void {
    if (partition !== undefined || !this.#emitter.hasListeners || this.#own.has(executionId)) return
    this.#expect({ type, id }, executionId)
    this.#poller.nudge()
  }

  async #refresh(): Promise<void> {
    if (!this.#emitter.hasListeners) {
      this.#emitted.clear()
      this.#hasBaseline = false
      return
    }
    if (!this.#hasBaseline) await this.#takeBaseline()
    for (const [key, pending] of this.#pending) {
      this.#pending.delete(key)
      try {
        await this.#refreshJob(pending)
      } catch (error) {
        this.#expect(pending, ...pending.executionIds)
        throw error
      }
    }
    await this.#refreshLive()
  }

  #expect({ type, id }: Pick<Pending, 'type' | 'id'>, ...executionIds: readonly string[]): void {
    const key = jobKey({ type, id })
    const pending = this.#pending.get(key) ?? { type, id, executionIds: new Set() }
    this.#pending.set(key, pending)
    for (const executionId of executionIds)
      if (pending.executionIds.size < maxPending) pending.executionIds.add(executionId)
  }

  /** Records live executions without emitting them. Their later changes are emitted. */
  async #takeBaseline(): Promise<void> {
    for (const type of this.#jobs.types) {
      for (const record of await allLive(this.#runtime.storage, { type })) {
        if (!this.#isOwn(record)) this.#emitted.set(jobKey(record), record)
      }
    }
    this.#hasBaseline = true
  }

  async #refreshJob({ type, id, executionIds }: Pending): Promise<void> {
    const found = await this.#runtime.storage.find(type, id)
    const emitted = this.#emitted.get(jobKey({ type, id }))
    // The end of an observed live execution is emitted even without a notification.
    const expected = [...executionIds, ...(emitted && isLive(emitted.state) ? [emitted.executionId] : [])]
    const others = expected.filter((executionId) => executionId !== found?.executionId)
    for (const record of await this.#ends(type, id, others)) this.#emit(record)
    if (found) this.#emit(found)
  }

  /** The ended ones of a job's executions, oldest first. */
  async #ends(type: string, id: string, executionIds: readonly string[]): Promise<ExecutionRecord[]> {
    const wanted = new Set(executionIds)
    const [oldest] = executionIds.map((executionId) => orderOf(executionId)).sort()
    const ends: ExecutionRecord[] = []
    let last: ExecutionRecord | undefined
    while (oldest !== undefined && orderOf(last?.executionId) >= oldest) {
      const page = { type, id, size: pageSize, ...(last && { searchAfter: last.executionId }) }
      const { hits } = await this.#runtime.storage.search(page)
      ends.unshift(...hits.filter(({ executionId }) => wanted.has(executionId)).reverse())
      last = hits.at(-1)
      if (!last) break
    }
    return ends
  }

  async #refreshLive(): Promise<void> {
    const before = [...this.#emitted.values()].filter(({ state }) => isLive(state))
    const now: ExecutionRecord[] = []
    for (const type of new Set(before.map((record) => record.type))) {
      for (const record of await allLive(this.#runtime.storage, { type })) now.push(record)
    }
    const there = new Set(now.map(({ executionId }) => executionId))
    const isGone = ({ executionId }: ExecutionRecord) => !there.has(executionId)
    for (const { type, id, executionId } of before.filter(isGone)) {
      await this.#refreshJob({ type, id, executionIds: new Set([executionId]) })
    }
    for (const record of now) this.#emit(record)
  }

  #emit(record: ExecutionRecord): void {
    if (this.#isStopped || this.#isOwn(record)) return
    const before = this.#emitted.get(jobKey(record))
    const isLatest = orderOf(record.executionId) >= orderOf(before?.executionId, '')
    const { executionId, state } = record
    if (this.#ended.has(executionId) || (isLive(state) && !isLatest)) return
    if (isEnded(state)) this.#ended.add(executionId)
    if (isLatest) this.#emitted.set(jobKey(record), record)
    if (before?.executionId !== executionId || before.state !== state) this.#announce(record, 'state')
    else if (!hasSameProgress(before, record)) this.#announce(record, 'progress')
  }

  #announce(record: ExecutionRecord, change: 'state' | 'progress'): void {
    emitChange([this.#emitter], record, change)
  }

  #isOwn(record: ExecutionRecord): boolean {
    return this.#own.has(record.executionId) || (isLive(record.state) && this.#executions.hasJob(record))
  }
}

/** A bounded set of execution ids that forgets the oldest. */
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

/** The position of an execution in the log. Without an id, `last`, by default the end of the log. */
function orderOf(executionId: string | undefined, last = '~'): string {
  return executionId === undefined ? last : (executionOrder(executionId) ?? '')
}
