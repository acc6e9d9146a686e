import { rule, type TargetResumption } from '../../../adapter.js'
import { damagedKept } from '../../shared/index.js'
import { isName, sqlOf, WriteSession } from '../client/index.js'
import type { TargetTools } from '../copy/index.js'
import type { RowGroup, Table } from '../table/index.js'
import { hasSameShape, raiseSequences } from './rows-swap.js'

/** What the checkpoint row keeps. `staged` counts the rows in the staging table. */
interface Kept {
  readonly staged: number
  /** The columns of the records so far. */
  readonly columns?: readonly string[]
  readonly checkpoint: unknown
}

/** How long dropping the staging table may take after a failure, in milliseconds. */
const discardTimeout = 1000

/** The storage options of the table, for the staging table. */
const storageQuery = `
  select concat(
    ' using ' || quote_ident(amname),
    ' with (' || (
      select string_agg(option, ', ')
      from (
        select unnest(c.reloptions) as option
        union all
        select 'toast.' || unnest(toast.reloptions)
      ) as options
    ) || ')',
    ' tablespace ' || quote_ident(spcname)
  ) as storage
  from pg_class c
    left join pg_tablespace s on s.oid = c.reltablespace
    left join pg_am a on a.oid = c.relam
    left join pg_class toast on toast.oid = c.reltoastrelid
  where c.oid = $1::regclass
    and c.relkind = 'r'`

/** The check constraints of the table with their comments. \`like\` would make checks that are not valid valid. */
const checksQuery = `
  select concat(
    format('alter table %s add constraint %I %s', $2::text, conname, pg_get_constraintdef(oid)),
    format('; comment on constraint %I on %s is %L', conname, $2::text, obj_description(oid, 'pg_constraint'))
  ) as statement
  from pg_constraint
  where conrelid = $1::regclass
    and contype = 'c'
  order by conname`

/** Indexes and constraints that an earlier execution created for its swap. */
const preparedQuery = `
  select format('alter table %s drop constraint %I', $1::text, conname) as statement
  from pg_constraint
  where conrelid = $1::regclass
    and contype in ('p', 'u', 'x', 'f')
  union all
  select format('drop index %s', indexrelid::regclass)
  from pg_index
  where indrelid = $1::regclass
    and indexrelid not in (
      select conindid
      from pg_constraint
      where contype in ('p', 'u', 'x')
    )`

/** The table beside the real one that a job loads. Its next executions continue it, or drop it when they restart. */
export class StagingTable {
  readonly sql: string
  readonly #name: string
  readonly #tools: TargetTools
  /** The table whose shape it has. */
  #table: Table | undefined
  #rows = 0
  #isContinued = false
  /** The columns of the records so far. */
  readonly #columns = new Set<string>()

  constructor(tools: TargetTools) {
    const { ref, fence } = tools
    this.#name = `${startOf(ref.name)}_headgate_${fence.mark}`
    this.sql = sqlOf({ schema: ref.schema, name: this.#name })
    this.#tools = tools
  }

  /** Whether the checkpoint row is that of a job that replaces. The job may append now. */
  static hasKept(kept: unknown): boolean {
    return Object.hasOwn(Object(kept), 'staged')
  }

  /** The staging table, which rows are written to instead of the table. */
  inPlaceOf(table: Table): Table {
    return { ...table, name: this.#name, sql: this.sql, guard: table.typeGuard }
  }

  /** Continues the table of an earlier execution when the job resumes and the real one exists. Otherwise drops it. */
  async begin(table: Table | undefined, kept: unknown): Promise<TargetResumption> {
    const { session, context } = this.#tools
    const { staged, columns = [], checkpoint } = Object(kept) as Partial<Kept>
    if (staged !== undefined && !rule.whole(0).accepts(staged)) throw damagedKept('staged', 'a whole number from 0 up')
    if (!Array.isArray(columns) || !columns.every(isName)) throw damagedKept('columns', 'an array of names')
    const mayResume = context.isResumed && checkpoint && staged !== undefined
    if (table && mayResume && (await this.#hasShapeOf(table))) {
      this.#table = table
      this.#rows = staged
      this.#isContinued = true
      await this.#dropPrepared()
      for (const name of columns) this.#columns.add(name)
      return { checkpoint }
    }
    await this.drop(session)
    if (table) await this.create(table)
    return context.isResumed ? 'restart' : 'position'
  }

  /** A record that was loaded before and comes again would violate a unique index, and no later run could load it. */
  async #dropPrepared(): Promise<void> {
    const { session, fence } = this.#tools
    await fence.transaction(session, async () => {
      for (const { statement } of await session.query(preparedQuery, [this.sql])) await session.query(String(statement))
    })
  }

  async create(table: Table): Promise<void> {
    const { session, fence } = this.#tools
    await fence.transaction(session, async () => {
      const [found] = await session.query(storageQuery, [table.sql])
      const checks = await session.query(checksQuery, [table.sql, this.sql])
      await session.query(
        `set local default_tablespace to '';
        create table ${this.sql} (
          like ${table.sql} including all excluding indexes excluding constraints
        ) ${found?.storage ?? ''}`,
      )
      for (const { statement } of checks) await session.query(String(statement))
      await session.query(raiseSequences, [this.sql, table.sql])
    })
    this.#table = table
  }

  /** Counts rows that were written. */
  count(groups: readonly RowGroup[]): void {
    for (const { length, names } of groups) {
      this.#rows += length
      for (const name of names) this.#columns.add(name)
    }
  }

  /** How many rows were written, including those of earlier executions. */
  get rows(): number {
    return this.#rows
  }

  /** Whether it has rows of an earlier execution, or retry. */
  get isContinued(): boolean {
    return this.#isContinued
  }

  /** The columns of the records, including those of earlier executions. */
  get columns(): ReadonlySet<string> {
    return this.#columns
  }

  /** The table whose shape it has. Undefined until it exists. */
  get table(): Table | undefined {
    return this.#table
  }

  /** What the fence stores as the checkpoint. */
  keptOf(checkpoint: unknown): Kept {
    return { staged: this.#rows, columns: [...this.#columns], checkpoint }
  }

  /** Drops the table and the checkpoint that counts its rows. */
  async drop(session: WriteSession): Promise<void> {
    await this.#tools.fence.transaction(session, () => this.dropIn(session))
  }

  /** Drops it in the open transaction. */
  async dropIn(session: WriteSession): Promise<void> {
    await session.query(`drop table if exists ${this.sql}`)
    await this.#tools.fence.keep(session, null)
  }

  /** Drops it over another connection, because the failed one may be unusable. */
  async discard(): Promise<void> {
    const session = await WriteSession.open(this.#tools.pool, AbortSignal.timeout(discardTimeout))
    try {
      await this.drop(session)
    } finally {
      await session.release('rollback')
    }
  }

  #hasShapeOf(table: Table): Promise<boolean> {
    const { session, locks } = this.#tools
    return locks.transaction(session, () => hasSameShape(session, table.sql, this.sql))
  }
}

/** Truncates a name to leave room for a suffix: a name has up to 63 bytes. */
function startOf(name: string): string {
  let start = name
  while (Buffer.byteLength(start) > 40) start = [...start].slice(0, -1).join('')
  return start
}
