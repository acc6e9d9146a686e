import { resolve } from 'node:path'
import {
  type AbortRequest,
  type BeginRequest,
  type BeginResult,
  type ClaimRequest,
  type Clock,
  canBegin,
  checkOptions,
  type EndClaim,
  type ExecutionPage,
  type ExecutionRecord,
  type FinishRequest,
  invalid,
  type JobName,
  type JobStorage,
  type LeaseToken,
  type LiveFilter,
  mapInTurns,
  nextState,
  type OpenEnds,
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
import { checkOneOption } from '../shared/index.js'
import { isReadOnly, type SqliteDatabase, type SqliteStatement, type SqliteValue } from './client/index.js'
import {
  type Connection,
  claimEnds,
  copyOf,
  executionOf,
  hasOpenEnd,
  hasRun,
  Jobs,
  type LogLimits,
  nextExecutionId,
  pause,
  pauses,
  SqliteAccess,
  search,
  settleEnd,
  unpause,
  Watcher,
  write,
} from './storage/index.js'

export type { SqliteDatabase, SqliteStatement, SqliteValue }

/** The options of {@link sqliteStorage}. */
export interface SqliteStorageOptions {
  /** The file, instead of `database`. It is created when it is missing; its directory must exist. */
  path?: string
  /** An open database of node:sqlite, better-sqlite3 or libsql, instead of `path`. It stays open. */
  database?: SqliteDatabase
  /** The maximum number of ended executions in the log. Default 100,000. */
  maxCount?: number
  /** How long the log keeps an ended execution, in milliseconds. Default: no limit. */
  maxAge?: number
  /**
   * How often the storage polls for changes of other processes while a registry watches, in milliseconds. Default
   * 100.
   */
  pollInterval?: number
  /** The clock of the storage, the same for all processes that share the file. Default: that of the machine. */
  clock?: Clock
}

const rules = {
  path: rule.optional(rule.text),
  database: rule.optional(rule.having('exec', 'prepare', 'close')),
  maxCount: rule.optional(rule.whole(1)),
  maxAge: rule.optional(rule.milliseconds(1)),
  pollInterval: rule.optional(rule.milliseconds(1)),
  clock: rule.optional(rule.aClock),
}

/**
 * Stores executions in one SQLite file, without a server. The processes of one machine may share the file.
 *
 * A path is opened at the first call, with the SQLite of Node (22.13 or newer), otherwise with libsql, an optional
 * peer dependency. A resolved call is on disk. Throws `invalid_options` here, and `storage` when the file cannot be
 * read or written.
 */
export function sqliteStorage(options: SqliteStorageOptions): JobStorage {
  checkOptions('options', options, rules)
  const { path } = options
  checkOneOption(options, ['path', 'database'])
  if (path === ':memory:') throw invalid('path', 'a file: memoryStorage() keeps executions in memory', path)
  return new SqliteStorage(path === undefined ? options : { ...options, path: resolve(path) })
}

class SqliteStorage implements JobStorage {
  readonly #access: SqliteAccess
  readonly #clock: Clock
  readonly #limits: LogLimits
  readonly #watcher: Watcher
  readonly pauses: Pauses = {
    pause: (scope, request) => this.#write((_, now, connection) => pause(connection, scope, request, now)),
    unpause: (scope) => this.#write((_, __, connection) => unpause(connection, scope)),
    list: () => this.#access.read(pauses),
  }
  readonly ends: OpenEnds = {
    claim: (request) => this.#claimEnds(request),
    settle: (executionId) => this.#write((_, __, connection) => settleEnd(connection, executionId)),
  }

  constructor(options: SqliteStorageOptions) {
    const { path, database, maxCount = 100_000, maxAge, pollInterval = 100, clock = systemClock } = options
    this.#clock = wholeClock(clock)
    this.#limits = { maxCount, maxAge }
    this.#access = new SqliteAccess({ path, database, clock: this.#clock })
    this.#watcher = new Watcher(this.#access, this.#clock, pollInterval)
  }

  begin(request: BeginRequest): Promise<BeginResult> {
    const { type, id, partition, state, node, lease, resumedFrom, takeovers, notifiesEnd } = request
    return this.#writeSettled((jobs, now) => {
      const before = jobs.findRow(type, id, partition)
      if (before && hasRun(before) && !canBegin(request, before, now)) return { started: false, execution: before }
      const scheduledFor = request.scheduledFor ?? before?.scheduledFor
      const params = request.params ?? (resumedFrom === undefined ? undefined : before?.params)
      const checkpoint = request.checkpoint === undefined ? before?.checkpoint : request.checkpoint
      const execution: ExecutionRecord = {
        type,
        id,
        ...(partition !== undefined && { partition }),
        executionId: nextExecutionId(id, now, before),
        state,
        epoch: (before?.epoch ?? 0) + 1,
        node,
        startTime: now,
        leaseUntil: lease === null ? null : now + lease,
        count: 0,
        ...(checkpoint !== undefined && checkpoint !== null && { checkpoint: copyOf(checkpoint) }),
        ...(resumedFrom !== undefined && { resumedFrom }),
        ...(takeovers !== undefined && { takeovers }),
        ...(scheduledFor !== undefined && { scheduledFor }),
        ...(params && { params: copyOf(params) }),
        ...(notifiesEnd && { notifiesEnd }),
      }
      jobs.change(execution)
      return { started: true, execution }
    }, request)
  }

  renew(lease: LeaseToken, { lease: duration, ...progress }: RenewRequest): Promise<ExecutionRecord | undefined> {
    return this.#writeSettled((jobs, now) => {
      const execution = jobs.findClaimed(lease)
      if (!execution) return undefined
      write(execution, progress)
      execution.leaseUntil = now + duration
      jobs.store(execution)
      return execution
    })
  }

  claim(waiting: LeaseToken, { node, lease }: ClaimRequest): Promise<ExecutionRecord | undefined> {
    return this.#writeSettled((jobs, now) => {
      const execution = jobs.findByLease(waiting)
      if (!execution || execution.node !== null) return undefined
      execution.node = node
      execution.epoch++
      execution.leaseUntil = now + lease
      jobs.leaveQueue(execution, now)
      return execution
    })
  }

  run(lease: LeaseToken): Promise<ExecutionRecord | undefined> {
    return this.#writeSettled((jobs, now) => {
      const execution = jobs.findClaimed(lease)
      if (execution) jobs.leaveQueue(execution, now)
      return execution
    })
  }

  finish(
    lease: LeaseToken,
    { state, error, failure, isOrphaned, ...progress }: FinishRequest,
  ): Promise<ExecutionRecord | undefined> {
    return this.#write((jobs, now) => {
      const execution = jobs.findByLease(lease)
      if (!execution) return undefined
      write(execution, progress)
      jobs.end(execution, now, {
        state,
        ...(error && { error }),
        ...(failure && { failure }),
        ...(isOrphaned && { isOrphaned }),
      })
      return execution
    })
  }

  requestAbort({ type, id, partition, reason, executionId }: AbortRequest): Promise<ExecutionRecord | undefined> {
    return this.#writeSettled(
      (jobs) => {
        const execution = jobs.find(type, id, partition)
        if (executionId !== undefined && execution?.executionId !== executionId) return execution
        const next = execution && nextState(execution.state, 'abort')
        if (!next || next === execution.state) return execution
        execution.state = next
        if (reason !== undefined) execution.abortReason = reason
        jobs.change(execution)
        return execution
      },
      { type, id },
    )
  }

  find(...job: Parameters<JobStorage['find']>): Promise<ExecutionRecord | undefined> {
    const [type, id] = job
    return this.#read((jobs) => jobs.find(...job), { type, id })
  }

  async live(filter: LiveFilter): Promise<ExecutionPage> {
    const rows = await this.#read((jobs) => jobs.live(filter), filter)
    return pageOf(await mapInTurns(rows, executionOf), filter.size ?? pageSize)
  }

  async orphans(page: PageRequest = {}): Promise<ExecutionPage> {
    const rows = await this.#read((jobs) => jobs.orphans(page))
    return pageOf(await mapInTurns(rows, executionOf), page.size ?? pageSize)
  }

  async search(filter: StorageFilter): Promise<SearchResult<ExecutionRecord>> {
    const { total, hits } = await this.#read((_, connection, now) =>
      connection.transaction('deferred', () => search(connection, filter, this.#limits, now)),
    )
    return { total, hits: await mapInTurns(hits, executionOf) }
  }

  async latest(names: readonly JobName[]): Promise<ExecutionRecord[]> {
    const rows = await this.#read((jobs) => jobs.latest(names))
    return (await mapInTurns(rows, executionOf)).filter(hasRun)
  }

  reset(type: string, id: string, { checkpoint, executionId }: ResetRequest): Promise<ResetResult> {
    return this.#writeSettled((jobs) => {
      const [live] = jobs.live({ type, id, includePartitions: true, size: 1 })
      if (live) return { reset: false, execution: executionOf(live) }
      const last = executionId === undefined ? undefined : jobs.find(type, id)
      if (last?.executionId !== executionId) return { reset: false, ...(last && { execution: last }) }
      const execution = jobs.reset(type, id, checkpoint)
      return { reset: true, ...(execution && { execution }) }
    })
  }

  watch(listener: (change: StorageChange) => void): () => void {
    return this.#watcher.add(listener)
  }

  /** A write statement that changes nothing fails on a read-only database. */
  async isWritable(): Promise<boolean> {
    try {
      await this.#access.write((connection) => connection.run('delete from headgate_log where false'))
      return true
    } catch (error) {
      if (isReadOnly(Object(error).cause)) return false
      throw error
    }
  }

  close(): Promise<void> {
    this.#watcher.close()
    return this.#access.close()
  }

  /** Takes the lock only when there is something to claim: most looks are empty. */
  async #claimEnds(request: EndClaim): Promise<ExecutionRecord[]> {
    if (!(await this.#access.read((connection) => hasOpenEnd(connection, request, this.#clock.now())))) return []
    return this.#write((_, now, connection) => claimEnds(connection, request, now))
  }

  /** Reads without a lock, unless a lease has expired. */
  #read<Answer>(
    read: (jobs: Jobs, connection: Connection, now: number) => Answer,
    job?: Partial<JobName>,
  ): Promise<Answer> {
    return this.#access.read((connection) => {
      const jobs = new Jobs(connection, this.#limits)
      const settle = (now: number) => jobs.settleExpired(now, job)
      if (jobs.hasExpired(this.#clock.now(), job)) this.#transact(connection, jobs, settle)
      return read(jobs, connection, this.#clock.now())
    })
  }

  /** Every write but `finish` works through this, so that it sees no expired lease. */
  #writeSettled<Answer>(change: (jobs: Jobs, now: number) => Answer, job?: JobName): Promise<Answer> {
    return this.#write((jobs, now) => {
      jobs.settleExpired(now, job)
      return change(jobs, now)
    })
  }

  #write<Answer>(change: (jobs: Jobs, now: number, connection: Connection) => Answer): Promise<Answer> {
    return this.#access.write((connection) => {
      const jobs = new Jobs(connection, this.#limits)
      return this.#transact(connection, jobs, (now) => change(jobs, now, connection))
    })
  }

  /** Runs `work` in one transaction that excludes other writers. */
  #transact<Answer>(connection: Connection, jobs: Jobs, work: (now: number) => Answer): Answer {
    const answer = connection.transaction('immediate', () => {
      const now = this.#clock.now()
      const outage = this.#access.endOutage(now)
      if (outage !== undefined) jobs.extendLeases(outage, now)
      return work(now)
    })
    this.#watcher.emit(connection)
    return answer
  }
}

/** A clock with whole milliseconds, as the columns require. */
function wholeClock(clock: Clock): Clock {
  return {
    now: () => Math.trunc(clock.now()),
    setTimer: (delay, callback, options) => clock.setTimer(delay, callback, options),
  }
}
