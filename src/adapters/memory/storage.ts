import {
  type AbortRequest,
  type BeginRequest,
  type BeginResult,
  type ClaimRequest,
  type Clock,
  canBegin,
  checkOptions,
  type ExecutionPage,
  type ExecutionRecord,
  executionOrder,
  type FinishRequest,
  isLive,
  JobMap,
  type JobName,
  type JobStorage,
  type LeaseToken,
  type LiveFilter,
  leaseExpired,
  mapInTurns,
  newExecutionId,
  nextState,
  type PageRequest,
  type Pauses,
  pageOf,
  pageSize,
  type RenewRequest,
  type ResetRequest,
  type ResetResult,
  rule,
  type SearchResult,
  type StorageChange,
  type StorageFilter,
  systemClock,
} from '../../adapter.js'
import { MemoryEnds } from './open-ends.js'
import { Ordered } from './ordered.js'
import { pausesOf } from './pauses.js'
import { copy, jsonOf, write } from './records.js'
import { Totals } from './totals.js'

/** The options of {@link memoryStorage}. */
export interface MemoryStorageOptions {
  /** The maximum number of ended executions in the log. Default 10,000. */
  maxCount?: number
  /** How long the log keeps an ended execution, in milliseconds. Default: no limit. */
  maxAge?: number
  /** The clock of the storage. Default: that of the machine. */
  clock?: Clock
}

/**
 * Stores executions in this process and loses them when it ends. Several registries of one process may share it. This
 * is the reference implementation of the storage contract.
 */
export function memoryStorage(options: MemoryStorageOptions = {}): JobStorage {
  checkOptions('options', options, {
    maxCount: rule.optional(rule.whole(1)),
    maxAge: rule.optional(rule.milliseconds(1)),
    clock: rule.optional(rule.aClock),
  })
  return new MemoryStorage(options)
}

/** The end of an execution. */
type Ending = { [Field in 'state' | 'error' | 'failure' | 'isOrphaned']?: FinishRequest[Field] | undefined } & Pick<
  FinishRequest,
  'state'
>

class MemoryStorage implements JobStorage {
  readonly #clock: Clock
  readonly #maxCount: number
  readonly #maxAge: number
  /** The last execution of every job, live or ended. Retention does not affect it. */
  readonly #newest = new JobMap<ExecutionRecord>()
  readonly #live = new Map<string, ExecutionRecord>()
  /** Ended executions in the order in which they ended. */
  readonly #log = new Map<string, ExecutionRecord>()
  /** The ended and the live executions, and the last ones that are orphans, in the order in which they began, oldest first. */
  readonly #ordered = { log: new Ordered(), live: new Ordered(), orphans: new Ordered() }
  readonly #totals = new Totals(matches)
  /** No lease expires before this time. */
  #nextExpiry = Number.POSITIVE_INFINITY
  readonly #listeners = new Set<(change: StorageChange) => void>()
  /** The checkpoints of jobs that never ran. */
  readonly #presets = new JobMap<unknown>()
  readonly pauses: Pauses
  readonly ends: MemoryEnds

  constructor({ clock = systemClock, maxCount = 10_000, maxAge = Number.POSITIVE_INFINITY }: MemoryStorageOptions) {
    this.#clock = clock
    this.#maxCount = maxCount
    this.#maxAge = maxAge
    this.pauses = pausesOf(clock)
    this.ends = new MemoryEnds(clock, copy)
  }

  begin(request: BeginRequest): Promise<BeginResult> {
    return this.#settled((now) => this.#begin(request, now))
  }

