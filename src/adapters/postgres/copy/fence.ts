import { JobError, newExecutionId, type OpenContext } from '../../../adapter.js'
import { digestOf, markOf } from '../../shared/index.js'
import { dollarQuoted, quoted, sqlOf, type TableName, type WriteSession } from '../client/index.js'
import type { Guard, Locks, TableRef } from '../table/index.js'
import { isBegun, withBegun } from './begun-partitions.js'
import type { EmptiedCheck } from './emptied-check.js'
import { emptiedMarkOf, isMarkedSince, markEmptied } from './emptied-jobs.js'
import { deniedError } from './fence-denied.js'
import {
  createCheckpoints,
  disowned,
  isLater,
  keyOf,
  lockOf,
  partitionKeysOf,
  resetSuffix,
  withBegunOf,
} from './fence-rows.js'

/** Overrides settings of the role or the database that would change what values mean. */
const settings = `set local DateStyle to 'ISO'; set local TimeZone to 'UTC'; set local IntervalStyle to 'iso_8601';
  set local array_nulls to on; set local xmloption to content; set local transform_null_equals to off`

/** The SQLSTATE for a later execution that has taken over, from a class that Postgres does not use. */
const lostState = 'HG001'

/** The SQLSTATE for a table that has changed since the target was opened. */
export const alteredState = 'HG002'

/** The SQLSTATE for a role that lacks a privilege. */
const denied = '42501'

/** The SQLSTATE for a table that has lost all rows since the job committed some. */
const emptiedState = 'HG003'

const emptied = 'the table was emptied'

/** What a fence knows of the execution. */
type FenceContext = Pick<OpenContext, 'type' | 'id' | 'partition' | 'executionId' | 'scheme' | 'ifReset' | 'warn'>

/**
 * Stores the checkpoint of a job next to the table, in a row that also names the execution that may write. A
 * transaction commits records and checkpoint together or not at all. A transaction of an execution that a later one
 * has followed cannot commit.
 *
 * Later means a higher id, because the UUID in it is ordered by time. An epoch would start again with a new storage.
 */
export class Fence {
  readonly #table: TableRef
  /** The checkpoint table, as SQL. */
  readonly checkpoints: string
  /** The schema of the checkpoint table, as SQL. */
  readonly schema: string
  readonly #context: FenceContext
  readonly #locks: Locks
  /** The key of the row of the job. Ids are too long for an index. */
  readonly #key: Buffer
  /** A hash of the execution id, which is arbitrary text and cannot be part of SQL. */
  readonly #executionHash: string
  /** The advisory lock of the transactions of the job, which `pg_locks` shows. */
  readonly #lock: string
  #hasLostRows = false
  /** Whether the row of the job lists this partition. */
  #isBegun = false
  /** The mark of another job that had removed the rows when this execution took over. */
  #knownMark = ''

  constructor(table: TableRef, checkpoints: TableName, context: FenceContext, locks: Locks) {
    this.#table = table
    this.schema = quoted(checkpoints.schema ?? table.schema)
    this.checkpoints = sqlOf({ schema: table.schema, ...checkpoints })
    this.#context = context
    this.#locks = locks
    locks.watch(this.checkpoints)
    this.#key = keyOf(context, table)
    this.#executionHash = digestOf(context.executionId).toString('hex')
    this.#lock = lockOf(this.#key)
  }

  /** Marks the tables of the job with eight letters and digits. */
  get mark(): string {
    return markOf(this.#key)
  }

  /** Whether a transaction has failed because the table lost all rows. */
  get hasLostRows(): boolean {
    return this.#hasLostRows
  }

  /** Whether the job relies on the rows that it wrote before. */
  get #mustKeepRows(): boolean {
    const { ifReset } = this.#context
    return ifReset !== undefined && ifReset !== 'continue'
  }

  /** Takes over from earlier executions. Returns the checkpoint that they left, if any. */
  async takeOver(session: WriteSession): Promise<unknown> {
    const claim = () => this.#locks.transaction(session, () => this.#claim(session))
    const kept = await this.#orDenied(session, claim)
    // Also evicts an execution that began its transaction just before the takeover.
    await this.#evict(session)
    const parsed: unknown = typeof kept === 'string' ? JSON.parse(kept) : undefined
    this.#knownMark = emptiedMarkOf(parsed)
    return parsed
  }

