import {
  type ExecutionRecord,
  executionOrder,
  type FinishRequest,
  JobError,
  type JobName,
  type LeaseToken,
  type LiveFilter,
  leaseExpired,
  newExecutionId,
  type PageRequest,
  type Progress,
  pageSize,
} from '../../../adapter.js'
import { isConstraint } from '../client/index.js'
import type { Connection, SqliteRow } from './connection.js'
import { type LogLimits, trim } from './log-table.js'
import { columns, executionOf, noPartition, positionOf, selected, selectedFor, valuesOf } from './rows.js'

const upsertJob = `insert into headgate_job (${columns.join(', ')}) values (${columns.map(() => '?').join(', ')})
  on conflict (type, id, partition) do update set ${columns.map((column) => `${column} = excluded.${column}`).join(', ')}`

const copyToLog = `insert into headgate_log (${columns.join(', ')}, changed)
  select ${columns.join(', ')}, changed from headgate_job where type = ? and id = ? and partition = ?`

/** The last time of a date, in epoch milliseconds. A lease beyond it was granted by nobody, and has expired. */
const lastTime = 8_640_000_000_000_000

/** SQL for whether the number of a change is valid. Larger numbers cannot be incremented or read by all drivers. */
export const isNumbered = `changed < ${Number.MAX_SAFE_INTEGER}`

/** The end of an execution. */
export type Ending = Pick<FinishRequest, 'state' | 'error' | 'failure' | 'isOrphaned'>

/** The last execution of every job. Writes need an immediate transaction. */
export class Jobs {
  readonly #connection: Connection
  readonly #limits: LogLimits

  constructor(connection: Connection, limits: LogLimits) {
    this.#connection = connection
    this.#limits = limits
  }

  find(type: string, id: string, partition?: number): ExecutionRecord | undefined {
    const found = this.findRow(type, id, partition)
    return found && hasRun(found) ? found : undefined
  }

  /** The same, also for a job that never ran, whose row holds only a checkpoint. */
  findRow(type: string, id: string, partition = noPartition): ExecutionRecord | undefined {
    const statement = `select ${selected} from headgate_job where type = ? and id = ? and partition = ?`
    const row = this.#connection.get(statement, type, id, partition)
    return row && executionOf(row)
  }