  renew(lease: LeaseToken, { lease: duration, ...progress }: RenewRequest): Promise<ExecutionRecord | undefined> {
    return this.#settled((now) => {
      const execution = this.#findClaimed(lease)
      if (!execution) return undefined
      write(execution, progress)
      this.#setLease(execution, now + duration)
      return copy(execution)
    })
  }

  claim(waiting: LeaseToken, { node, lease }: ClaimRequest): Promise<ExecutionRecord | undefined> {
    return this.#settled((now) => {
      const execution = this.#findByLease(waiting)
      if (!execution || execution.node !== null) return undefined
      execution.node = node
      execution.epoch++
      this.#setLease(execution, now + lease)
      this.#leaveQueue(execution, now)
      return copy(execution)
    })
  }

  run(lease: LeaseToken): Promise<ExecutionRecord | undefined> {
    return this.#settled((now) => {
      const execution = this.#findClaimed(lease)
      if (!execution) return undefined
      this.#leaveQueue(execution, now)
      return copy(execution)
    })
  }

  async finish(lease: LeaseToken, request: FinishRequest): Promise<ExecutionRecord | undefined> {
    const execution = this.#findByLease(lease)
    if (execution) {
      write(execution, request)
      this.#end(execution, this.#clock.now(), request)
    }
    this.#settleExpired()
    return execution && copy(execution)
  }

  requestAbort({ type, id, partition, reason, executionId }: AbortRequest): Promise<ExecutionRecord | undefined> {
    return this.#settled(() => {
      const execution = this.#find(type, id, partition)
      if (!execution) return undefined
      if (executionId !== undefined && execution.executionId !== executionId) return copy(execution)
      if (reason !== undefined && isLive(execution.state) && execution.state !== 'aborting')
        execution.abortReason = reason
      execution.state = nextState(execution.state, 'abort') ?? execution.state
      if (isLive(execution.state)) this.#emit(execution)
      return copy(execution)
    })
  }

  find(...job: Parameters<JobStorage['find']>): Promise<ExecutionRecord | undefined> {
    return this.#settled(() => {
      const execution = this.#find(...job)
      return execution && copy(execution)
    })
  }

  async live({ type, id, omitsDetail, ...page }: LiveFilter): Promise<ExecutionPage> {
    const matches = (execution: ExecutionRecord) => execution.type === type && (id === undefined || execution.id === id)
    return copied(await this.#settled(() => pageIn(this.#ordered.live, page, matches)), omitsDetail)
  }

  async orphans(page: PageRequest = {}): Promise<ExecutionPage> {
    return copied(await this.#settled(() => pageIn(this.#ordered.orphans, page)))
  }

  async search(filter: StorageFilter): Promise<SearchResult<ExecutionRecord>> {
    return copied(await this.#settled(() => this.#search(filter)), filter.omitsDetail)
  }

  async latest(jobs: readonly JobName[]): Promise<ExecutionRecord[]> {
    const hits = await this.#settled(() => jobs.flatMap(({ type, id }) => snapshotOf(this.#find(type, id))))
    return (await copied({ hits })).hits
  }

  reset(type: string, id: string, { checkpoint, executionId }: ResetRequest): Promise<ResetResult> {
    return this.#settled(() => {
      const isOfJob = (execution: ExecutionRecord) => execution.type === type && execution.id === id
      const live = [...this.#live.values()].find(isOfJob)
      const execution = live ?? this.#find(type, id)
      if (live || (executionId !== undefined && execution?.executionId !== executionId))
        return { reset: false, ...(execution && { execution: copy(execution) }) }
      for (const partition of this.#newest.partitions) if (isOfJob(partition)) write(partition, { checkpoint: null })
      if (!execution) {
        this.#presets.set({ type, id }, jsonOf(checkpoint))
        return { reset: true }
      }
      write(execution, { checkpoint })
      return { reset: true, execution: copy(execution) }
    })
  }

  watch(listener: (change: StorageChange) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #begin(request: BeginRequest, now: number): BeginResult {
    const { type, id, partition, state, node, lease, resumedFrom, takeovers, notifiesEnd } = request
    const before = this.#find(type, id, partition)
    if (before && !canBegin(request, before, now)) return { started: false, execution: copy(before) }
    const scheduledFor = request.scheduledFor ?? before?.scheduledFor
    const params = request.params ?? (resumedFrom === undefined ? undefined : before?.params)
    const execution: ExecutionRecord = {
      type,
      id,
      executionId: newExecutionId(id, now),
      state,
      epoch: (before?.epoch ?? 0) + 1,
      node,
      startTime: now,
      leaseUntil: null,
      count: 0,
    }
    if (partition !== undefined) execution.partition = partition
    if (resumedFrom !== undefined) execution.resumedFrom = resumedFrom
    if (takeovers !== undefined) execution.takeovers = takeovers
    if (scheduledFor !== undefined) execution.scheduledFor = scheduledFor
    if (params) execution.params = jsonOf(params)
    if (notifiesEnd) execution.notifiesEnd = notifiesEnd
    const { checkpoint = before ? before.checkpoint : this.#presets.get(execution) } = request
    write(execution, { checkpoint })
    this.#newest.set(execution, execution)
    this.#live.set(execution.executionId, execution)
    this.#ordered.live.add(execution)
    if (before?.isOrphaned) this.#ordered.orphans.delete(before)
    if (lease !== null) this.#setLease(execution, now + lease)
    this.#emit(execution)
    return { started: true, execution: copy(execution) }
  }

  #search(filter: StorageFilter): SearchResult<ExecutionRecord> {
    const { from = 0, size = 10, searchAfter } = filter
    const isLiveWanted = filter.state !== undefined && isLive(filter.state)
    const after = searchAfter === undefined ? undefined : (executionOrder(searchAfter) ?? '')
    const ordered = isLiveWanted ? this.#ordered.live : this.#ordered.log
    const count = () => ordered.count((execution) => matches(execution, filter))
    const total = isLiveWanted ? count() : this.#totals.of(filter, count)
    const hits: ExecutionRecord[] = []
    const end = Math.min(from + size, total)
    let passed = 0
    for (const execution of ordered.newestFirst(after)) {
      if (passed === end) break
      if (matches(execution, filter) && passed++ >= from) hits.push({ ...execution })
    }
    return { total, hits }
  }

  #find(type: string, id: string, partition?: number): ExecutionRecord | undefined {
    return this.#newest.get({ type, id, ...(partition !== undefined && { partition }) })
  }

  #findByLease({ executionId, epoch }: LeaseToken): ExecutionRecord | undefined {
    const execution = this.#live.get(executionId)
    return execution?.epoch === epoch ? execution : undefined
  }

  #findClaimed(lease: LeaseToken): ExecutionRecord | undefined {
    const execution = this.#findByLease(lease)
    return execution?.node === null ? undefined : execution
  }

  #setLease(execution: ExecutionRecord, until: number): void {
    execution.leaseUntil = until
    this.#nextExpiry = Math.min(this.#nextExpiry, until)
  }

  #leaveQueue(execution: ExecutionRecord, now: number): void {
    if (execution.state !== 'queued') return
    execution.state = 'running'
    execution.startTime = now
    this.#emit(execution)
  }

  /** Every method but `finish` works through this, so that it sees no expired lease. */
  async #settled<Answer>(work: (now: number) => Answer): Promise<Answer> {
    return work(this.#settleExpired())
  }

  /** Ends executions whose lease has expired, and deletes old ones from the log. Returns the time. */
  #settleExpired(): number {
    const now = this.#clock.now()
    if (now >= this.#nextExpiry) this.#settleExpiredAt(now)
    for (const execution of this.#log.values()) {
      if (this.#log.size <= this.#maxCount && now - (execution.endTime ?? now) <= this.#maxAge) break
      this.#log.delete(execution.executionId)
      this.#totals.add(execution, -1)
      this.ends.delete(execution)
      this.#ordered.log.delete(execution)
    }
    return now
  }

  #settleExpiredAt(now: number): void {
    for (const execution of this.#live.values()) {
      if (leaseEnd(execution) > now) continue
      this.#end(execution, now, { state: 'error', error: leaseExpired(execution), isOrphaned: true })
    }
    this.#nextExpiry = Number.POSITIVE_INFINITY
    for (const execution of this.#live.values()) this.#nextExpiry = Math.min(this.#nextExpiry, leaseEnd(execution))
  }

  #end(execution: ExecutionRecord, now: number, { state, error, failure, isOrphaned }: Ending): void {
    // An execution that was asked to abort does not become an orphan.
    const isAborting = execution.state === 'aborting'
    execution.state = state
    execution.endTime = now
    if (error) execution.error = [...error]
    if (failure) execution.failure = jsonOf(failure)
    if (isOrphaned && !isAborting) {
      execution.isOrphaned = true
      this.#ordered.orphans.add(execution)
    }
    this.#live.delete(execution.executionId)
    this.#ordered.live.delete(execution)
    this.#log.set(execution.executionId, execution)
    this.#totals.add(execution, 1)
    this.ends.add(execution)
    this.#ordered.log.add(execution)
    this.#emit(execution)
  }

  #emit({ type, id, partition, executionId, state }: ExecutionRecord): void {
    const change =
      partition === undefined ? { type, id, executionId, state } : { type, id, partition, executionId, state }
    for (const listener of this.#listeners) listener(change)
  }
}

