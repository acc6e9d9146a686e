import {
  type Column,
  isTransient,
  JobError,
  type OpenTarget,
  type RecordBatch,
  type Replacement,
  type TargetAbort,
  type TargetResumption,
  type TargetWriter,
  type WriteContext,
} from '../../../adapter.js'
import { fewestInPlaceOf, shrinkError } from '../../shared/index.js'
import { type LoadPlan, TableCopy, type TargetTools } from '../copy/index.js'
import type { Table } from '../table/index.js'
import { StagingTable } from './staging-table.js'
import { type SwapName, swapByRename, swapByRows, swapOf } from './swaps.js'

/** How to replace the table. */
export interface ReplaceOptions {
  /** Default: `rename`, unless something stands against it. */
  readonly swap: SwapName | undefined
  readonly maxShrink: number
}

/** Opens the writer of records that replace the rows of a table. */
export async function openReplaceWriter(
  tools: TargetTools,
  table: Table | undefined,
  options: ReplaceOptions,
): Promise<OpenTarget> {
  const writer = new ReplaceWriter(tools, options)
  return { writer, resume: await writer.begin(table) }
}

/** Loads rows into a staging table and replaces the rows of the table in one step, when the job commits. */
class ReplaceWriter implements TargetWriter {
  readonly #tools: TargetTools
  readonly #options: ReplaceOptions
  readonly #staging: StagingTable
  readonly #copy: TableCopy

  constructor(tools: TargetTools, options: ReplaceOptions) {
    this.#tools = tools
    this.#options = options
    this.#staging = new StagingTable(tools)
    this.#copy = new TableCopy(tools, this.#plan)
  }

  /** Prepares the staging table. Resolves with where the job resumes. */
  async begin(table: Table | undefined): Promise<TargetResumption> {
    const { session, fence } = this.#tools
    if (table) await this.#copy.prepare(table)
    return this.#staging.begin(table, await fence.takeOver(session))
  }

  async write(batch: RecordBatch, context: WriteContext): Promise<void> {
    await this.#staged(async () => {
      await this.#create(batch.columns)
      this.#staging.count(await this.#copy.write(batch, context))
    })
  }

  async createEmpty(columns: readonly Column[]): Promise<void> {
    await this.#copy.attempt('create', () => this.#create(columns))
  }

  get isBroken(): boolean {
    return this.#copy.isBroken
  }

  async flush(checkpoint: unknown): Promise<void> {
    await this.#staged(() => this.#copy.flush(this.#staging.keptOf(checkpoint)))
  }

  /** The swap counts the staged rows. */
  async isReset(): Promise<boolean> {
    return false
  }

  async commit(): Promise<Replacement | undefined> {
    const replaced = await this.#copy.attempt('replace', () => this.#replace())
    await this.#copy.close()
    return replaced
  }

  async abort({ leaseLost }: TargetAbort): Promise<void> {
    const { isResumable } = this.#tools.context
    await this.#copy.close(isResumable || leaseLost ? undefined : () => this.#staging.discard())
  }

  /** Creates the table when it is missing, and the staging table beside it. */
  async #create(columns: readonly Column[]): Promise<void> {
    if (!this.#copy.hasTable) await this.#copy.create(columns, (table) => this.#staging.create(table))
  }

  get #plan(): LoadPlan {
    return {
      key: [],
      mayUpdate: false,
      into: () => this.#staging.sql,
      check: async (table) => void (await swapOf(this.#tools.session, table, this.#options.swap)),
    }
  }

  /** Writes to the staging table. Rows of two reads that do not fit together are dropped: resuming would fail again. */
  async #staged(work: () => Promise<void>): Promise<void> {
    const { session, context } = this.#tools
    await this.#copy.attempt('write to', async () => {
      try {
        await work()
      } catch (error) {
        if (context.toleratesFailures || !this.#staging.isContinued || !isDuplicate(error)) throw error
        await session.rollback()
        await this.#staging.drop(session)
        throw splitFailure(this.#tools.ref.title, error)
      }
    })
  }

  /** Swaps. Throws when that fails; the table is then unchanged. */
  async #replace(): Promise<Replacement | undefined> {
    const { session, context } = this.#tools
    const { table } = this.#staging
    // Nothing was read, so there is no table.
    if (!table) return undefined
    try {
      const counts = await this.#checkCounts(table)
      const how = await swapOf(session, table, this.#options.swap)
      if (!(await this.#staging.isAlike)) throw alteredFailure(table.title)
      if (how === 'rename') await swapByRename(this.#tools, this.#staging, table)
      else await swapByRows(this.#tools, this.#staging, table)
      return { how, ...counts }
    } catch (error) {
      // Resuming would fail again, so the staging table is dropped. It stays after a transient error, after an abort, and when another
      // execution has taken over.
      if (isTransient(error) || context.signal.aborted || !session.isSound) throw error
      await this.#staging.drop(session).catch(() => undefined)
      throw error
    }
  }

  /** Throws when too few rows are staged. Returns the counts, without that of the old rows where no limit needs it. */
  async #checkCounts(table: Table): Promise<Omit<Replacement, 'how'>> {
    const { session } = this.#tools
    const { maxShrink } = this.#options
    const { sql, rows } = this.#staging
    const old = maxShrink === 1 ? '0' : `(select count(*) from ${table.sql})`
    const [[staged, before] = []] = await session.query(`select (select count(*) from ${sql}), ${old}`)
    if (Number(staged) !== rows) {
      const message = `Expected ${rows} rows in ${sql}, found ${staged}: \`${table.title}\` stays as it is.`
      throw new JobError('target', message)
    }
    if (rows < fewestInPlaceOf(Number(before), maxShrink))
      throw shrinkError(table.title, Number(before), rows, maxShrink)
    return { ...(maxShrink < 1 && { before: Number(before) }), after: rows }
  }
}

/** The number of the error for a unique value that comes twice. */
const duplicateEntry = 1062

function isDuplicate(error: unknown): boolean {
  for (let link = error; link instanceof Error; link = link.cause) {
    if ((link as { errno?: unknown }).errno === duplicateEntry) return true
  }
  return false
}

/** The rows of one read fit together. Those of two may not, when rows of the source have changed in between. */
function splitFailure(title: string, cause: unknown): JobError {
  return new JobError(
    'target',
    `The records for \`${title}\` come from two reads, as the load was interrupted, and do not fit together: a record may have moved in the order of the ` +
      "cursor in between. They are dropped, and the next run loads everything again. To let no load resume, set `resume: 'restart'`.",
    { cause, isTransient: true },
  )
}

function alteredFailure(title: string): JobError {
  return new JobError('target', `\`${title}\` was altered while the job replaced it: run the job again.`, {
    isTransient: true,
  })
}
