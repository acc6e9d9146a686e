import type { OpenContext } from '../index.js'
import type { Fence } from './_postgres-fence.js'
import type { Beginning } from './_postgres-replace.js'
import type { Session } from './_postgres-session.js'
import type { Table } from './_postgres-table.js'

/** What is kept of a table that records are added to: the fields of the checkpoint, and one beside them. */
interface Kept {
  /** Tells the table from one that is made anew under its name. */
  readonly relation?: Relation | null
}

/** The table and that of the checkpoints, by their oids: a restored backup has other ones of both. */
interface Relation {
  readonly table: string
  readonly beside: string
}

/** A view is made anew without a loss. Rows that the role may not see cannot be missed. */
const relationQuery = `
  select case when relkind in ('r', 'p') then oid::text end as table, to_regclass($2)::oid::text as beside,
    has_any_column_privilege(oid, 'select') and not row_security_active(oid) as is_readable
  from pg_class where oid = to_regclass($1)`

/** A table that records are added to, and what its checkpoint says of it. */
export class AppendedTable {
  readonly #session: Session
  readonly #fence: Fence
  readonly #context: OpenContext
  #table: Table | undefined
  #relation: Relation | null = null
  #before: Kept = {}

  constructor(session: Session, fence: Fence, context: OpenContext) {
    this.#session = session
    this.#fence = fence
    this.#context = context
  }

  /** Begins where the checkpoint says. What it counts on is gone with the table, if there is none. */
  begin(table: Table | undefined, kept: unknown): Beginning {
    this.#before = Object(kept) as Kept
    const { relation: _, ...fields } = this.#before
    // Whatever else stands there is damaged, which whoever reads it says.
    const checkpoint = typeof kept === 'object' && !Array.isArray(kept) ? kept && fields : (kept ?? null)
    return table ? { checkpoint } : { mustRestart: this.#context.isResumed || checkpoint !== null }
  }

  /** Takes in what table it is: one that was found, or made. */
  async identify(table: Table): Promise<void> {
    const [found] = await this.#session.query(relationQuery, [table.sql, this.#fence.checkpoints])
    const { table: oid, beside, is_readable: isReadable } = Object(found) as Record<string, unknown>
    this.#table = isReadable ? table : undefined
    this.#relation = typeof oid === 'string' && typeof beside === 'string' ? { table: oid, beside } : null
  }

  /** Whether the rows of the job are gone: the table is empty, or another one than the checkpoint was made with. */
  async isReset(): Promise<boolean> {
    const { relation } = this.#before
    const now = this.#relation
    if (relation && now && relation.beside === now.beside && relation.table !== now.table) return true
    if (!this.#table) return false
    const [found] = await this.#session.query(`select exists (select from ${this.#table.sql}) as has_rows`)
    return found?.has_rows === false
  }

  /** What the fence is to keep. */
  keptOf(checkpoint: unknown): Kept | null {
    return checkpoint === null ? null : { ...(checkpoint as object), relation: this.#relation }
  }
}