/** A page of the executions that match. */
function pageIn(
  executions: Ordered,
  { size = pageSize, searchAfter, includePartitions = false }: PageRequest,
  matches = (_: ExecutionRecord) => true,
): ExecutionPage {
  const after = searchAfter === undefined ? '' : (executionOrder(searchAfter) ?? '')
  const hits: ExecutionRecord[] = []
  for (const execution of executions.oldestFirst(after)) {
    if (hits.length === size) break
    const isListed = includePartitions || execution.partition === undefined
    if (isListed && matches(execution)) hits.push({ ...execution })
  }
  return pageOf(hits, size)
}

/** An execution as it is now: its values are replaced, and never changed. */
function snapshotOf(execution: ExecutionRecord | undefined): ExecutionRecord[] {
  return execution ? [{ ...execution }] : []
}

/** Copies a list of snapshots. */
async function copied<List extends { hits: ExecutionRecord[] }>(list: List, omitsDetail = false): Promise<List> {
  return { ...list, hits: await mapInTurns(list.hits, omitsDetail ? withoutDetail : copy) }
}

function withoutDetail({
  checkpoint: _,
  detail: __,
  params: ___,
  logTail: ____,
  ...rest
}: ExecutionRecord): ExecutionRecord {
  return copy(rest)
}

/** When the lease of a live execution ends: never, while it is unclaimed. */
function leaseEnd({ leaseUntil }: ExecutionRecord): number {
  return leaseUntil ?? Number.POSITIVE_INFINITY
}

function matches(execution: ExecutionRecord, filter: StorageFilter): boolean {
  const { type, id, partition, includePartitions, state, startTimeFrom, startTimeTo } = filter
  return (
    (includePartitions || execution.partition === partition) &&
    (partition === undefined || execution.partition === partition) &&
    (type === undefined || execution.type === type) &&
    (id === undefined || execution.id === id) &&
    (state === undefined || execution.state === state) &&
    (startTimeFrom === undefined || execution.startTime >= startTimeFrom) &&
    (startTimeTo === undefined || execution.startTime <= startTimeTo)
  )
}
