import { JobError, type TargetResumption } from '../../../adapter.js'
import { type EmptiedBy, emptiedByOther, emptiedMarkOf, type KeptRows, mayHaveRows } from '../../shared/index.js'
import { dollarQuoted, type ResultRow, WriteSession } from '../client/index.js'
import { EmptiedCheck, type TargetTools } from '../copy/index.js'
import type { Table } from '../table/index.js'

/** What the checkpoint row keeps for an appended table: the fields of the checkpoint and the identity of the table. */
interface Kept extends KeptRows {
  /** Identifies the table, to detect that it was recreated under its name. */
  readonly relation?: Relation | null
  /** Whether a run has failed because the table lost all rows. Others may have written since. */
  readonly hasLostRows?: true
  /** The job that has removed all rows since, in a full refresh or a swap. */
  readonly emptiedBy?: EmptiedBy
  /** The place of a row that the job knew, or that the first partition of an execution left when it was done. */
  readonly place?: { readonly text: string; readonly execution: string }
  /** The number of the partition that the checkpoint belongs to. */
  readonly partition?: number
}

/** The oids of the table and of the checkpoint table. A restored backup has different ones for both. */
interface Relation {
  readonly table: string
  readonly beside: string
}

/** How long recording a loss may take, in milliseconds. */
const recordTimeout = 5000

/** Views are left out, because recreating one loses nothing. Rows that the role cannot see cannot be checked. */
const relationQuery = (table: string, checkpoints: string) => `
  select
    case when relkind in ('r', 'p') then oid::text end as table,
    to_regclass(${dollarQuoted(checkpoints)})::oid::text as beside,
    has_any_column_privilege(oid, 'select') and not row_security_active(oid) as is_readable,
    relkind in ('r', 'p') and has_table_privilege(oid, 'select') and not exists (
      with recursive tree (relid) as (
        select pg_class.oid
        union
        select inhrelid
        from tree
          join pg_inherits on inhparent = relid
      )
      select
      from tree
        join pg_class part on part.oid = relid
      where part.relkind = 'f'
    ) as has_places
  from pg_class
  where oid = to_regclass(${dollarQuoted(table)})`

/** A table that records are appended to, with the state of its checkpoint. */
export class AppendedTable {
  readonly #tools: TargetTools
  readonly #emptiedCheck: EmptiedCheck
  /** Whether records are merged on a key. */
  readonly #merges: boolean
  #table: Table | undefined
  #relation: Relation | null = null
  #before: Kept = {}
  #hasLostRows = false
  /** Whether the table may hold rows that the checkpoint counts on. */
  hasRows = false

  constructor(tools: TargetTools, emptiedCheck: EmptiedCheck, merges: boolean) {
    this.#tools = tools
    this.#emptiedCheck = emptiedCheck
    this.#merges = merges
  }

