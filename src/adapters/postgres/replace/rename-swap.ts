import { JobError } from '../../../adapter.js'
import { quoted, sqlOf, type WriteSession } from '../client/index.js'
import type { Table } from '../table/index.js'
import { obstaclesQuery } from './rename-obstacles.js'
import { carriedQuery, ownedQuery, preparationsQuery, statisticsQuery } from './rename-queries.js'
import { raiseSequences, requireSameShape, type Swap } from './rows-swap.js'

/**
 * Renames the staging table to the name of the table, with all dependent objects, and drops the old table. The lock
 * is held for milliseconds whatever the size, but readers wait for it.
 */
export class RenameSwap implements Swap {
  readonly #table: Table
  readonly #staging: string
  /** The prefix of the temporary names, until the old table is dropped. */
  readonly #prefix: string
  /** The statements that run once the names are free. */
  #renames: string[] = []

  constructor(table: Table, staging: string, mark: string) {
    this.#table = table
    this.#staging = staging
    this.#prefix = `headgate_${mark}_`
  }

  async check(session: WriteSession): Promise<void> {
    const found = await session.query(obstaclesQuery, [this.#table.sql])
    if (found.length === 0) return
    const obstacles = found.map(({ obstacle }) => obstacle).join(', ')
    const message = `The swap \`rename\` would break objects that depend on \`${this.#table.title}\`: ${obstacles}. Use the swap \`rows\`.`
    throw new JobError('target', message)
  }

  accept(): void {}

  async preparations(session: WriteSession): Promise<readonly string[]> {
    const { sql } = this.#table
    const found = await session.query(preparationsQuery, [sql, this.#staging, this.#prefix])
    const textsOf = (...names: string[]) => found.flatMap((row) => names.map((name) => row[name])).filter(isText)
    this.#renames = textsOf('rename', 'comment')
    const [unlogged] = await session.query(
      `select from pg_class where oid = $1::text::regclass and relpersistence = 'u'`,
      [sql],
    )
    const settings = unlogged ? [`alter table ${this.#staging} set unlogged`] : []
    return [...settings, ...textsOf('make', 'check'), `analyze ${this.#staging}`]
  }

  async lock(session: WriteSession): Promise<void> {
    await session.query(`lock table ${this.#table.sql} in access exclusive mode`)
  }

  async swap(session: WriteSession): Promise<void> {
    const { sql, schema, name } = this.#table
    const old = `${this.#prefix}old`
    await this.check(session)
    await requireSameShape(session, this.#table, this.#staging)
    await session.query(raiseSequences, [this.#staging, sql])
    const carried = await session.query(carriedQuery, [sql, this.#staging])
    const owned = await session.query(ownedQuery, [sql, this.#staging])
    const statistics = await session.query(statisticsQuery, [sql, this.#staging, this.#prefix])
    const statements = [
      `alter table ${sql} rename to ${quoted(old)}`,
      `alter table ${this.#staging} rename to ${quoted(name)}`,
      ...owned.map(({ statement }) => statement),
      `drop table ${sqlOf({ schema, name: old })}`,
      ...this.#renames,
      ...statistics.map(({ statement }) => statement),
      ...carried.map(({ statement }) => statement),
    ]
    for (const statement of statements.filter(isText)) await session.query(statement)
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}
