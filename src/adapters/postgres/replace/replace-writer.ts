import { setTimeout } from 'node:timers/promises'
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
import type { WriteSession } from '../client/index.js'
import { Insert, type LoadPlan, TableCopy, type TargetTools } from '../copy/index.js'
import { isLockTimeout, maxTries, type Table } from '../table/index.js'
import { RenameSwap } from './rename-swap.js'
import { RowsSwap, type Swap } from './rows-swap.js'
import { StagingTable } from './staging-table.js'

/** How to replace the table. */
export interface ReplaceOptions {
  readonly swap: 'rows' | 'rename'
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

/** Throws `target` when the table does not support the swap. Changes nothing. */
export async function checkSwap(session: WriteSession, table: Table, swap: ReplaceOptions['swap']): Promise<void> {
  const noStaging = ''
  const checked = swap === 'rows' ? new RowsSwap(table, noStaging, new Set()) : new RenameSwap(table, noStaging, '')
  await checked.check(session)
}

/** Loads rows into a staging table and replaces the rows of the table in one step, when the job commits. */
class ReplaceWriter implements TargetWriter {
  readonly #tools: TargetTools
  readonly #options: ReplaceOptions
  readonly #staging: StagingTable
  readonly #copy: TableCopy
  #swap: Swap | undefined
  /** The columns of the last write. */
  #names: readonly string[] = []

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

  acceptsEncoded(format: string, columns: readonly Column[]): boolean {
    return this.#copy.acceptsEncoded(format, columns)
  }

  async write(batch: RecordBatch, context: WriteContext): Promise<void> {
    await this.#copy.attempt('write to', async (connection) => {
      await this.#create(batch.columns)
      this.#staging.count(await this.#copy.write(batch, context, connection))
    })
  }

  async createEmpty(columns: readonly Column[]): Promise<void> {
    await this.#copy.attempt('create', () => this.#create(columns))
  }

  get isBroken(): boolean {
    return this.#copy.isBroken
  }

  async flush(checkpoint: unknown): Promise<void> {
    await this.#copy.flush(this.#staging.keptOf(checkpoint))
  }

  /** The swap counts the staged rows. */
  async isReset(): Promise<boolean> {
    return false
  }

  async commit(): Promise<Replacement | undefined> {
    const counts = await this.#copy.attempt('replace', () => this.#replace())
    await this.#copy.raiseSequences(this.#staging.columns)
    await this.#copy.close()
    return counts && { how: this.#options.swap, ...counts }
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
      load: (table) => new Insert(this.#staging.inPlaceOf(table)),
      check: async (table) => {
        this.#swap = this.#swapOf(table)
        await this.#swap.check(this.#tools.session)
      },
      accept: (names) => {
        if (names !== this.#names) this.#swap?.accept(names)
        this.#names = names
      },
    }
  }

  #swapOf(table: Table): Swap {
    const { sql, columns } = this.#staging
    return this.#options.swap === 'rows'
      ? new RowsSwap(table, sql, columns)
      : new RenameSwap(table, sql, this.#tools.fence.mark)
  }

  /** Swaps. Returns the counts of rows. Throws when that fails; the table is then unchanged. */
  async #replace(): Promise<Omit<Replacement, 'how'> | undefined> {
    const { session, context } = this.#tools
    const { table } = this.#staging
    // Nothing was read, so there is no table.
    if (!table) return undefined
    try {
      const counts = await this.#checkCounts(table)
      await this.#swapPrepared(this.#swapOf(table))
      return counts
    } catch (error) {
      // Resuming would fail again, so the staging table is dropped. It stays after a transient error, after
      // an abort, and when another execution has taken over.
      if (isTransient(error) || context.signal.aborted) throw error
      await this.#staging.drop(session).catch(() => undefined)
      throw this.#staging.isContinued && isIntegrity(error) ? splitFailure(table.title, error) : error
    }
  }

  /** Throws when too few rows are staged. Returns the counts, without that of the old rows where no limit needs it. */
  async #checkCounts(table: Table): Promise<Omit<Replacement, 'how'>> {
    const { session, fence } = this.#tools
    const { maxShrink } = this.#options
    const { sql, rows } = this.#staging
    const old = maxShrink === 1 ? '0' : `(select count(*) from ${table.sql})::text`
    const counts = `select (select count(*) from ${sql})::text as staged, ${old} as old`
    const [found] = await fence.transaction(session, () => session.query(counts))
    const [staged, before] = [Number(found?.staged), Number(found?.old)]
    if (staged !== rows) {
      const message = `Expected ${rows} rows in ${sql}, found ${staged}: \`${table.title}\` stays as it is.`
      throw new JobError('target', message)
    }
    if (staged < fewestInPlaceOf(before, maxShrink)) throw shrinkError(table.title, before, staged, maxShrink)
    return { ...(maxShrink < 1 && { before }), after: staged }
  }

  async #swapPrepared(swap: Swap): Promise<void> {
    const { session, fence, context } = this.#tools
    const statements = await fence.transaction(session, () => swap.preparations(session))
    for (const statement of statements) {
      await this.#withRetries(() => session.query(statement))
    }
    if (this.#options.swap === 'rename') this.#tools.locks.watchReaders()
    await this.#withRetries(async () => {
      context.signal.throwIfAborted()
      await swap.lock(session)
      await fence.markEmptied(session)
      await swap.swap(session)
      await this.#staging.dropIn(session)
    })
  }

  /**
   * Runs `work` in a transaction, and retries while it cannot get its locks. All later lock requests queue behind a
   * waiting one, so each attempt waits only briefly, and pauses as long before the next.
   */
  async #withRetries(work: () => Promise<unknown>): Promise<void> {
    const { session, fence, locks, context } = this.#tools
    for (let tries = 1; ; tries++) {
      try {
        await fence.transaction(session, work, locks.attemptTimeout)
        return
      } catch (error) {
        if (tries === maxTries || !isLockTimeout(error)) throw error
      }
      await setTimeout(locks.attemptTimeout, undefined, { signal: context.signal })
    }
  }
}

/** Whether rows violate a constraint or a unique index. */
function isIntegrity(error: unknown): boolean {
  return String(Object(error).code).startsWith('23')
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
