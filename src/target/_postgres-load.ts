import { quotedList } from '../postgres/identifiers.js'
import type { Part } from './_postgres-rows.js'
import type { Session } from './_postgres-session.js'
import type { Guard, Table } from './_postgres-table.js'

/** How rows that were copied come to be in the table, inside one transaction. */
export interface Load {
  /** What is said when the connection is given back. */
  readonly farewell: string
  /** The name of the table that COPY writes to, as the server has it in its errors. */
  readonly copied: string
  /** What a transaction looks at first, if anything. */
  readonly guard: Guard | undefined
  /** Whether it has to be told which columns a record has: else, a COPY has the columns that each of its records has. */
  readonly takesMarks: boolean
  /** Throws `target` when the table is not made for it. */
  check(session: Session): Promise<void>
  /** Begins a COPY of such rows. */
  start(session: Session, part: Part): Promise<void>
  /** Ends the COPY: the rows are in the table. */
  end(session: Session): Promise<void>
  /** Makes room for another COPY in the same transaction, whose rows are not to come behind those of the last. */
  clear(session: Session): Promise<void>
  /** Takes what was made in the transaction for rolled back. */
  forget(): void
}

/** Adds rows to the table. */
export class Insert implements Load {
  readonly takesMarks = false
  readonly farewell = 'rollback'
  readonly copied: string
  readonly guard: Guard | undefined
  readonly #table: Table

  constructor(table: Table) {
    this.copied = table.name
    this.guard = table.guard
    this.#table = table
  }

  async check(): Promise<void> {}

  async start(session: Session, { names, isBinary }: Part): Promise<void> {
    session.startCopy(`${this.#table.sql} (${quotedList(names)})`, isBinary)
  }

  async end(session: Session): Promise<void> {
    await session.endCopy()
  }

  async clear(): Promise<void> {}

  forget(): void {}
}
