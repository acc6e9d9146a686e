import { JobError, type OpenContext } from '../index.js'
import { dollarQuoted, quoted, sqlOf, type TableName } from '../postgres/identifiers.js'
import { liftTimeoutsInBlock } from '../postgres/settings.js'
import { digestOf, markOf } from './_digest.js'
import type { Session } from './_postgres-session.js'
import type { Guard, Place } from './_postgres-table.js'

/**
 * Settings of the role or the database that would change what values mean. A transaction sees what others commit in between, or
 * the checks of its beginning would look at the past.
 */
const settings = `set local DateStyle to 'ISO'; set local TimeZone to 'UTC'; set local IntervalStyle to 'iso_8601';
  set local array_nulls to on; set local xmloption to content; set local transform_null_equals to off`

/** The SQLSTATE that says that a later execution has taken over: of a class that Postgres leaves to others. */
const lostState = 'HG001'

/** The SQLSTATE that says that the table is not what it was when the target was opened. */
export const alteredState = 'HG002'

/**
 * Keeps the checkpoint of a job beside the table, in the row that says which execution may write. Transactions that end
 * here hold records and checkpoint, or nothing; those of an execution that a later one has followed cannot end.
 *
 * Later is the higher id: its UUID is ordered by time. An epoch would begin anew with a new storage.
 */
export class Fence {
  readonly #table: Place
  /** The table of checkpoints, for SQL. */
  readonly checkpoints: string
  readonly #context: OpenContext
  /** What tells the job's row from others: ids are too long for an index. */
  readonly #key: Buffer
  /** What tells the execution: its id, which is anybody's text, is no SQL. */
  readonly #executionHash: string
  /** What the transactions of the job lock: its number is found in `pg_locks`. */
  readonly #lock: string

  constructor(table: Place, checkpoints: TableName, context: OpenContext) {
    this.#table = table
    this.checkpoints = sqlOf({ schema: table.schema, ...checkpoints })
    this.#context = context
    const job = JSON.stringify([context.type, context.id, ...namesOf(table)])
    this.#key = digestOf(job)
    this.#executionHash = digestOf(context.executionId).toString('hex')
    this.#lock = String(this.#key.readBigInt64BE())
  }

  /** Tells what the job has made beside the table from what others have: eight letters and digits. */
  get mark(): string {
    return markOf(this.#key)
  }

  /** Takes over from the executions before. Gives the checkpoint that they have left, if any. */
  async takeOver(session: Session): Promise<unknown> {
    await this.#createTable(session)
    const { type, id, executionId } = this.#context
    const [known] = await session.query(`select execution from ${this.checkpoints} where key = $1`, [this.#key])
    if (known && isLater(known.execution, executionId)) throw this.#lost()
    await this.#evict(session)
    const [taken] = await session.query(
      `insert into ${this.checkpoints} as kept (key, type, id, target, execution) values ($1, $2, $3, $4, $5)
        on conflict (key) do update set execution = excluded.execution, changed_at = now()
        where kept.execution <= excluded.execution
        returning checkpoint::text`,
      [this.#key, type, id, this.#table.title, executionId],
    )
    if (!taken) throw this.#lost()
    // One that began its transaction just before it was followed.
    await this.#evict(session)
    return typeof taken.checkpoint === 'string' ? JSON.parse(taken.checkpoint) : undefined
  }

  /**
   * Begins a transaction together with the next statement. That statement fails when a later execution has taken over, or
   * when the table is not what it was: from here on, nobody can alter it until the transaction ends.
   */
  begin(session: Session, { lock, shape }: Partial<Guard> = {}): void {
    const hasTakenOver = `not exists (select from ${this.checkpoints} where key = decode('${this.#key.toString('hex')}', 'hex')
      and sha256(convert_to(execution, 'UTF8')) = decode('${this.#executionHash}', 'hex'))`
    const body = `begin
      ${liftTimeoutsInBlock}
      perform pg_advisory_xact_lock_shared(${this.#lock});
      if ${hasTakenOver} then raise exception 'another execution has taken over' using errcode = '${lostState}'; end if;
      ${lock ? `${lock};` : ''}
      ${shape ? `if ${shape} then raise exception 'the table was altered' using errcode = '${alteredState}'; end if;` : ''}
    end`
    session.lead(`begin isolation level read committed; ${settings}; do ${dollarQuoted(body)}`)
  }

  /** Keeps the checkpoint; `null` for none. Throws when a later execution has taken over: nothing may be committed then. */
  async keep(session: Session, checkpoint: unknown): Promise<void> {
    const rows = await session.query(
      `update ${this.checkpoints} set checkpoint = $3, changed_at = now() where key = $1 and execution = $2 returning 1`,
      [this.#key, this.#context.executionId, checkpoint === null ? null : JSON.stringify(checkpoint)],
    )
    if (rows.length === 0) throw this.#lost()
  }

  /**
   * Ends what an execution before has left open, as its process was frozen or cut off: its records could else be in the way
   * of the same ones for as long as it stays so.
   */
  async #evict(session: Session): Promise<void> {
    await session.query(
      `select pg_terminate_backend(pid) from pg_locks join pg_stat_activity using (pid)
        where locktype = 'advisory' and objsubid = 1 and (classid::int8 << 32 | objid::int8) = $1::int8 and granted
        and datname = current_database() and usename = current_user and pid <> pg_backend_pid()`,
      [this.#lock],
    )
  }

  /** Makes the table of checkpoints when it is missing: only then is the right to do so needed. */
  async #createTable(session: Session): Promise<void> {
    const [found] = await session.query('select to_regclass($1)::text as name', [this.checkpoints])
    if (found?.name) return
    const lock = `select pg_advisory_xact_lock(hashtextextended('headgate_checkpoint', 0))`
    await session.query(`${lock}; create table if not exists ${this.checkpoints} (
      key bytea primary key, type text not null, id text not null, target text not null,
      execution text collate ${quoted('C')} not null, checkpoint json, changed_at timestamptz not null default now()
    ) with (fillfactor = 50)`)
  }

  /** The error behind the states that `begin` raises; others stay as they are. */
  explain(error: unknown): unknown {
    const { code } = Object(error) as { code?: unknown }
    if (code === lostState) return this.#lost()
    return code === alteredState ? this.#altered(error) : error
  }

  #altered(cause: unknown): JobError {
    const message = `Expected \`${this.#table.title}\` not to be altered, renamed or made anew while it is written, but it was: run the job again.`
    return new JobError('target', message, { cause, isTransient: true })
  }

  #lost(): JobError {
    const { type, id } = this.#context
    return new JobError(
      'lease_lost',
      `A later execution of job [${type}/${id}] has taken over \`${this.#table.title}\`.`,
    )
  }
}

/** What tells a table from others: its title, which says so unless there is a dot in a name. */
function namesOf({ title, schema, name }: Place): string[] {
  return title.split('.').length === 2 ? [title] : [schema, name]
}

/** Ids of one job compare as text, byte by byte. */
function isLater(execution: unknown, than: string): boolean {
  return Buffer.from(String(execution)).compare(Buffer.from(than)) > 0
}
