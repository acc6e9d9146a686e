import type { Column, OpenTarget, RecordBatch, TargetWriter, WriteContext } from '../../../adapter.js'
import { type LoadPlan, TableCopy, type TargetTools, Upsert } from '../copy/index.js'
import { StagingTable } from '../replace/index.js'
import type { Table } from '../table/index.js'
import { AppendedTable } from './appended-table.js'

const insert: LoadPlan = { key: [], mayUpdate: false, into: ({ sql }) => sql }

/** Opens the writer of records that are appended to a table, or merged into it on a key. */
export async function openAppendWriter(
  tools: TargetTools,
  table: Table | undefined,
  mergeKey: readonly string[] | undefined,
): Promise<OpenTarget> {
  const { session, fence, context } = tools
  const appended = new AppendedTable(tools, mergeKey !== undefined)
  const mustKeepRows = context.ifReset !== undefined && context.ifReset !== 'continue'
  const plan = mergeKey ? new Upsert(mergeKey, session.facts.isMariadb) : insert
  const copy = new TableCopy(tools, plan, mustKeepRows)
  if (table) await copy.prepare(table)
  const kept = await fence.takeOver(session)
  fence.countOnRows(kept)
  await appended.checkKept(kept)
  // The job may have replaced the table before.
  const resume = StagingTable.hasKept(kept)
    ? await new StagingTable(tools).begin(undefined, kept)
    : appended.begin(table, kept)
  return { writer: new AppendWriter(copy, appended), resume }
}

class AppendWriter implements TargetWriter {
  readonly #copy: TableCopy
  readonly #table: AppendedTable
  /** Whether the other jobs know if the table was empty before the job wrote to it. */
  #hasBegun = false

  constructor(copy: TableCopy, table: AppendedTable) {
    this.#copy = copy
    this.#table = table
  }

  async write(batch: RecordBatch, context: WriteContext): Promise<void> {
    await this.#copy.attempt('write to', async () => {
      await this.#create(batch.columns)
      // The first transaction fails when rows are gone that were there.
      if (!this.#hasBegun && !this.#copy.expectsRows) await this.#table.markFoundEmpty()
      this.#hasBegun = true
      this.#table.hasRows = true
      await this.#copy.write(batch, context)
    })
  }

  async createEmpty(columns: readonly Column[]): Promise<void> {
    await this.#copy.attempt('create', () => this.#create(columns))
  }

  async truncate(): Promise<void> {
    await this.#copy.truncate()
    // With the rows, it has marked the other jobs.
    this.#hasBegun ||= this.#copy.hasTable
    this.#table.hasRows = false
  }

  get isBroken(): boolean {
    return this.#copy.isBroken
  }

  async flush(checkpoint: unknown): Promise<void> {
    await this.#copy.flush(this.#table.keptOf(checkpoint))
  }

  async isReset(): Promise<boolean> {
    return this.#copy.attempt('read', async () => {
      const isReset = await this.#table.isReset()
      if (!isReset) this.#copy.expectRows()
      return isReset
    })
  }

  async isEmpty(): Promise<boolean> {
    return this.#copy.attempt('read', () => this.#table.isEmpty())
  }

  async commit(): Promise<void> {
    await this.#copy.close()
  }

  async abort(): Promise<void> {
    await this.#copy.close(() => this.#table.recordLoss())
  }

  /** Creates the table when it is missing. */
  async #create(columns: readonly Column[]): Promise<void> {
    if (!this.#copy.hasTable) await this.#copy.create(columns, async (table) => this.#table.identify(table))
  }
}
