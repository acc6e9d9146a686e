import { JobError } from '../index.js'
import { quoted, quotedList } from '../postgres/identifiers.js'
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
  /** Throws `target` when the table is not made for it. */
  check(session: Session): Promise<void>
  /** Begins a COPY to these columns, in its binary or its text format. */
  start(session: Session, names: readonly string[], isBinary: boolean): Promise<void>
  /** Ends the COPY: the rows are in the table. */
  end(session: Session): Promise<void>
  /** Makes room for another COPY in the same transaction, whose rows are not to come behind those of the last. */
  clear(session: Session): Promise<void>
  /** Takes what was made in the transaction for rolled back. */
  forget(): void
}

/** Adds rows to the table. */
export class Insert implements Load {
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

  async start(session: Session, names: readonly string[], isBinary: boolean): Promise<void> {
    session.startCopy(`${this.#table.sql} (${quotedList(names)})`, isBinary)
  }

  async end(session: Session): Promise<void> {
    await session.endCopy()
  }

  async clear(): Promise<void> {}

  forget(): void {}
}

/** Where rows wait until they are merged, in a schema that the connection has for itself. */
const staging = 'headgate_staging'
const dropStaging = `drop table if exists pg_temp.${staging}`

/** The column that tells which of two rows came later. */
const line = 'headgate_line'

/** Adds rows whose key is new, and changes those whose key is there; of several rows of one key, the last one counts. */
export class Upsert implements Load {
  readonly farewell = `rollback; ${dropStaging}`
  readonly copied = staging
  readonly guard: Guard | undefined
  readonly #table: Table
  readonly #key: readonly string[]
  /** The columns that wait in the staging table. */
  #staged: readonly string[] = []

  constructor(table: Table, key: readonly string[]) {
    this.guard = table.guard
    this.#table = table
    this.#key = key
  }

  /** The planner knows whether there is a unique index that fits. */
  async check(session: Session): Promise<void> {
    const { sql, title, columns } = this.#table
    const missing = this.#key.find((name) => !columns.has(name))
    if (missing !== undefined)
      throw new JobError('target', `Expected \`${title}\` to have the column \`${missing}\` of the key.`)
    const key = quotedList(this.#key)
    try {
      await session.query(
        `explain insert into ${sql} (${key}) select ${key} from ${sql} on conflict (${key}) do nothing`,
      )
    } catch (cause) {
      if (Object(cause).code !== '42P10') throw cause
      throw new JobError('target', `Expected \`${title}\` to have a unique index on (${key}), as the key says.`, {
        cause,
      })
    }
  }

  async start(session: Session, names: readonly string[], isBinary: boolean): Promise<void> {
    // A commit empties it. Inside a transaction, only other columns begin another COPY.
    if (names.join('\0') !== this.#staged.join('\0')) await this.#makeStaging(session, names)
    this.#staged = names
    session.startCopy(`pg_temp.${staging} (${quotedList(names)})`, isBinary)
  }

  async end(session: Session): Promise<void> {
    await session.endCopy()
    await session.query(this.#merge())
  }

  async clear(session: Session): Promise<void> {
    await session.query(`truncate pg_temp.${staging}`)
  }

  forget(): void {
    this.#staged = []
  }

  async #makeStaging(session: Session, names: readonly string[]): Promise<void> {
    const missing = this.#key.find((name) => !names.includes(name))
    if (missing !== undefined) {
      throw new JobError(
        'target',
        `Expected records with the column \`${missing}\` of the key, got ${names.join(', ')}.`,
      )
    }
    const columns = `select ${quotedList(names)} from ${this.#table.sql}`
    await session.query(`${dropStaging};
      create temporary table ${staging} on commit delete rows as ${columns} with no data;
      alter table pg_temp.${staging} add ${line} int8 generated always as identity (cache 1000)`)
  }

  /** Rows with a null in the key are in nobody's way, and none of them is another's repeat. */
  #merge(): string {
    const names = this.#staged
    const key = quotedList(this.#key)
    const isPartial = this.#key.map((name) => `${quoted(name)} is null`).join(' or ')
    const changed = names
      .filter((name) => !this.#key.includes(name))
      .map((name) => `${quoted(name)} = excluded.${quoted(name)}`)
    return `insert into ${this.#table.sql} (${quotedList(names)}) overriding system value
      select ${quotedList(names)} from (
        select distinct on (${key}, case when ${isPartial} then ${line} end) * from pg_temp.${staging}
        order by ${key}, case when ${isPartial} then ${line} end, ${line} desc
      ) as last
      on conflict (${key}) do ${changed.length > 0 ? `update set ${changed.join(', ')}` : 'nothing'}`
  }
}