  async #claim(session: WriteSession): Promise<unknown> {
    await this.#createTable(session)
    const { type, id, executionId } = this.#context
    const [known] = await session.query(`select execution from ${this.checkpoints} where key = $1`, [this.#key])
    if (known && isLater(known.execution, executionId)) throw this.#lost()
    await this.#evict(session)
    const [claimed] = await session.query(
      `insert into ${this.checkpoints} as kept (key, type, id, target, execution) values ($1, $2, $3, $4, $5)
        on conflict (key) do update set type = excluded.type, id = excluded.id, execution = excluded.execution, changed_at = now()
        where kept.execution <= excluded.execution
        returning checkpoint::text`,
      [this.#key, type, id, this.#table.title, executionId],
    )
    if (!claimed) throw this.#lost()
    return claimed.checkpoint
  }

  /**
   * Begins a transaction together with the next statement. That statement fails when a later execution has taken over,
   * the table has changed, or has lost all rows. After it, the table cannot be altered until the transaction ends.
   */
  begin(session: WriteSession, guard?: Partial<Guard>, emptiedCheck?: EmptiedCheck): void {
    session.prefixNext(this.#beginning(session, guard, emptiedCheck))
  }

  /** Fails the next statement when the table has lost all rows. */
  requireRows(session: WriteSession, { isEmptied }: EmptiedCheck): void {
    if (isEmptied) session.prefixNext(`do ${dollarQuoted(`begin ${raiseIf(isEmptied, emptied, emptiedState)} end`)}`)
  }

  /** Runs `work` in such a transaction. It waits for locks for `lockTimeout` milliseconds, or for the default time. */
  async transaction<Answer>(session: WriteSession, work: () => Promise<Answer>, lockTimeout?: number): Promise<Answer> {
    try {
      return await session.transaction(this.#beginning(session, {}, undefined, lockTimeout), work)
    } catch (error) {
      throw this.explain(error)
    }
  }

  #beginning(
    session: WriteSession,
    { lock, shape }: Partial<Guard> = {},
    emptiedCheck?: EmptiedCheck,
    lockTimeout?: number,
  ): string {
    const body = `begin
      perform pg_advisory_xact_lock_shared(${this.#lock});
      ${raiseIf(this.#hasTakenOver, 'another execution has taken over', lostState)}
      ${this.#mustKeepRows ? raiseIf(isMarkedSince(this.checkpoints, this.#key.toString('hex'), this.#knownMark), emptied, emptiedState) : ''}
      ${lock ? `${lock};` : ''}
      ${shape ? raiseIf(shape, 'the table was altered', alteredState) : ''}
      ${emptiedCheck?.isEmptied ? raiseIf(emptiedCheck.isEmptied, emptied, emptiedState) : ''}
    end`
    return `${this.#locks.begin(session, lockTimeout)}; ${settings}; do ${dollarQuoted(body)}`
  }

  /** Throws when the table has changed. */
  async checkTable(session: WriteSession, { shape }: Guard): Promise<void> {
    const [found] = await session.queryUntimed(`select ${shape} as is_altered`)
    if (found?.is_altered !== true) return
    throw Object.assign(new Error('the table was altered'), { code: alteredState })
  }

  /**
   * Stores the checkpoint; `null` removes it. Throws when a later execution has taken over, or the table has lost all rows from
   * before the transaction, so that nothing is committed. Returns the place of a row.
   */
  async keep(
    session: WriteSession,
    checkpoint: unknown,
    emptiedCheck?: EmptiedCheck,
    rows = { withoutOwn: false },
  ): Promise<unknown> {
    const { partition, executionId } = this.#context
    // Partitions that begin at the same time add themselves to the row of the job.
    const text = partition === undefined ? withBegunOf('checkpoint', '$3') : '$3'
    const [kept] = await session.query(
      `update ${this.checkpoints} set checkpoint = ${text}, changed_at = now() where key = $1 and execution = $2
        returning ${emptiedCheck?.placeOf(rows) ?? 'null'} as place`,
      [this.#key, executionId, checkpoint === null ? null : JSON.stringify(checkpoint)],
    )
    if (!kept) throw this.#lost()
    await this.#recordBegun(session)
    if (emptiedCheck?.expectsRows && kept.place === null)
      throw Object.assign(new Error(emptied), { code: emptiedState })
    return kept.place
  }

  /**
   * Changes the stored checkpoint of the job, also in one of its partitions. `execution` is that of the job. Has no effect once a later
   * execution has taken over.
   */
  async amend(session: WriteSession, change: (checkpoint: object, execution: string) => object): Promise<void> {
    await this.#locks.transaction(session, () => this.#amend(session, change))
  }

  async #amend(session: WriteSession, change: (checkpoint: object, execution: string) => object): Promise<void> {
    const key = this.#jobKey
    const [kept] = await session.query(
      `select checkpoint::text, execution from ${this.checkpoints}
        where key = $1 and not (${this.#hasTakenOver}) for update`,
      [key],
    )
    if (typeof kept?.checkpoint !== 'string') return
    const before: object = JSON.parse(kept.checkpoint)
    const changed = change(before, String(kept.execution))
    if (changed === before) return
    await session.query(`update ${this.checkpoints} set checkpoint = $2 where key = $1`, [key, JSON.stringify(changed)])
  }

  /** The first commit of a partition says so in the row of the job, which shows later whether the row of the partition was deleted. */
  async #recordBegun(session: WriteSession): Promise<void> {
    const { partition, scheme } = this.#context
    if (partition === undefined || scheme === undefined || this.#isBegun) return
    this.#isBegun = true
    await this.#amend(session, (kept) => withBegun(kept, { partition, scheme }))
  }

  /** Whether the row of this partition was deleted or changed, which has stored a checkpoint according to the row of its job. */
  async isForgotten(session: WriteSession, kept: unknown): Promise<boolean> {
    const { partition, scheme } = this.#context
    if (partition === undefined || scheme === undefined || Object(kept).scheme === scheme) return false
    const query = `select checkpoint::text from ${this.checkpoints} where key = $1`
    const [job] = await this.#locks.transaction(session, () => session.query(query, [this.#jobKey]))
    return typeof job?.checkpoint === 'string' && isBegun(JSON.parse(job.checkpoint), { partition, scheme })
  }

  /** The key of the row of the job, also in one of its partitions. */
  get #jobKey(): Buffer {
    const { type, id } = this.#context
    return keyOf({ type, id }, this.#table)
  }

  /**
   * Ends the open transactions of earlier executions, whose process may be frozen or cut off. Otherwise their locks
   * would block this execution.
   */
  async #evict(session: WriteSession, condition = 'true', locks: readonly string[] = [this.#lock]): Promise<void> {
    const lock = '(classid::int8 << 32 | objid::int8)::text'
    await session.queryUntimed(
      `select pg_terminate_backend(pid) from pg_locks join pg_stat_activity using (pid)
        where locktype = 'advisory' and objsubid = 1 and ${lock} = any('{${locks.join(',')}}') and granted
        and datname = current_database() and usename = current_user and pid <> pg_backend_pid() and ${condition}`,
    )
  }

  /** Lets other jobs that append to the table know that the open transaction removes all rows. */
  markEmptied(session: WriteSession): Promise<void> {
    const { type, id, warn } = this.#context
    return markEmptied(session, this.checkpoints, this.#table, { type, id, warn, mark: this.#executionHash })
  }

  /** Removes the checkpoints of the partitions of the job. No execution of a partition that has begun can commit from then on. */
  async disownPartitions(session: WriteSession): Promise<void> {
    const keys = partitionKeysOf(this.#context, this.#table)
    await session.query(
      `update ${this.checkpoints} set checkpoint = null, execution = ${disowned('execution')}, changed_at = now()
        where key = any(select decode(name, 'hex') from unnest($1::text[]) name)`,
      [keys.map((key) => key.toString('hex'))],
    )
    await this.#evict(session, 'true', keys.map(lockOf))
  }

  /**
   * Changes the checkpoint of the job, and removes those of its partitions. No execution that has begun can commit from then on. Throws
   * `lease_lost` when an execution after the given one has taken over. Without one, storage knows of none.
   */
  async reset(session: WriteSession, checkpoint: unknown, last: string | undefined): Promise<void> {
    const { type, id } = this.#context
    const work = async () => {
      await this.#createTable(session)
      const [reset] = await session.query(
        `insert into ${this.checkpoints} as kept (key, type, id, target, execution, checkpoint) values ($1, $2, $3, $4, $5, $6)
          on conflict (key) do update set
            execution = ${disowned('kept.execution')}, checkpoint = excluded.checkpoint, changed_at = now()
          where ${last === undefined ? 'true' : 'kept.execution <= excluded.execution'}
          returning execution`,
        [
          ...[this.#key, type, id, this.#table.title, (last ?? newExecutionId(id, 0)) + resetSuffix],
          checkpoint === null ? null : JSON.stringify(checkpoint),
        ],
      )
      if (!reset) throw this.#lost()
      await this.disownPartitions(session)
    }
    await this.#orDenied(session, () => this.#locks.transaction(session, work))
    await this.#evict(session)
  }

  /** Ends the open transactions of this execution, for a statement that ignores its cancellation. Those of a later execution go on. */
  async terminate(session: WriteSession): Promise<void> {
    await this.#evict(session, `not (${this.#hasTakenOver})`)
  }

  /** The SQL condition that a later execution has taken over. */
  get #hasTakenOver(): string {
    return `not exists (select from ${this.checkpoints} where key = decode('${this.#key.toString('hex')}', 'hex')
      and sha256(convert_to(execution, 'UTF8')) = decode('${this.#executionHash}', 'hex'))`
  }

  /** Creates the checkpoint table when it is missing. Only then does the role need the privilege. */
  async #createTable(session: WriteSession): Promise<void> {
    const [found] = await session.query(`select to_regclass(${dollarQuoted(this.checkpoints)})::text as name`)
    if (found?.name) return
    await session.query(createCheckpoints(this.checkpoints))
  }

  /**
   * Translates the error of a statement that finds the table or a column missing or different, when that is because the
   * table was altered. Other errors stay as they are.
   */
  async explainMissing(error: unknown, session: WriteSession, guard: Guard | undefined): Promise<unknown> {
    if (!guard || !/^42/.test(String(Object(error).code))) return error
    const [found] = await session.inquire(`select ${guard.shape} as is_altered`).catch(() => [])
    return found?.is_altered === true ? this.#altered(error) : error
  }

  /** Translates the SQLSTATEs that `begin` raises. Other errors stay as they are. */
  explain(error: unknown): unknown {
    const { code } = Object(error) as { code?: unknown }
    if (code === lostState) return this.#lost()
    if (code === emptiedState) {
      this.#hasLostRows = true
      return this.#emptied(error)
    }
    return code === alteredState ? this.#altered(error) : error
  }

  #altered(cause: unknown): JobError {
    const message = `\`${this.#table.title}\` was altered, renamed or recreated while the job wrote to it: run the job again.`
    return new JobError('target', message, { cause, isTransient: true })
  }

  async #orDenied<Answer>(session: WriteSession, work: () => Promise<Answer>): Promise<Answer> {
    try {
      return await work()
    } catch (error) {
      throw Object(error).code === denied ? await deniedError(error, session, this) : error
    }
  }

  #emptied(cause: unknown): JobError {
    const message =
      `\`${this.#table.title}\` was emptied while the job wrote to it, so it lacks records that the job had committed. ` +
      `Set \`ifTargetReset: 'restart'\` to load everything again, or 'continue' if the table is emptied on purpose.`
    return new JobError('target', message, { cause, isTransient: this.#context.ifReset === 'restart' })
  }

  #lost(): JobError {
    const { type, id } = this.#context
    return new JobError(
      'lease_lost',
      `A later execution of job [${type}/${id}] has taken over \`${this.#table.title}\`.`,
    )
  }
}

/** The statement that raises an error under a condition. */
function raiseIf(condition: string, message: string, state: string): string {
  return `if ${condition} then raise exception '${message}' using errcode = '${state}'; end if;`
}
