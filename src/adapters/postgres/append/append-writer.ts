import type { Column, OpenTarget, RecordBatch, TargetWriter, WriteContext } from '../../../adapter.js'
import { EmptiedCheck, Insert, type Merge, TableCopy, type TargetTools, Upsert } from '../copy/index.js'
import { StagingTable } from '../replace/index.js'
import type { Table } from '../table/index.js'
import { AppendedTable } from './appended-table.js'

/** Opens the writer of records that are appended to a table, or merged into it on a key. */
export async function openAppendWriter(
  tools: TargetTools,
  table: Table | undefined,
  merge: Merge | undefined,
): Promise<OpenTarget> {
  const { session, fence } = tools
  const emptiedCheck = new EmptiedCheck()
  const appended = new AppendedTable(tools, emptiedCheck, merge !== undefined)
  const load = (table: Table) => (merge ? new Upsert(table, merge) : new Insert(table))
  const copy = new TableCopy(tools, { load, ...(merge && { key: merge.key }) }, emptiedCheck)
  if (table) await copy.prepare(table)
  const kept = await fence.takeOver(session)
  fence.countOnRows(kept)
  await appended.checkKept(kept)
  if (table) await appended.identify(table)
  // The job may have replaced the table before.
  const resume = StagingTable.hasKept(kept)
    ? await new StagingTable(tools).begin(undefined, kept)
    : appended.begin(table, kept)
  return { writer: new AppendWriter(copy, appended), resume }
}

class AppendWriter implements TargetWriter {
  readonly #copy: TableCopy
  readonly #table: AppendedTable
  /** The columns of the records written so far. */
  readonly #written = new Set<string>()
  /** Whether the other jobs know if the table was empty before the job wrote to it. */
  #hasBegun = false

  constructor(copy: TableCopy, table: AppendedTable) {
    this.#copy = copy
    this.#table = table
  }

  acceptsEncoded(format: string, columns: readonly Column[]): boolean {
    return this.#copy.acceptsEncoded(format, columns)
  }

  async write(batch: RecordBatch, context: WriteContext): Promise<void> {
    await this.#copy.attempt('write to', async (connection) => {
      await this.#create(batch.columns)
      if (!this.#hasBegun) await this.#table.markFoundEmpty()
      this.#hasBegun = true
      this.#table.hasRows = true
      const groups = await this.#copy.write(batch, context, connection)
      for (const name of groups.flatMap(({ names }) => names)) this.#written.add(name)
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
    let isReset = false
    await this.#copy.attempt('read', async () => {
      isReset = await this.#table.isReset()
    })
    return isReset
  }

  async isEmpty(): Promise<boolean> {
    let isEmpty = false
    await this.#copy.attempt('read', async () => {
      isEmpty = await this.#table.isEmpty()
    })
    return isEmpty
  }

  async commit(): Promise<void> {
    await this.#copy.raiseSequences(this.#written)
    await this.#copy.attempt('write to', () => this.#table.recordPlace())
    await this.#copy.close()
  }

  async abort(): Promise<void> {
    await this.#copy.close(() => this.#table.recordLoss())
  }

  /** Creates the table when it is missing. */
  async #create(columns: readonly Column[]): Promise<void> {
    if (!this.#copy.hasTable) await this.#copy.create(columns, (table) => this.#table.identify(table))
  }
}