  /** The live execution of a lease. */
  findByLease({ executionId, epoch }: LeaseToken): ExecutionRecord | undefined {
    const row = this.#connection.get(
      `select ${selected} from headgate_job where execution_id = ? and epoch = ? and end_time is null`,
      executionId,
      epoch,
    )
    return row && executionOf(row)
  }

  /** The live execution of a lease that a node has claimed. */
  findClaimed(lease: LeaseToken): ExecutionRecord | undefined {
    const execution = this.findByLease(lease)
    return execution?.node === null ? undefined : execution
  }

  /** The rows of jobs. Lists give rows, so that converting them need not happen in one piece. */
  latest(jobs: readonly JobName[]): SqliteRow[] {
    const names = JSON.stringify(jobs.map(({ type, id }) => [type, id]))
    return this.#connection.all(
      `select ${selected} from headgate_job where (type, id, partition) in
        (select value ->> 0, value ->> 1, ${noPartition} from json_each(?))`,
      names,
    )
  }

  /** Sets where the next execution of a job begins, which is not live. */
  reset(type: string, id: string, checkpoint: unknown): ExecutionRecord | undefined {
    this.#connection.run(
      `update headgate_job set checkpoint = null where type = ? and id = ? and partition <> ${noPartition}`,
      type,
      id,
    )
    const execution = this.findRow(type, id) ?? neverRun(type, id)
    write(execution, { checkpoint })
    this.store(execution)
    return hasRun(execution) ? execution : undefined
  }

  live({ type, id, ...page }: LiveFilter): SqliteRow[] {
    if (id === undefined) return this.#page('type = ? and end_time is null', [type], page)
    return this.#page('type = ? and id = ? and end_time is null', [type, id], page)
  }

  orphans(page: PageRequest): SqliteRow[] {
    return this.#page('is_orphaned is not null', [], page)
  }

  #page(condition: string, values: string[], page: Omit<LiveFilter, 'type'>): SqliteRow[] {
    const { size = pageSize, searchAfter, includePartitions, omitsDetail } = page
    const listed = includePartitions ? condition : `${condition} and partition = ${noPartition}`
    return this.#connection.all(
      `select ${selectedFor(omitsDetail)} from headgate_job where ${listed} and position > ? order by position limit ?`,
      ...values,
      searchAfter === undefined ? '' : (executionOrder(searchAfter) ?? ''),
      size,
    )
  }

  /** Whether any lease has expired, or `job` lacks one. */
  hasExpired(now: number, job?: Partial<JobName>): boolean {
    return this.#expired('1', now, job, 'limit 1').length > 0
  }

  /** Ends executions whose lease has expired, and those of `job` that lack one. */
  settleExpired(now: number, job?: Partial<JobName>): void {
    const expired = this.#expired(`rowid as row_id, ${selected}`, now, job)
    for (const { row_id: rowId, ...row } of expired) this.#settle(executionOf(row), Number(rowId), now)
  }

  /** A claimed execution without a lease, as others may have written it, is found by its job: most without a lease are unclaimed. */
  #expired(columns: string, now: number, { type, id }: Partial<JobName> = {}, limit = ''): SqliteRow[] {
    const from = `select ${columns} from headgate_job where end_time is null and`
    const rows = this.#connection.all(`${from} (lease_until <= ? or lease_until > ${lastTime}) ${limit}`, now)
    if (type === undefined) return rows
    const ofJob = id === undefined ? [type] : [type, id]
    const isOfJob = id === undefined ? 'type = ?' : 'type = ? and id = ?'
    const lacksLease = 'lease_until is null and claimed_by is not null'
    return [...rows, ...this.#connection.all(`${from} ${isOfJob} and ${lacksLease} ${limit}`, ...ofJob)]
  }

  /** Ends a row with an invalid key as it is, because it cannot be rewritten and would fail every call. */
  #settle(execution: ExecutionRecord, rowId: number, now: number): void {
    try {
      this.end(execution, now, { state: 'error', error: leaseExpired(execution), isOrphaned: true })
    } catch (error) {
      if (!isConstraint(error)) throw error
      this.#connection.run(`update headgate_job set state = 'error', end_time = ? where rowid = ?`, now, rowId)
    }
  }

  /** Extends the leases that expired since `from`, while the storage could not be written, by the same time again. */
  extendLeases(from: number, now: number): void {
    this.#connection.run(
      'update headgate_job set lease_until = ? where end_time is null and lease_until between ? and ?',
      now + now - from,
      from,
      now,
    )
  }

  /** Lets a queued execution begin to run. Stores it in any case. */
  leaveQueue(execution: ExecutionRecord, now: number): void {
    if (execution.state !== 'queued') {
      this.store(execution)
      return
    }
    execution.state = 'running'
    execution.startTime = now
    this.change(execution)
  }

  /** Stores an execution whose state has not changed. */
  store(execution: ExecutionRecord): void {
    this.#connection.run(upsertJob, ...valuesOf(execution))
  }

  /** Stores an execution with a new state. */
  change(execution: ExecutionRecord): void {
    this.store(execution)
    // Writers run one after another, so each number is used once. The highest one is always in this table.
    this.#connection.run(
      `update headgate_job set changed = (select coalesce(max(changed), 0) + 1 from headgate_job where ${isNumbered})
        where type = ? and id = ? and partition = ?`,
      ...keyOf(execution),
    )
  }

  /** Ends an execution and puts it into the log. */
  end(execution: ExecutionRecord, now: number, { state, error, failure, isOrphaned }: Ending): void {
    // An execution that was asked to abort does not become an orphan.
    if (isOrphaned && execution.state !== 'aborting') execution.isOrphaned = true
    execution.state = state
    // The clock of the machine may have been set back.
    execution.endTime = Math.max(now, execution.startTime)
    if (error) execution.error = [...error]
    if (failure) execution.failure = copyOf(failure)
    this.change(execution)
    this.#connection.run(copyToLog, ...keyOf(execution))
    trim(this.#connection, this.#limits, now)
  }
}

/** The values of the key of a job or a partition. */
function keyOf({ type, id, partition = noPartition }: ExecutionRecord): [string, string, number] {
  return [type, id, partition]
}

/** Sets the given fields. A checkpoint of `null` removes the checkpoint. */
export function write(execution: ExecutionRecord, { count, lastId, checkpoint, detail, logTail }: Progress): void {
  if (count !== undefined) execution.count = count
  if (lastId !== undefined) execution.lastId = lastId
  if (checkpoint === null) delete execution.checkpoint
  // A copy, so that the result matches the stored value and the value of the caller is not shared.
  else if (checkpoint !== undefined) execution.checkpoint = copyOf(checkpoint)
  if (detail) execution.detail = copyOf(detail)
  if (logTail) execution.logTail = [...logTail]
}

/** Whether a row is an execution. One with the epoch 0 holds the checkpoint of a job that never ran. */
export function hasRun({ epoch }: ExecutionRecord): boolean {
  return epoch !== 0
}

/** The row of a job that never ran. Its times are so early that it is no change. */
function neverRun(type: string, id: string): ExecutionRecord {
  const executionId = newExecutionId(id, 0)
  const times = { startTime: 0, endTime: 0, leaseUntil: null }
  return { type, id, executionId, state: 'aborted', epoch: 0, node: null, count: 0, ...times }
}

export function copyOf<Value>(value: Value): Value {
  return JSON.parse(JSON.stringify(value))
}

/**
 * Returns an execution id that follows `before` in the log, also when another process created that one just now or
 * the clock was set back. Throws `storage` when no id can follow, because the stored id has the highest time.
 */
export function nextExecutionId(id: string, now: number, before: ExecutionRecord | undefined): string {
  const last = before ? positionOf(before) : ''
  for (const time of [now, timeOf(last) + 1]) {
    const executionId = newExecutionId(id, time)
    if ((executionOrder(executionId) as string) > last) return executionId
  }
  throw new JobError('storage', `No execution can come after [${before?.executionId}], which the storage holds.`)
}

/** The time in a UUID of version 7: its first 48 bits. */
function timeOf(uuid: string): number {
  return Number.parseInt(uuid.slice(0, 8) + uuid.slice(9, 13), 16) || 0
}
