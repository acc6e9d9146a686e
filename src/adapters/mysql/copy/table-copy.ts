import type { Column, OpenContext, RecordBatch, WriteContext } from '../../../adapter.js'
import { type CallbackPool, failure } from '../client/index.js'
import { BatchLines, type LineField, type LineGroup } from '../lines/index.js'
import { createTable, findTable, type Table, type TableRef, type TableShape } from '../table/index.js'
import { isGeneral, isLockFailure, type SessionLimits, type WriteSession } from '../write/index.js'
import type { Fence } from './fence.js'
import { RowWriter } from './row-writer.js'

/** What a target has open for one execution. */
export interface TargetTools {
  readonly pool: CallbackPool
  readonly session: WriteSession
  readonly limits: SessionLimits
  readonly ref: TableRef
  readonly fence: Fence
  readonly context: OpenContext
  readonly shape: TableShape
  /** Ends the pool, if it belongs to the target. */
  end(): Promise<void>
}

/** What a writer does with the table. */
export interface LoadPlan {
  /** The key columns of an upsert. */
  readonly key: readonly string[]
  /** Whether rows of the table may be changed, so that the order of records matters. */
  readonly mayUpdate: boolean
  /** The table that is written to, as SQL. */
  into(table: Table): string
  /** Throws `target` when the table does not support the plan, before anything is loaded. */
  check?(table: Table): Promise<void>
  /** Throws `target` when rows with only these fields cannot be loaded. */
  accept?(fields: readonly LineField[], table: Table): void
  /** What follows the values of an `insert`. Default: nothing. */
  tail?(fields: readonly LineField[]): string
}

interface Loading {
  readonly table: Table
  readonly lines: BatchLines
  readonly rows: RowWriter
}

/** Writes the batches of one execution in its transactions, and explains why one failed. */
export class TableCopy {
  readonly #tools: TargetTools
  readonly #plan: LoadPlan
  /** Whether the table must keep rows once it has some of the job. */
  readonly #mustKeepRows: boolean
  /** Undefined until the table exists. */
  #loading: Loading | undefined
  #isBegun = false
  /** Whether the open transaction has rows. */
  #hasWritten = false
  /** Whether the table had rows of the job, so that it must have rows. */
  #expectsRows = false
  #isBroken = false

  constructor(tools: TargetTools, plan: LoadPlan, mustKeepRows = false) {
    this.#tools = tools
    this.#plan = plan
    this.#mustKeepRows = mustKeepRows
  }

  /** Whether the table exists. */
  get hasTable(): boolean {
    return this.#loading !== undefined
  }

  /** Prepares to load the table that was found. Throws `target` when it does not support that. */
  async prepare(table: Table): Promise<void> {
    const { session, shape, ref } = this.#tools
    const { key, mayUpdate } = this.#plan
    await this.#plan.check?.(table)
    const options = { mapping: shape.columns, key, keepsOrder: mayUpdate }
    const tail = (fields: readonly LineField[]) => this.#plan.tail?.(fields) ?? ''
    const rows = new RowWriter(session, { ref, sql: this.#plan.into(table), tail })
    this.#loading = { table, rows, lines: new BatchLines(table, options) }
  }

  /** Creates the table for these columns of records. Calls `onCreated` before it is loaded. */
  async create(columns: readonly Column[], onCreated: (table: Table) => Promise<void>): Promise<void> {
    const { session, ref, shape } = this.#tools
    await createTable(session, ref, columns, shape)
    const table = (await findTable(session, ref)) as Table
    await onCreated(table)
    await this.prepare(table)
  }

  /** Whether no record can be written any more. */
  get isBroken(): boolean {
    return this.#isBroken || !this.#tools.session.isSound
  }

  /** Whether a transaction does not begin while the table is empty. */
  get expectsRows(): boolean {
    return this.#expectsRows
  }

  /** The table has rows that the job counts on. */
  expectRows(): void {
    this.#expectsRows = this.#mustKeepRows
  }

  /** Writes a batch. Returns its groups. */
  async write(batch: RecordBatch, { idempotencyKey }: WriteContext): Promise<LineGroup[]> {
    const { table, lines } = this.#loading as Loading
    const groups = this.#groupsOf(batch, lines, table)
    const { toleratesFailures } = this.#tools.context
    if (toleratesFailures) await this.#writeWhole(groups, idempotencyKey)
    else await this.#writeOn(groups, idempotencyKey)
    return groups
  }

  /** Encodes a batch. When all rows have the same wrong columns, no single record is at fault. */
  #groupsOf(batch: RecordBatch, lines: BatchLines, table: Table): LineGroup[] {
    try {
      const groups = lines.groupsOf(batch)
      for (const { fields } of groups) this.#plan.accept?.(fields, table)
      return groups
    } catch (error) {
      this.#isBroken ||= batch.isRaw && (error as { recordIndex?: unknown }).recordIndex === undefined
      throw error
    }
  }

  async #writeOn(groups: readonly LineGroup[], key: string): Promise<void> {
    await this.#begin()
    const { rows } = this.#loading as Loading
    for (const group of groups) await rows.add(group, key)
    this.#hasWritten = true
  }

