import { type Clock, systemClock } from '../core/clock.js'
import { executionOrder, JobMap, newExecutionId } from '../core/ids.js'
import { isLive, nextState } from '../core/lifecycle.js'
import { checkOptions, rule } from '../core/options.js'
import {
  type BeginRequest,
  type BeginResult,
  type ExecutionRecord,
  type FinishRequest,
  type JobStorage,
  type Lease,
  leaseExpired,
  mayBegin,
  type Progress,
  type SaveRequest,
  type SearchFilter,
  type SearchResult,
  type StorageChange,
} from '../core/storage.js'

/** How much the log of a memory storage keeps, and whose time it goes by. */
export interface MemoryStorageOptions {
  /** The most ended executions that the log keeps. Default 10,000. */
  maxCount?: number
  /** How long the log keeps an ended execution, in milliseconds. Default: as long as `maxCount` allows. */
  maxAge?: number
  /** The storage's clock. Default: the machine's. */
  clock?: Clock
}

/**
 * Keeps executions in this process, and loses them with it. The reference reading of the storage contract: several
 * registries of one process may share it.
 */
export function memoryStorage(options: MemoryStorageOptions = {}): JobStorage {
  checkOptions('options', options, {
    maxCount: rule.optional(rule.whole(1)),
    maxAge: rule.optional(rule.whole(1)),
    clock: rule.optional(rule.having('now', 'setTimer')),
  })
  return new MemoryStorage(options)
}

/** How an execution ends. */
type Ending = { [Field in 'state' | 'error' | 'isOrphaned']: FinishRequest[Field] | undefined } & Pick<
  FinishRequest,
  'state'
>

class MemoryStorage implements JobStorage {
  readonly #clock: Clock
  readonly #maxCount: number
  readonly #maxAge: number
  /** The newest execution of every job, live or ended. Retention does not touch it. */
  readonly #newest = new JobMap<ExecutionRecord>()
  readonly #live = new Map<string, ExecutionRecord>()
  /** Those of the newest executions that are orphans. */
  readonly #orphans = new Set<ExecutionRecord>()
  /** Ended executions in the order in which they ended. */
  readonly #log = new Map<string, ExecutionRecord>()
  /** The same, and those that live, in the order in which they began, the oldest first. */
  readonly #ordered = { log: new Ordered(), live: new Ordered() }
  /** No lease runs out before. */
  #nextExpiry = Number.POSITIVE_INFINITY
  readonly #listeners = new Set<(change: StorageChange) => void>()

  constructor({ clock = systemClock, maxCount = 10_000, maxAge = Number.POSITIVE_INFINITY }: MemoryStorageOptions) {
    this.#clock = clock
    this.#maxCount = maxCount
    this.#maxAge = maxAge
  }

  async begin(request: BeginRequest): Promise<BeginResult> {
    const { type, id, state, node, lease, resumedFrom, takeovers } = request
    const now = this.#settleExpired()
    const before = this.#newest.get({ type, id })
    if (before && !mayBegin(request, before)) return { started: false, execution: copy(before) }
    const scheduledFor = request.scheduledFor ?? before?.scheduledFor
    const execution: ExecutionRecord = {
      type,
      id,
      executionId: newExecutionId(id, now),
      state,
      epoch: (before?.epoch ?? 0) + 1,
      node,
      startTime: now,
      leaseUntil: now + lease,
      count: 0,
      ...(resumedFrom !== undefined && { resumedFrom }),
      ...(takeovers !== undefined && { takeovers }),
      ...(scheduledFor !== undefined && { scheduledFor }),
    }
    write(execution, { checkpoint: before?.checkpoint })
    this.#newest.set(execution, execution)
    this.#live.set(execution.executionId, execution)
    this.#ordered.live.add(execution)
    if (before) this.#orphans.delete(before)
    this.#nextExpiry = Math.min(this.#nextExpiry, execution.leaseUntil)
    this.#tell(execution)
    return { started: true, execution: copy(execution) }
  }

  async save(lease: Lease, request: SaveRequest): Promise<ExecutionRecord | undefined> {
    const { lease: duration, state, node, ...progress } = request
    const now = this.#settleExpired()
    const execution = this.#held(lease)
    if (!execution || (node !== undefined && execution.node !== '')) return undefined
    write(execution, progress)
    if (node !== undefined) {
      execution.node = node
      execution.epoch++
    }
    execution.leaseUntil = now + duration
    this.#nextExpiry = Math.min(this.#nextExpiry, execution.leaseUntil)
    if (state && execution.state === 'queued') {
      execution.state = state
      execution.startTime = now
      this.#tell(execution)
    }
    return copy(execution)
  }

  async finish(
    lease: Lease,
    { state, error, isOrphaned, ...progress }: FinishRequest,
  ): Promise<ExecutionRecord | undefined> {
    const execution = this.#held(lease)
    if (execution) {
      write(execution, progress)
      this.#end(execution, this.#clock.now(), { state, error, isOrphaned })
    }
    this.#settleExpired()
    return execution && copy(execution)
  }

  async requestAbort(type: string, id: string): Promise<ExecutionRecord | undefined> {
    this.#settleExpired()
    const execution = this.#newest.get({ type, id })
    if (!execution) return undefined
    execution.state = nextState(execution.state, 'abort') ?? execution.state
    if (isLive(execution.state)) this.#tell(execution)
    return copy(execution)
  }

  async find(type: string, id: string): Promise<ExecutionRecord | undefined> {
    this.#settleExpired()
    const execution = this.#newest.get({ type, id })
    return execution && copy(execution)
  }

