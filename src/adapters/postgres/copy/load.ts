import { dollarQuoted, quotedList, type WriteSession } from '../client/index.js'
import type { Guard, RowGroup, Table } from '../table/index.js'

/** How copied rows get into the table, inside one transaction. */
export interface LoadStrategy {
  /** Statements that run before the connection is released. */
  readonly cleanup: string
  /** The name of the table that COPY writes to, as the errors of the server show it. */
  readonly copied: string
  /** The check at the start of a transaction, if any. */
  readonly guard: Guard | undefined
  /** The check of types at the end of a transaction, if any. */
  readonly typeGuard: Guard | undefined
  /** Whether each row needs a mark of its columns. Otherwise all records of a COPY have the same columns. */
  readonly takesMarks: boolean
  /** Whether it may change rows of the table, rather than only add some. */
  readonly mayUpdate: boolean
  /** Throws `target` when the table does not support this strategy. */
  check(session: WriteSession): Promise<void>
  /** Starts a COPY of such rows. */
  start(session: WriteSession, group: RowGroup): Promise<void>
  /** Ends the COPY and puts its rows into the table. Returns how many rows COPY wrote. */
  end(session: WriteSession): Promise<number>
  /** Prepares for another COPY in the same transaction that does not repeat the rows of the last one. */
  clear(session: WriteSession): Promise<void>
  /** Resets the state after a rollback. */
  forget(): void
}

/** Inserts rows into the table. */
export class Insert implements LoadStrategy {
  readonly takesMarks = false
  readonly mayUpdate = false
  readonly cleanup = 'rollback'
  readonly copied: string
  readonly guard: Guard | undefined
  readonly typeGuard: Guard | undefined
  readonly #table: Table
  readonly #domains: readonly string[]

  constructor(table: Table) {
    this.copied = table.name
    this.guard = table.guard
    this.typeGuard = table.typeGuard
    this.#table = table
    this.#domains = [...table.columns].flatMap(([name, { isDomain }]) => (isDomain ? [name] : []))
  }

  async check(): Promise<void> {}

  async start(session: WriteSession, { names, isBinary }: RowGroup): Promise<void> {
    const absent = this.#domains.filter((name) => !names.includes(name))
    if (absent.length > 0) session.prefixNext(refuseNulls(this.#table, absent))
    session.startCopy(`${this.#table.sql} (${quotedList(names)})`, isBinary)
  }

  end(session: WriteSession): Promise<number> {
    return session.endCopy()
  }

  async clear(): Promise<void> {}

  forget(): void {}
}

/** Fails like an insert when a domain refuses null and its column has no default. COPY checks only the columns that it is given. */
function refuseNulls({ sql }: Table, names: readonly string[]): string {
  return `do ${dollarQuoted(`begin
    perform domain_in(null, atttypid, -1)
    from pg_attribute
      join pg_type t on t.oid = atttypid
    where attrelid = to_regclass(${dollarQuoted(sql)})
      and attname in (${names.map(dollarQuoted).join(', ')})
      and not atthasdef
      and typdefaultbin is null;
  end`)}`
}
