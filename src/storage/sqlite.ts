import { resolve } from 'node:path'
import {
  type BeginRequest,
  type BeginResult,
  type Clock,
  checkOptions,
  type ExecutionRecord,
  type FinishRequest,
  invalid,
  type JobStorage,
  type Lease,
  mayBegin,
  nextState,
  rule,
  type SaveRequest,
  type SearchFilter,
  type SearchResult,
  type StorageChange,
  systemClock,
} from '../index.js'
import { SqliteAccess } from './_sqlite-access.js'
import {
  type Connection,
  isReadOnly,
  type SqliteDatabase,
  type SqliteStatement,
  type SqliteValue,
} from './_sqlite-connection.js'
import { Jobs, nextExecutionId, write } from './_sqlite-jobs.js'
import { type LogLimits, search } from './_sqlite-log.js'
import { Watcher } from './_sqlite-watcher.js'

export type { SqliteDatabase, SqliteStatement, SqliteValue }

/** Where executions are kept, and how many. */
export interface SqliteStorageOptions {
  /** The file, which is made when it is not there; its directory must exist. Instead of `database`. */
  path?: string
  /** An open database of node:sqlite, better-sqlite3 or libsql, which stays open. Instead of `path`. */
  database?: SqliteDatabase
  /** The most ended executions that the log keeps. Default 100,000. */
  maxCount?: number
  /** How long the log keeps an ended execution, in milliseconds. Default: as long as `maxCount` allows. */
  maxAge?: number
  /** How often to look for changes by others while somebody watches, in milliseconds. Default 100. */
  pollInterval?: number
  /** The storage's clock, one for all that share the file. Default: the machine's. */
  clock?: Clock
}

const rules = {
  path: rule.optional(rule.text),
  database: rule.optional(rule.having('exec', 'prepare', 'close')),
  maxCount: rule.optional(rule.whole(1)),
  maxAge: rule.optional(rule.whole(1)),
  pollInterval: rule.optional(rule.whole(1)),
  clock: rule.optional(rule.having('now', 'setTimer')),
}

/**
 * Keeps executions in one file of SQLite, without a server. The processes of one machine may share the file.
 *
 * A path is opened at the first call, with Node's own SQLite (22.13 or newer), else with libsql, an optional peer. What was
 * acknowledged is on disk. Throws `invalid_options` here, and `storage` where the file cannot be read or written.
 */
export function sqliteStorage(options: SqliteStorageOptions): JobStorage {
  checkOptions('options', options, rules)
  const { path, database } = options
  if ((path === undefined) === (database === undefined)) {
    throw invalid('options', 'an object with either `path` or `database`', options)
  }
  if (path === ':memory:') throw invalid('path', 'a file: memoryStorage() keeps executions in memory', path)
  return new SqliteStorage(path === undefined ? options : { ...options, path: resolve(path) })
}

class SqliteStorage implements JobStorage {
  readonly #access: SqliteAccess
  readonly #clock: Clock
  readonly #limits: LogLimits
  readonly #watcher: Watcher

  constructor(options: SqliteStorageOptions) {
    const { path, database, maxCount = 100_000, maxAge, pollInterval = 100, clock = systemClock } = options
    this.#clock = wholeClock(clock)
    this.#limits = { maxCount, maxAge }
    this.#access = new SqliteAccess({ path, database, clock: this.#clock })
    this.#watcher = new Watcher(this.#access, this.#clock, pollInterval)
  }