  async live(type: string): Promise<ExecutionRecord[]> {
    this.#settleExpired()
    const found = [...this.#live.values()].filter((execution) => execution.type === type)
    return found.map(copy).sort((a, b) => a.startTime - b.startTime)
  }

  async orphans(): Promise<ExecutionRecord[]> {
    this.#settleExpired()
    return [...this.#orphans].map(copy)
  }

  async search(filter: SearchFilter): Promise<SearchResult<ExecutionRecord>> {
    this.#settleExpired()
    const { from = 0, size = 10, searchAfter } = filter
    const isLiveWanted = filter.state !== undefined && isLive(filter.state)
    const after = searchAfter === undefined ? undefined : (executionOrder(searchAfter) ?? '')
    const hits: ExecutionRecord[] = []
    let total = 0
    let passed = 0
    for (const { execution, order } of (isLiveWanted ? this.#ordered.live : this.#ordered.log).newestFirst()) {
      if (!matches(execution, filter)) continue
      total++
      const isAfter = after === undefined || order < after
      if (isAfter && passed++ >= from && hits.length < size) hits.push(copy(execution))
    }
    return { total, hits }
  }

  watch(listener: (change: StorageChange) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #held({ executionId, epoch }: Lease): ExecutionRecord | undefined {
    const execution = this.#live.get(executionId)
    return execution?.epoch === epoch ? execution : undefined
  }

  /** Settles what has expired and lets go of what is too old. Gives the time. */
  #settleExpired(): number {
    const now = this.#clock.now()
    if (now >= this.#nextExpiry) this.#settleExpiredAt(now)
    for (const execution of this.#log.values()) {
      if (this.#log.size <= this.#maxCount && now - (execution.endTime ?? now) <= this.#maxAge) break
      this.#log.delete(execution.executionId)
      this.#ordered.log.delete(execution)
    }
    return now
  }

  #settleExpiredAt(now: number): void {
    for (const execution of this.#live.values()) {
      if (execution.leaseUntil > now) continue
      this.#end(execution, now, { state: 'error', error: leaseExpired(execution), isOrphaned: true })
    }
    this.#nextExpiry = Number.POSITIVE_INFINITY
    for (const { leaseUntil } of this.#live.values()) this.#nextExpiry = Math.min(this.#nextExpiry, leaseUntil)
  }

  #end(execution: ExecutionRecord, now: number, { state, error, isOrphaned }: Ending): void {
    // What somebody wanted to stop is to stay so.
    const isAborting = execution.state === 'aborting'
    execution.state = state
    execution.endTime = now
    if (error) execution.error = [...error]
    if (isOrphaned && !isAborting) {
      execution.isOrphaned = true
      this.#orphans.add(execution)
    }
    this.#live.delete(execution.executionId)
    this.#ordered.live.delete(execution)
    this.#log.set(execution.executionId, execution)
    this.#ordered.log.add(execution)
    this.#tell(execution)
  }

  #tell({ type, id, executionId, state }: ExecutionRecord): void {
    for (const listener of this.#listeners) listener({ type, id, executionId, state })
  }
}

/** Executions in the order in which they began, kept sorted: a search of a long log would sort it for each page. */
class Ordered {
  readonly #entries: { readonly execution: ExecutionRecord; readonly order: string }[] = []

  add(execution: ExecutionRecord): void {
    const order = executionOrder(execution.executionId) ?? ''
    this.#entries.splice(this.#indexOf(order), 0, { execution, order })
  }

  delete({ executionId }: ExecutionRecord): void {
    const index = this.#indexOf(executionOrder(executionId) ?? '')
    if (this.#entries[index]?.execution.executionId === executionId) this.#entries.splice(index, 1)
  }

  *newestFirst(): Generator<{ readonly execution: ExecutionRecord; readonly order: string }> {
    for (let index = this.#entries.length - 1; index >= 0; index--) {
      const entry = this.#entries[index]
      if (entry) yield entry
    }
  }

  /** The place of the first that began then or later. */
  #indexOf(order: string): number {
    let [low, high] = [0, this.#entries.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#entries[middle]?.order ?? '') < order) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** A copy that shares nothing with the original. */
function copy(execution: ExecutionRecord): ExecutionRecord {
  const { checkpoint, detail, error } = execution
  return {
    ...execution,
    ...(checkpoint !== undefined && { checkpoint: jsonOf(checkpoint) }),
    ...(detail && { detail: jsonOf(detail) }),
    ...(error && { error: [...error] }),
  }
}

/** What a storage that keeps JSON would give back. */
function jsonOf<Value>(value: Value): Value {
  return JSON.parse(JSON.stringify(value))
}

/** Writes the fields that are given. A checkpoint of `null` takes the checkpoint away. */
function write(execution: ExecutionRecord, progress: Progress): void {
  const { count, lastId, checkpoint, detail } = progress
  if (count !== undefined) execution.count = count
  if (lastId !== undefined) execution.lastId = lastId
  if (checkpoint === null) delete execution.checkpoint
  else if (checkpoint !== undefined) execution.checkpoint = jsonOf(checkpoint)
  if (detail) execution.detail = jsonOf(detail)
}

function matches(execution: ExecutionRecord, { type, id, state, startTimeFrom, startTimeTo }: SearchFilter): boolean {
  return (
    (type === undefined ? !execution.type.startsWith('_') : execution.type === type) &&
    (id === undefined || execution.id === id) &&
    (state === undefined || execution.state === state) &&
    (startTimeFrom === undefined || execution.startTime >= startTimeFrom) &&
    (startTimeTo === undefined || execution.startTime <= startTimeTo)
  )
}
