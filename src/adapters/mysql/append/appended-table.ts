import { JobError, type TargetResumption } from '../../../adapter.js'
import { type EmptiedBy, emptiedByOther, emptiedMarkOf, type KeptRows, mayHaveRows } from '../../shared/index.js'
import type { TargetTools } from '../copy/index.js'
import type { Table } from '../table/index.js'
import { WriteSession } from '../write/index.js'

/** What the checkpoint row keeps for an appended table: the fields of the checkpoint, and what the target knows. */
interface Kept extends KeptRows {
  readonly appended?: true
  /** Whether a run has failed because the table lost all rows. Others may have written since. */
  readonly hasLostRows?: true
  /** The job that has removed all rows since, in a full refresh or a swap. */
  readonly emptiedBy?: EmptiedBy
  /** The number of the partition that the checkpoint belongs to. */
  readonly partition?: number
}

/** How long recording a loss may take, in milliseconds. */
const recordTimeout = 5000

/** A table that records are appended to, with the state of its checkpoint. */
export class AppendedTable {
  readonly #tools: TargetTools
  /** Whether records are merged on a key. */
  readonly #merges: boolean
  #table: Table | undefined
  #before: Kept = {}
  /** Whether the table may hold rows that the checkpoint counts on. */
  hasRows = false

  constructor(tools: TargetTools, merges: boolean) {
    this.#tools = tools
    this.#merges = merges
  }

  /** Starts from the checkpoint. Without a table, its rows are gone, and the job must restart. */
  begin(table: Table | undefined, kept: unknown): TargetResumption {
    this.#table = table
    this.#before = Object(kept) as Kept
    this.hasRows = this.#countsOnRows(kept)
    const checkpoint = givenOf(kept)
    if (table) return { checkpoint }
    return this.#tools.context.isResumed || checkpoint !== null ? 'restart' : 'position'
  }

  /** A partition of another scheme begins anew. */
  #countsOnRows(kept: unknown): boolean {
    const { scheme, partition } = this.#tools.context
    const isOfOther = partition !== undefined && Object(kept).scheme !== scheme
    return typeof kept === 'object' && kept !== null && !isOfOther && mayHaveRows(kept)
  }

  /** Throws `checkpoint` when the row of a partition was deleted or changed: what the partition has committed would come twice. */
  async checkKept(kept: unknown): Promise<void> {
    const { session, fence, context, ref } = this.#tools
    if (!(await fence.isForgotten(session, kept))) return
    const { type, id, partition = 0 } = context
    throw new JobError(
      'checkpoint',
      `${fence.checkpoints.title} has no checkpoint of partition ${partition + 1} of job [${type}/${id}], which has stored one: its row was ` +
        `deleted or changed, and what the partition has written would be written twice. Empty \`${ref.title}\` and call \`reset\`.`,
    )
  }

  /** The table that was created. */
  identify(table: Table): void {
    this.#table = table
  }

  /**
   * Whether the rows of the job are gone: the table is empty. Throws `target` when they went while the job wrote, and the table has others,
   * which would come twice if the job loaded everything again. A merge writes none twice. When another job has removed them, none of this job
   * has come since, so that it may load everything again.
   */
  async isReset(): Promise<boolean> {
    const isReset = await this.#findReset()
    // Either nobody may write, or the job starts from the beginning.
    if (isReset) {
      this.hasRows = false
      this.#tools.fence.restart()
      if (this.#tools.context.ifReset === 'restart') await this.markFoundEmpty()
    }
    return isReset
  }

  /** Whether the table has no rows. One that is missing has none. */
  async isEmpty(): Promise<boolean> {
    if (!this.#table) return true
    const found = await this.#tools.session.query(`select 1 from ${this.#table.sql} limit 1`)
    return found.length === 0
  }

  async #findReset(): Promise<boolean> {
    if (emptiedMarkOf(this.#before)) {
      if (this.#tools.context.ifReset !== 'fail') return true
      throw emptiedByOther(this.#tools.ref.title, this.#before.emptiedBy as EmptiedBy)
    }
    if (await this.isEmpty()) return true
    if (!this.#before.hasLostRows) return false
    if (this.#merges) return true
    throw this.#refilled()
  }

  /**
   * Before the job writes to an empty table: lets the other jobs know that have written to it, as none of them notices once the table has
   * rows. A run that fails because of it writes nothing, so that the rows may be restored.
   */
  async markFoundEmpty(): Promise<void> {
    const { fence, session } = this.#tools
    if (this.#table) await fence.markFoundEmpty(session, this.#table, !this.hasRows)
  }

  /** After a run that failed because the table lost all rows, lets later runs know, as the table may have other rows by then. */
  async recordLoss(): Promise<void> {
    const { fence, pool, limits } = this.#tools
    if (!fence.hasLostRows) return
    const session = await WriteSession.open(pool, AbortSignal.timeout(recordTimeout), limits)
    try {
      await fence.amend(session, (kept) => ({ ...kept, hasLostRows: true }) satisfies Kept)
    } finally {
      await session.release()
    }
  }

  #refilled(): JobError {
    return new JobError(
      'target',
      `\`${this.#tools.ref.title}\` was emptied after the job wrote to it, and has records since, so loading everything again ` +
        `would write these twice. Empty it and set \`ifTargetReset: 'restart'\`, or set 'continue' to load only what is new.`,
    )
  }

  /** What the fence stores as the checkpoint. */
  keptOf(checkpoint: unknown): Kept {
    const { partition } = this.#tools.context
    return {
      ...(checkpoint as object | null),
      appended: true,
      ...(!this.hasRows && { hasNoRows: true }),
      ...(partition !== undefined && { partition }),
    }
  }
}

/** The checkpoint that the job gave. Null for a job that gave none, as none of its runs resumes. */
function givenOf(kept: unknown): unknown {
  // Any other value is a damaged checkpoint, which its reader reports.
  if (typeof kept !== 'object' || kept === null || Array.isArray(kept)) return kept ?? null
  const {
    appended,
    hasLostRows: _,
    begun: __,
    emptiedBy: ___,
    hasNoRows: ____,
    partition: _____,
    ...given
  } = kept as Kept
  return appended && Object.keys(given).length === 0 ? null : given
}
