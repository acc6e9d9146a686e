import { JobError, type OpenContext } from '../../../adapter.js'
import {
  emptiedMarkOf,
  emptiedWarning,
  isLater,
  keyOf,
  laterExecution,
  markedRows,
  parseKept,
  type ResetExecutions,
} from '../../shared/index.js'
import { type FileConnection, quoted } from '../client/index.js'
import { findTable, lowerCase, type Table } from '../table/index.js'
import { WriteSession } from './write-session.js'

/** What a fence knows of the execution. */
export type FenceContext = Pick<OpenContext, 'type' | 'id' | 'executionId' | 'ifReset' | 'warn'>

/** The row of a job in the table of checkpoints. */
interface CheckpointRow {
  readonly execution: string
  /** Undefined for none. Throws `checkpoint` for a damaged one, which a reset replaces. */
  readonly checkpoint: unknown
}

/** The row of another job. */
type Found = Parameters<typeof markedRows<Uint8Array>>[0][number]

type Marked = ReturnType<typeof markedRows<Uint8Array>>

const jobsOf = (marked: Marked) => marked.map(({ job }) => job)

/**
 * Stores the checkpoint of a job in the same file, in a row that also names the execution that may write. A transaction commits records and
 * checkpoint together or not at all. It holds the lock of the file from its beginning, so no other execution takes over while it is open, and
 * it does not begin once one has.
 *
 * Later means a higher id, because the UUID in it is ordered by time. An epoch would start again with a new storage.
 */
export class Fence {
  readonly #table: string
  readonly #path: string
  readonly #checkpointsName: string
  readonly #checkpoints: string
  readonly #context: FenceContext
  readonly #key: Buffer
  /** The mark of an earlier removal of the rows, which the job has answered. Undefined while it need not have rows. */
  #knownMark: string | undefined
  #haveLostRows = false
  #schemaVersion: unknown

  constructor(path: string, table: string, checkpoints: string, context: FenceContext) {
    this.#path = path
    this.#table = table
    this.#checkpointsName = checkpoints
    this.#checkpoints = quoted(checkpoints)
    this.#context = context
    this.#key = keyOf(context, ['main', lowerCase(table)])
  }

  /** Whether a transaction has failed because the table lost all rows. */
  get hasLostRows(): boolean {
    return this.#haveLostRows
  }

  /**
   * Lets no transaction commit from now on once another job has removed the rows that the job counts on. What the row of the job says of an
   * earlier removal is known.
   */
  countOnRows(kept: unknown): void {
    const { ifReset } = this.#context
    if (ifReset !== undefined && ifReset !== 'continue') this.#knownMark = emptiedMarkOf(kept)
  }