  /** Starts from the checkpoint. Without a table, its rows are gone, and the job must restart. */
  begin(table: Table | undefined, kept: unknown): TargetResumption {
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
      `${fence.checkpoints} has no checkpoint of partition ${partition + 1} of job [${type}/${id}], which has stored one: its row was ` +
        `deleted or changed, and what the partition has written would be written twice. Empty \`${ref.title}\` and call \`reset\`.`,
    )
  }

  /** Records the identity of the table that was found or created. */
  async identify(table: Table): Promise<void> {
    const { session, fence, context } = this.#tools
    const [found] = await session.queryUntimed(relationQuery(table.sql, fence.checkpoints))
    const { table: oid, beside, is_readable: isReadable, has_places: hasPlaces } = Object(found) as ResultRow
    this.#table = isReadable ? table : undefined
    const mustKeepRows = context.ifReset !== undefined && context.ifReset !== 'continue'
    if (isReadable && hasPlaces && mustKeepRows) this.#emptiedCheck.watch(table.sql)
    this.#relation = typeof oid === 'string' && typeof beside === 'string' ? { table: oid, beside } : null
  }

  /**
   * Whether the rows of the job are gone: the table is empty, or is not the one of the checkpoint. Throws `target` when they went while
   * the job wrote, and the table has others, which would come twice if the job loaded everything again. A merge writes none twice. When
   * another job has removed them, none of this job has come since, so that it may load everything again.
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

  /** Whether the table has no rows. One that is missing has none, and one that cannot be read counts as empty. */
  async isEmpty(): Promise<boolean> {
    if (!this.#table) return true
    const { session, locks } = this.#tools
    const query = `select exists (select from ${this.#table.sql}) as has_rows`
    const [found] = await locks.transaction(session, () => session.query(query))
    return Object(found).has_rows !== true
  }

  async #findReset(): Promise<boolean> {
    if (emptiedMarkOf(this.#before)) {
      if (this.#tools.context.ifReset !== 'fail') return true
      throw emptiedByOther(this.#tools.ref.title, this.#before.emptiedBy as EmptiedBy)
    }
    if (!this.#table) return this.#isRecreated
    const { session, locks, context } = this.#tools
    const before = new EmptiedCheck()
    before.watch(this.#table.sql)
    // What an earlier execution knew says nothing about a table that was restored from a backup since.
    const isSame = this.#before.place?.execution === context.executionId
    if (isSame) before.see(this.#before.place?.text)
    const place = this.#emptiedCheck.placeOf({ withoutOwn: false })
    const query = `
      select
        exists (select from ${this.#table.sql}) as has_rows,
        ${place} as place,
        ${before.isEmptied ?? false} as is_emptied`
    const [found] = await locks.transaction(session, () => session.query(query))
    const { has_rows: hasRows, is_emptied: isEmptied } = Object(found) as ResultRow
    this.#emptiedCheck.see(found?.place)
    if (!hasRows) return true
    this.#hasLostRows = isEmptied === true || (isSame && this.#isRecreated)
    if (!this.#hasLostRows && !this.#before.hasLostRows) return this.#isRecreated
    if (this.#merges) return true
    throw this.#refilled()
  }

  /**
   * Before the job writes to an empty table: lets the other jobs know that have written to it, as none of them notices once the table has
   * rows. A run that fails because of it writes nothing, so that the rows may be restored.
   */
  async markFoundEmpty(): Promise<void> {
    const { fence, session } = this.#tools
    // The first transaction fails when rows of the job are gone that were there.
    if (!this.#table || !this.#relation || this.#emptiedCheck.expectsRows) return
    await fence.markFoundEmpty(session, !this.hasRows)
  }

  get #isRecreated(): boolean {
    const { relation } = this.#before
    const now = this.#relation
    return Boolean(relation && now && relation.beside === now.beside && relation.table !== now.table)
  }

  /** Before a partition ends, lets its job know the place of a row, which shows later whether the table still has the rows. */
  async recordPlace(): Promise<void> {
    const { place } = this.#emptiedCheck
    const { fence, session, context } = this.#tools
    if (context.partition === undefined || place === undefined) return
    await fence.amend(session, (kept: Kept, execution) =>
      kept.place?.execution === execution ? kept : { ...kept, place: { text: place, execution } },
    )
  }

  /** After a run that failed because the table lost all rows, lets later runs know, as the table may have other rows by then. */
  async recordLoss(): Promise<void> {
    const { fence, pool } = this.#tools
    if (!this.#hasLostRows && !fence.hasLostRows) return
    const session = await WriteSession.open(pool, AbortSignal.timeout(recordTimeout))
    try {
      await fence.amend(session, (kept) => ({ ...kept, hasLostRows: true }) satisfies Kept)
    } finally {
      await session.release()
    }
  }

  #refilled(): JobError {
    return new JobError(
      'target',
      `\`${this.#tools.ref.title}\` was emptied or created again after the job wrote to it, and has records since, so loading everything again ` +
        `would write these twice. Empty it and set \`ifTargetReset: 'restart'\`, or set 'continue' to load only what is new.`,
    )
  }

  /** What the fence stores as the checkpoint. */
  keptOf(checkpoint: unknown): Kept {
    const { place: text } = this.#emptiedCheck
    const { partition, executionId: execution } = this.#tools.context
    const place = text !== undefined && partition === undefined ? { place: { text, execution } } : {}
    return {
      ...(checkpoint as object | null),
      relation: this.#relation,
      ...place,
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
    relation,
    hasLostRows: _,
    place: __,
    begun: ___,
    emptiedBy: ____,
    hasNoRows: _____,
    partition: ______,
    ...given
  } = kept as Kept
  return relation !== undefined && Object.keys(given).length === 0 ? null : given
}
