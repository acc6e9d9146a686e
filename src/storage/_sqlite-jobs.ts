import {
  type ExecutionRecord,
  executionOrder,
  type FinishRequest,
  JobError,
  type Lease,
  leaseExpired,
  newExecutionId,
  type Progress,
} from '../index.js'
import { type Connection, isConstraint } from './_sqlite-connection.js'
import { type LogLimits, trim } from './_sqlite-log.js'
import { columns, executionOf, positionOf, selected, valuesOf } from './_sqlite-rows.js'

const keep = `insert into headgate_job (${columns.join(', ')}) values (${columns.map(() => '?').join(', ')})
  on conflict (type, id) do update set ${columns.map((column) => `${column} = excluded.${column}`).join(', ')}`

const copyToLog = `insert into headgate_log (${columns.join(', ')}, changed)
  select ${columns.join(', ')}, changed from headgate_job where type = ? and id = ?`

/** Whether the number of a change is one that headgate gives: what is beyond can be neither counted up nor read by all drivers. */
export const isNumbered = `changed < ${Number.MAX_SAFE_INTEGER}`

/** How an execution ends. */
export type Ending = Pick<FinishRequest, 'state' | 'error' | 'isOrphaned'>

/** The last execution of every job. What writes belongs in an immediate transaction. */
export class Jobs {
  readonly #connection: Connection
  readonly #limits: LogLimits

  constructor(connection: Connection, limits: LogLimits) {
    this.#connection = connection
    this.#limits = limits
  }

  find(type: string, id: string): ExecutionRecord | undefined {
    const row = this.#connection.get(`select ${selected} from headgate_job where type = ? and id = ?`, type, id)
    return row && executionOf(row)
  }

  /** The live execution of a lease. */
  held({ executionId, epoch }: Lease): ExecutionRecord | undefined {
    const row = this.#connection.get(
      `select ${selected} from headgate_job where execution_id = ? and epoch = ? and end_time is null`,
      executionId,
      epoch,
    )
    return row && executionOf(row)
  }

  live(type: string): ExecutionRecord[] {
    return this.#connection
      .all(
        `select ${selected} from headgate_job where type = ? and end_time is null order by headgate_job.start_time, position`,
        type,
      )
      .map(executionOf)
  }

  orphans(): ExecutionRecord[] {
    return this.#connection
      .all(`select ${selected} from headgate_job where is_orphaned is not null order by position`)
      .map(executionOf)
  }

  hasExpired(now: number): boolean {
    return (
      this.#connection.get('select 1 from headgate_job where end_time is null and lease_until <= ? limit 1', now) !==
      undefined
    )
  }

  /** Settles what has expired. */
  settleExpired(now: number): void {
    const expired = this.#connection.all(
      `select rowid as place, ${selected} from headgate_job where end_time is null and lease_until <= ?`,
      now,
    )
    for (const { place, ...row } of expired) this.#settle(executionOf(row), Number(place), now)
  }

  /** A row that cannot be written again, as its key is not valid, must not fail every call: it is ended as it is. */
  #settle(execution: ExecutionRecord, place: number, now: number): void {
    try {
      this.end(execution, now, { state: 'error', error: leaseExpired(execution), isOrphaned: true })
    } catch (error) {
      if (!isConstraint(error)) throw error
      this.#connection.run(`update headgate_job set state = 'error', end_time = ? where rowid = ?`, now, place)
    }
  }

  /** Renews, for as long again, the leases that ran out since `from`, when the storage could not be written. */
  excuse(from: number, now: number): void {
    this.#connection.run(
      'update headgate_job set lease_until = ? where end_time is null and lease_until between ? and ?',
      now + now - from,
      from,
      now,
    )
  }

  /** Keeps progress, and whatever else has changed but the state. */
  keep(execution: ExecutionRecord): void {
    this.#connection.run(keep, ...valuesOf(execution))
  }

  /** Keeps an execution that is in a new state. */
  change(execution: ExecutionRecord): void {
    this.keep(execution)
    // Writers come one after another, so that every number is given once. The highest one is always in this table.
    this.#connection.run(
      `update headgate_job set changed = (select coalesce(max(changed), 0) + 1 from headgate_job where ${isNumbered})
        where type = ? and id = ?`,
      execution.type,
      execution.id,
    )
  }

  /** Ends an execution and puts it into the log. */
  end(execution: ExecutionRecord, now: number, { state, error, isOrphaned }: Ending): void {
    // What somebody wanted to stop is to stay so.
    if (isOrphaned && execution.state !== 'aborting') execution.isOrphaned = true
    execution.state = state
    // The machine's clock may have been put back.
    execution.endTime = Math.max(now, execution.startTime)
    if (error) execution.error = [...error]
    this.change(execution)
    this.#connection.run(copyToLog, execution.type, execution.id)
    trim(this.#connection, this.#limits, now)
  }
}

/** Writes the fields that are given. A checkpoint of `null` takes the checkpoint away. */
export function write(execution: ExecutionRecord, { count, lastId, checkpoint, detail }: Progress): void {
  if (count !== undefined) execution.count = count
  if (lastId !== undefined) execution.lastId = lastId
  if (checkpoint === null) delete execution.checkpoint
  // What is given back is what is kept, and the caller's own stays the caller's.
  else if (checkpoint !== undefined) execution.checkpoint = copyOf(checkpoint)
  if (detail) execution.detail = copyOf(detail)
}

function copyOf<Value>(value: Value): Value {
  return JSON.parse(JSON.stringify(value))
}

/**
 * An id for an execution that comes after `before` in the log, also when another process made that one just now or the clock
 * was put back. Throws `storage` when none can, as somebody wrote an id at the end of time.
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
