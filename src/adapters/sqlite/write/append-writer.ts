import {
  type Column,
  JobError,
  type OpenContext,
  type OpenTarget,
  type RecordBatch,
  type TargetResumption,
  type TargetWriter,
} from '../../../adapter.js'
import { type EmptiedBy, emptiedByOther, emptiedMarkOf, type KeptRows, mayHaveRows } from '../../shared/index.js'
import { isOfRow } from '../client/index.js'
import { createTable, findTable, type Table, type TableShape } from '../table/index.js'
import type { Fence } from './fence.js'
import { RowWriter } from './row-writer.js'
import { tableFailure, type WriteSession } from './write-session.js'

/** What a target has open for one execution. */
export interface TargetTools {
  readonly session: WriteSession
  readonly fence: Fence
  readonly context: OpenContext
  /** The name of the table. */
  readonly name: string
  readonly shape: TableShape
  /** Whether records are merged on the key. */
  readonly merges: boolean
  /** Whether a merge leaves rows as they are that have the values already. */
  readonly skipsUnchanged: boolean
  /** Opens another session, after the end of this one. */
  reopen(): Promise<WriteSession>
}

/** What the checkpoint row keeps: the fields of the checkpoint, and what the target knows. */
interface Kept extends KeptRows {
  readonly appended?: true
  /** Whether a run has failed because the table lost all rows. Others may have written since. */
  readonly hasLostRows?: true
  /** The job that has removed all rows since, in a full refresh. */
  readonly emptiedBy?: EmptiedBy
}

/** Opens the writer of records that are appended to a table, or merged into it on a key. */
export async function openAppendWriter(tools: TargetTools, table: Table | undefined): Promise<OpenTarget> {
  const writer = new AppendWriter(tools)
  if (table) writer.prepare(table)
  const kept = await tools.fence.takeOver(tools.session)
  return { writer, resume: writer.begin(kept) }
}

class AppendWriter implements TargetWriter {
  readonly #tools: TargetTools
  #table: Table | undefined
  #rows: RowWriter | undefined
  #before: Kept = {}
  /** Whether the table may hold rows that the checkpoint counts on. */
  #hasRows = false
  /** Whether it must have rows whenever a transaction begins. */
  #expectsRows = false
  /** Whether the other jobs know if the table was empty before the job wrote to it. */
  #hasBegun = false
  #hasDropped = false
  #isBroken = false

  constructor(tools: TargetTools) {
    this.#tools = tools
  }