  begin(request: BeginRequest): Promise<BeginResult> {
    const { type, id, state, node, lease, resumedFrom, takeovers } = request
    return this.#write((jobs, now) => {
      jobs.settleExpired(now)
      const before = jobs.find(type, id)
      if (before && !mayBegin(request, before)) return { started: false, execution: before }
      const scheduledFor = request.scheduledFor ?? before?.scheduledFor
      const execution: ExecutionRecord = {
        type,
        id,
        executionId: nextExecutionId(id, now, before),
        state,
        epoch: (before?.epoch ?? 0) + 1,
        node,
        startTime: now,
        leaseUntil: now + lease,
        count: 0,
        ...(before?.checkpoint !== undefined && { checkpoint: before.checkpoint }),
        ...(resumedFrom !== undefined && { resumedFrom }),
        ...(takeovers !== undefined && { takeovers }),
        ...(scheduledFor !== undefined && { scheduledFor }),
      }
      jobs.change(execution)
      return { started: true, execution }
    })
  }

  save(lease: Lease, request: SaveRequest): Promise<ExecutionRecord | undefined> {
    const { lease: duration, state, node, ...progress } = request
    return this.#write((jobs, now) => {
      jobs.settleExpired(now)
      const execution = jobs.held(lease)
      if (!execution || (node !== undefined && execution.node !== '')) return undefined
      write(execution, progress)
      if (node !== undefined) {
        execution.node = node
        execution.epoch++
      }
      execution.leaseUntil = now + duration
      if (state && execution.state === 'queued') {
        execution.state = state
        execution.startTime = now
        jobs.change(execution)
      } else {
        jobs.keep(execution)
      }
      return execution
    })
  }

  finish(lease: Lease, { state, error, isOrphaned, ...progress }: FinishRequest): Promise<ExecutionRecord | undefined> {
    return this.#write((jobs, now) => {
      const execution = jobs.held(lease)
      if (!execution) return undefined
      write(execution, progress)
      jobs.end(execution, now, { state, ...(error && { error }), ...(isOrphaned && { isOrphaned }) })
      return execution
    })
  }

  requestAbort(type: string, id: string): Promise<ExecutionRecord | undefined> {
    return this.#write((jobs, now) => {
      jobs.settleExpired(now)
      const execution = jobs.find(type, id)
      const next = execution && nextState(execution.state, 'abort')
      if (!next || next === execution.state) return execution
      execution.state = next
      jobs.change(execution)
      return execution
    })
  }

  find(type: string, id: string): Promise<ExecutionRecord | undefined> {
    return this.#read((jobs) => jobs.find(type, id))
  }

  live(type: string): Promise<ExecutionRecord[]> {
    return this.#read((jobs) => jobs.live(type))
  }

  orphans(): Promise<ExecutionRecord[]> {
    return this.#read((jobs) => jobs.orphans())
  }

  search(filter: SearchFilter): Promise<SearchResult<ExecutionRecord>> {
    return this.#read((_, connection, now) =>
      connection.transaction('deferred', () => search(connection, filter, this.#limits, now)),
    )
  }

  watch(listener: (change: StorageChange) => void): () => void {
    return this.#watcher.add(listener)
  }

  /** A statement that may write and changes nothing fails on a database that may only be read. */
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

  /** Shows what is there; takes the lock only when a lease has run out. */
  #read<Answer>(show: (jobs: Jobs, connection: Connection, now: number) => Answer): Promise<Answer> {
    return this.#access.read((connection) => {
      const jobs = new Jobs(connection, this.#limits)
      if (jobs.hasExpired(this.#clock.now())) this.#transact(connection, jobs, (now) => jobs.settleExpired(now))
      return show(jobs, connection, this.#clock.now())
    })
  }

  #write<Answer>(change: (jobs: Jobs, now: number) => Answer): Promise<Answer> {
    return this.#access.write((connection) => {
      const jobs = new Jobs(connection, this.#limits)
      return this.#transact(connection, jobs, (now) => change(jobs, now))
    })
  }

  /** All of `work` or nothing, at a time when nobody else writes. */
  #transact<Answer>(connection: Connection, jobs: Jobs, work: (now: number) => Answer): Answer {
    const answer = connection.transaction('immediate', () => {
      const now = this.#clock.now()
      const outage = this.#access.endOutage(now)
      if (outage !== undefined) jobs.excuse(outage, now)
      return work(now)
    })
    this.#watcher.tell(connection)
    return answer
  }
}

/** A clock whose times the columns can keep: whole milliseconds. */
function wholeClock(clock: Clock): Clock {
  return {
    now: () => Math.trunc(clock.now()),
    setTimer: (delay, callback, options) => clock.setTimer(delay, callback, options),
  }
}