  /** In the open transaction: the job counts on what it writes from now on, and knows what others have marked until then. */
  beginToCount(connection: FileConnection): void {
    this.countOnRows(this.#read(connection)?.checkpoint)
  }

  /** The job has no rows in the table, or knows that they are gone. */
  countOnNone(): void {
    this.#knownMark = undefined
  }

  /** Takes over from earlier executions. Returns the checkpoint that they left, if any. */
  async takeOver(session: WriteSession): Promise<unknown> {
    const { type, id, executionId } = this.#context
    const known = this.#find(session.connection)
    if (known && isLater(known.execution, executionId)) throw this.#laterError(known)
    session.enter(this.#place, executionId, () => this.#lost())
    return session.transaction(() => {
      const { connection } = session
      this.#createTable(connection)
      const before = this.#read(connection)
      if (before && isLater(before.execution, executionId)) throw this.#laterError(before)
      connection
        .prepare(
          `insert into ${this.#checkpoints} ("key", type, id, target, execution) values (?, ?, ?, ?, ?)
            on conflict ("key") do update set execution = excluded.execution, target = excluded.target`,
        )
        .run([this.#key, type, id, lowerCase(this.#table), executionId])
      return before?.checkpoint
    })
  }

  /** Without a lock, which the later execution may hold for long. */
  #find(connection: FileConnection): CheckpointRow | undefined {
    const found = connection.all('select 1 from sqlite_schema where name = ? collate nocase', this.#checkpointsName)
    return found.length > 0 ? this.#read(connection) : undefined
  }

  #laterError({ execution }: CheckpointRow): JobError {
    return laterExecution(this.#context, this.#table, execution)
  }

  /** What the sessions of the job in this process are known by. */
  get #place(): string {
    return `${this.#path}\0${this.#key.toString('hex')}`
  }

  /**
   * Begins a transaction. Throws when a later execution has taken over, another job has removed the rows, or the table was altered or has lost
   * all rows.
   */
  async begin(session: WriteSession, table: Table | undefined, expectsRows = false): Promise<void> {
    await session.begin()
    try {
      const { connection } = session
      const row = this.#read(connection)
      if (row?.execution !== this.#context.executionId) throw this.#lost()
      const mark = this.#knownMark === undefined ? '' : emptiedMarkOf(row.checkpoint)
      if (mark !== '' && mark !== this.#knownMark) throw this.#emptied()
      if (!table) return
      this.#checkTable(connection, table)
      if (expectsRows && connection.all(`select 1 from ${table.sql} limit 1`).length === 0) throw this.#emptied()
    } catch (error) {
      session.rollback()
      throw error
    }
  }

  /** The version of the schema tells at once whether something has changed. */
  #checkTable(connection: FileConnection, { name, shape }: Table): void {
    const [[version] = []] = connection.all('pragma schema_version')
    if (version === this.#schemaVersion) return
    if (findTable(connection, name)?.shape !== shape) {
      const message = `\`${name}\` was altered, renamed or recreated while the job wrote to it: run the job again.`
      throw new JobError('target', message, { isTransient: true })
    }
    this.#schemaVersion = version
  }

  /** Stores the checkpoint in the open transaction; `null` removes it. */
  keep(connection: FileConnection, checkpoint: unknown): void {
    this.#store(connection, this.#key, checkpoint)
  }

  /** Throws a transient error when the row of the job is one of before the execution, or gone. */
  checkStored(connection: FileConnection): void {
    const { executionId } = this.#context
    const stored = this.#find(connection)?.execution
    if (stored === executionId || (stored !== undefined && isLater(stored, executionId))) return
    const message = `The file \`${this.#path}\` was written over by another program while it was open.`
    throw new JobError('target', message, { isTransient: true })
  }

  /** Changes the stored checkpoint of the job in a transaction of its own. Has no effect once a later execution has taken over. */
  async amend(session: WriteSession, change: (checkpoint: object) => object): Promise<void> {
    await session.transaction(() => {
      const row = this.#read(session.connection)
      if (row?.execution !== this.#context.executionId) return
      const { checkpoint } = row
      if (typeof checkpoint !== 'object' || checkpoint === null) return
      this.#store(session.connection, this.#key, change(checkpoint))
    })
  }

  /** In the open transaction, before it removes all rows of the table: lets the other jobs that append to it know. */
  empty(connection: FileConnection): void {
    const { type, id, warn } = this.#context
    const marked = markedRows(this.#findOthers(connection), { type, id })
    this.#storeMarks(connection, marked)
    if (marked.length > 0) warn?.(emptiedWarning(jobsOf(marked), this.#table))
    this.beginToCount(connection)
  }

  /**
   * In the open transaction, before the job writes to the table, which shows no more then that it was empty: lets the other jobs know that have
   * written to it. Marks a job without rows in it too, so that no other job does so later.
   */
  markFoundEmpty(connection: FileConnection, { sql }: Table, hasRows: boolean): void {
    const { type, id, executionId, ifReset, warn } = this.#context
    const row = this.#read(connection)
    if (row?.execution !== executionId || connection.all(`select 1 from ${sql} limit 1`).length > 0) return
    const by = { type, id, isFound: true } as const
    const others = markedRows(this.#findOthers(connection), by)
    if (others.length === 0) return
    const checkpoint = JSON.stringify(row.checkpoint ?? null)
    const own = hasRows ? [] : markedRows([{ key: this.#key, type, id, checkpoint }], by)
    this.#storeMarks(connection, [...others, ...own])
    // A table that a consumer empties is no surprise.
    if (ifReset !== 'continue') warn?.(emptiedWarning(jobsOf(others), this.#table, true))
  }

  #findOthers(connection: FileConnection): Found[] {
    const { type, id } = this.#context
    const query = `select "key", type, id, checkpoint from ${this.#checkpoints}
      where target = ? and checkpoint is not null and not (type = ? and id = ?) order by "key"`
    return connection
      .all(query, lowerCase(this.#table), type, id)
      .map(([key, type, id, checkpoint]) => ({ key: key as Uint8Array, type, id, checkpoint }))
  }

  #storeMarks(connection: FileConnection, marked: Marked): void {
    const text = `update ${this.#checkpoints} set checkpoint = ? where "key" = ?`
    for (const { key, checkpoint } of marked) connection.prepare(text).run([checkpoint, key])
  }

  /**
   * Changes the checkpoint of the job. No execution that has begun can commit from then on. Throws `lease_lost` when one has taken over since
   * the reset began.
   */
  async reset(session: WriteSession, checkpoint: unknown, executions: ResetExecutions): Promise<void> {
    const { type, id } = this.#context
    const known = this.#find(session.connection)?.execution
    if (await executions.refuse(known)) throw this.#lost()
    const execution = executions.after(known)
    // In this process, a writer of the job may hold the lock.
    WriteSession.evict(this.#place, known !== undefined && isLater(known, execution) ? known : execution)
    await session.transaction(() => {
      const { connection } = session
      this.#createTable(connection)
      if (this.#read(connection)?.execution !== known) throw this.#lost()
      connection
        .prepare(
          `insert into ${this.#checkpoints} ("key", type, id, target, execution) values (?, ?, ?, ?, ?)
            on conflict ("key") do update set execution = excluded.execution`,
        )
        .run([this.#key, type, id, lowerCase(this.#table), execution])
      this.#store(connection, this.#key, checkpoint)
    })
  }

  #store(connection: FileConnection, key: Uint8Array, checkpoint: unknown): void {
    const text = checkpoint === null || checkpoint === undefined ? null : JSON.stringify(checkpoint)
    connection
      .prepare(`update ${this.#checkpoints} set checkpoint = ?, changed_at = datetime('now', 'subsec') where "key" = ?`)
      .run([text, key])
  }

  #read(connection: FileConnection): CheckpointRow | undefined {
    const [row] = connection.all(`select execution, checkpoint from ${this.#checkpoints} where "key" = ?`, this.#key)
    if (!row) return undefined
    const [execution, checkpoint] = row
    return {
      execution: String(execution),
      get checkpoint() {
        return checkpoint === null ? undefined : parseKept(checkpoint)
      },
    }
  }

  /** Ids are too long for a key, which is a digest. */
  #createTable(connection: FileConnection): void {
    connection.exec(`create table if not exists ${this.#checkpoints} (
      "key" blob primary key, type text not null, id text not null, target text not null,
      execution text not null, checkpoint text, changed_at text not null default (datetime('now', 'subsec'))
    ) without rowid`)
  }

  #lost(): JobError {
    const { type, id } = this.#context
    return new JobError('lease_lost', `A later execution of job [${type}/${id}] has taken over \`${this.#table}\`.`)
  }

  #emptied(): JobError {
    this.#haveLostRows = true
    const message =
      `\`${this.#table}\` was emptied while the job wrote to it, so it lacks records that the job had committed. ` +
      `Set \`ifTargetReset: 'restart'\` to load everything again, or 'continue' if the table is emptied on purpose.`
    return new JobError('target', message, { isTransient: this.#context.ifReset === 'restart' })
  }
}