  /** Writes a batch completely or not at all. */
  async #writeWhole(groups: readonly LineGroup[], key: string): Promise<void> {
    const { session } = this.#tools
    const { rows } = this.#loading as Loading
    await this.#begin()
    const hadRows = this.#hasWritten
    await session.query('savepoint headgate_write')
    try {
      for (const group of groups) await rows.add(group, key)
      await rows.finish()
      this.#hasWritten = true
    } catch (error) {
      rows.forget()
      if (isLockFailure(error)) {
        // The server has rolled back the statement, or the transaction.
        await session.rollback()
        this.#isBegun = false
        this.#isBroken ||= hadRows
      } else if (session.isSound) await session.query('rollback to savepoint headgate_write')
      throw error
    }
  }

  async #begin(): Promise<void> {
    if (this.#isBegun) return
    const { session, fence } = this.#tools
    await fence.begin(session, { table: this.#loading?.table, expectsRows: this.#expectsRows })
    this.#isBegun = true
    this.#hasWritten = false
  }

  /** Removes all rows of the table, in the transaction of the next rows. A table that does not exist has none. */
  async truncate(): Promise<void> {
    if (!this.#loading) return
    const { session, fence } = this.#tools
    const { sql } = this.#loading.table
    await this.attempt('empty', async () => {
      await fence.prepareEmptying(session)
      this.#expectsRows = false
      await this.#begin()
      await fence.empty(session)
      await session.query(`delete from ${sql}`)
      this.#hasWritten = true
    })
  }

  /** Commits the written records together with the checkpoint. */
  async flush(checkpoint: unknown): Promise<void> {
    const { session, fence } = this.#tools
    await this.attempt('write to', async () => {
      await this.#loading?.rows.finish()
      await this.#begin()
      await fence.keep(session, checkpoint)
      await session.decide('commit')
      this.#isBegun = false
      if (this.#hasWritten) this.expectRows()
    })
  }

  /** Releases the connection. Then runs `last`, which cleans up. */
  async close(last?: () => Promise<void>): Promise<void> {
    const { session, fence, end } = this.#tools
    await session.release(fence.last)
    try {
      await this.attempt('clean up', async () => last?.())
    } finally {
      await end()
    }
  }

  /** Runs `action`. Throws its error as a `target` error that says why it failed. */
  async attempt<Answer>(what: string, action: () => Promise<Answer>): Promise<Answer> {
    try {
      return await action()
    } catch (error) {
      this.#isBroken ||= isGeneral(error)
      throw failure('target', `Could not ${what} \`${this.#tools.ref.title}\``, error)
    }
  }
}