  /** Prepares to write to the table that was found or created. */
  prepare(table: Table): void {
    const { session, shape, merges, skipsUnchanged } = this.#tools
    this.#table = table
    this.#rows = new RowWriter(session, table, {
      columns: shape.columns,
      key: merges ? shape.key : undefined,
      skipsUnchanged,
      onRowDropped: () => this.#warnOfDropped(),
    })
  }

  /** Starts from the checkpoint. Without a table, its rows are gone, and the job must restart. */
  begin(kept: unknown): TargetResumption {
    this.#before = Object(kept) as Kept
    this.#hasRows = typeof kept === 'object' && kept !== null && mayHaveRows(kept)
    if (this.#hasRows) this.#tools.fence.countOnRows(kept)
    const checkpoint = givenOf(kept)
    if (this.#table) return { checkpoint }
    return this.#tools.context.isResumed || checkpoint !== null ? 'restart' : 'position'
  }

  get isBroken(): boolean {
    return this.#isBroken || !this.#tools.session.isSound
  }

  async write(batch: RecordBatch): Promise<void> {
    const { context } = this.#tools
    await this.#attempt('write to', async () => {
      await this.#create(batch.columns)
      await this.#begin()
      this.#beginToWrite()
      await (this.#rows as RowWriter).write(batch, context.toleratesFailures ?? false)
      this.#hasRows = true
    })
  }

  async createEmpty(columns: readonly Column[]): Promise<void> {
    await this.#attempt('create', () => this.#create(columns))
  }

  async truncate(): Promise<void> {
    if (!this.#table) return
    const { sql } = this.#table
    const { session, fence } = this.#tools
    await this.#attempt('empty', async () => {
      this.#expectsRows = false
      await this.#begin()
      fence.empty(session.connection)
      session.connection.exec(`delete from ${sql}`)
    })
    // With the rows, it has marked the other jobs.
    this.#hasBegun = true
    this.#hasRows = false
  }

  async flush(checkpoint: unknown): Promise<void> {
    const { session, fence, context } = this.#tools
    await this.#attempt('write to', async () => {
      await this.#begin()
      fence.keep(session.connection, this.#keptOf(checkpoint))
      await session.commit()
    })
    this.#expectsRows = this.#hasRows && context.ifReset !== undefined && context.ifReset !== 'continue'
  }

  /**
   * Whether the rows of the job are gone: the table is empty. Throws `target` when they went while the job wrote, and the table has others,
   * which would come twice if the job loaded everything again. A merge writes none twice.
   */
  async isReset(): Promise<boolean> {
    const isReset = await this.#attempt('read', async () => this.#findReset())
    if (isReset) await this.#answerReset()
    const { ifReset } = this.#tools.context
    this.#expectsRows = !isReset && this.#hasRows && ifReset !== undefined && ifReset !== 'continue'
    return isReset
  }

  async isEmpty(): Promise<boolean> {
    return this.#attempt('read', async () => this.#isEmpty())
  }

  #isEmpty(): boolean {
    const { connection } = this.#tools.session
    return !this.#table || connection.all(`select 1 from ${this.#table.sql} limit 1`).length === 0
  }

  #findReset(): boolean {
    const { context, name, merges } = this.#tools
    if (emptiedMarkOf(this.#before)) {
      if (context.ifReset !== 'fail') return true
      throw emptiedByOther(name, this.#before.emptiedBy as EmptiedBy)
    }
    if (this.#isEmpty()) return true
    if (!this.#before.hasLostRows) return false
    if (merges) return true
    throw refilled(name)
  }

  /** When the job loads everything again, lets the other jobs know before any of them has written. */
  async #answerReset(): Promise<void> {
    const { session, fence, context } = this.#tools
    const table = this.#table
    this.#hasRows = false
    fence.countOnNone()
    if (!table || context.ifReset !== 'restart') return
    await this.#attempt('write to', () =>
      session.transaction(() => fence.markFoundEmpty(session.connection, table, this.#hasRows)),
    )
  }

  /** Ends the session, and looks for what it has written: SQLite does not notice a program that writes over the file. */
  async commit(): Promise<void> {
    const { session, fence, reopen } = this.#tools
    await this.#attempt('write to', async () => {
      session.end()
      const reader = await reopen()
      try {
        await reader.read(() => fence.checkStored(reader.connection))
      } finally {
        reader.close()
      }
    })
  }

  async abort(): Promise<void> {
    const { session, fence, reopen } = this.#tools
    session.close()
    if (!fence.hasLostRows) return
    // Later runs know, as the table may have other rows by then.
    const last = await reopen()
    try {
      await fence.amend(last, (kept) => ({ ...kept, hasLostRows: true }) satisfies Kept)
    } finally {
      last.close()
    }
  }

  async #begin(): Promise<void> {
    const { session, fence } = this.#tools
    session.check()
    if (!session.isInTransaction) await fence.begin(session, this.#table, this.#expectsRows)
  }

  /**
   * Lets the other jobs know that have written to a table that the job finds empty, as none of them notices once it has rows. A run that fails
   * because of it writes nothing, so that the rows may be restored.
   */
  #beginToWrite(): void {
    if (this.#hasBegun) return
    const { session, fence } = this.#tools
    fence.markFoundEmpty(session.connection, this.#table as Table, this.#hasRows)
    if (!this.#hasRows) fence.beginToCount(session.connection)
    this.#hasBegun = true
  }

  /** Creates the table when it is missing. It is there at once, and stays when the job fails. */
  async #create(columns: readonly Column[]): Promise<void> {
    if (this.#rows) return
    const { session, name, shape } = this.#tools
    session.rollback()
    await session.transaction(() => createTable(session.connection, name, columns, shape))
    this.prepare(findTable(session.connection, name) as Table)
  }

  /** Runs `action`. Whatever fails for another reason than a record may have ended the transaction, so that nothing more is written. */
  async #attempt<Answer>(what: string, action: () => Promise<Answer>): Promise<Answer> {
    try {
      return await action()
    } catch (error) {
      const { recordIndex } = Object(error) as { recordIndex?: number }
      this.#isBroken ||= recordIndex === undefined && !isOfRow(error)
      const code = JobError.isInstance(error) ? error.code : 'target'
      if (code !== 'target') throw error
      const place = { ...(recordIndex !== undefined && { recordIndex }) }
      throw tableFailure(what, this.#tools.name, error, place)
    }
  }

  #warnOfDropped(): void {
    if (this.#hasDropped) return
    this.#hasDropped = true
    const { context, name } = this.#tools
    context.warn?.(
      `A trigger or a constraint with \`on conflict ignore\` drops records that are written to \`${name}\`. \`written\` still counts them.`,
    )
  }

  /** What the fence stores as the checkpoint. */
  #keptOf(checkpoint: unknown): Kept {
    return { ...(checkpoint as object | null), appended: true, ...(!this.#hasRows && { hasNoRows: true }) }
  }
}

/** The checkpoint that the job gave. Null for a job that gave none, as none of its runs resumes. */
function givenOf(kept: unknown): unknown {
  // Any other value is a damaged checkpoint, which its reader reports.
  if (typeof kept !== 'object' || kept === null || Array.isArray(kept)) return kept ?? null
  const { appended, hasLostRows: _, begun: __, emptiedBy: ___, hasNoRows: ____, ...given } = kept as Kept
  return appended && Object.keys(given).length === 0 ? null : given
}

function refilled(name: string): JobError {
  return new JobError(
    'target',
    `\`${name}\` was emptied after the job wrote to it, and has records since, so loading everything again ` +
      `would write these twice. Empty it and set \`ifTargetReset: 'restart'\`, or set 'continue' to load only what is new.`,
  )
}
