import { JobError } from '../../../adapter.js'
import { quoted, quotedList, type WriteSession } from '../client/index.js'
import { isLoose, refuseRules, type Table } from '../table/index.js'

/** How the rows of a staging table replace those of the table. */
export interface Swap {
  /** Throws `target` when the table does not support the swap, before anything is loaded. */
  check(session: WriteSession): Promise<void>
  /** Throws `target` when rows with only these columns cannot be swapped. */
  accept(names: readonly string[]): void
  /** Statements for the staging table after the load, each in its own transaction. */
  preparations(session: WriteSession): Promise<readonly string[]>
  /** Locks the table against writers, in a transaction that the caller commits. */
  lock(session: WriteSession): Promise<void>
  /** Swaps, once that transaction has the lock. */
  swap(session: WriteSession): Promise<void>
}

/** The columns of the primary key, or of a unique index that foreign keys refer to. */
const keyQuery = `
  select attname as name, ${isLoose('indclass[place - 1]', 'indcollation[place - 1]')} as is_loose
  from (
    select indexrelid, indkey, indclass, indcollation, indnkeyatts
    from pg_index
    where indrelid = $1::regclass
      and (
        indisprimary or indexrelid in (
          select conindid
          from pg_constraint
          where contype = 'f'
            and confrelid = $1::regclass
        )
      )
    order by indisprimary desc, indexrelid
    limit 1
  ) as i, unnest(i.indkey) with ordinality as u (number, place)
    join pg_attribute on attrelid = $1::regclass and attnum = number
  where place <= indnkeyatts
  order by place`

/** Of these columns, those with an identity or a default that is different each time. */
const countedQuery = `
  select attname as name
  from pg_attribute
    left join pg_attrdef on adrelid = attrelid and adnum = attnum
  where attrelid = $1::regclass
    and attname = any($2)
    and attgenerated = ''
    and (attidentity <> '' or adbin::text ~ 'NEXTVALUEEXPR|FUNCEXPR|SQLVALUEFUNCTION')`

/** The columns that no update may set. */
const fixedQuery = `
  select attname as name
  from pg_attribute
  where attrelid = $1::regclass
    and attidentity = 'a'`

/** A column of the key. */
interface KeyColumn {
  readonly name: string
  /** Whether equal values may look different. */
  readonly isLoose: boolean
}

/**
 * Changes the rows of the table into those of the staging table, so that dependent objects stay. Deletes missing
 * rows, updates changed rows and inserts new rows, by the key. Without a key, deletes and inserts all rows. Readers
 * never wait, and see the old rows until the commit.
 */
export class RowsSwap implements Swap {
  readonly #table: Table
  readonly #staging: string
  readonly #written: ReadonlySet<string>
  #key: readonly KeyColumn[] = []
  /** Columns of the key that the table fills in, by an identity or a changing default. */
  #counted: readonly string[] = []

  /** `written` holds the columns of the records. */
  constructor(table: Table, staging: string, written: ReadonlySet<string>) {
    this.#table = table
    this.#staging = staging
    this.#written = written
  }

  async check(session: WriteSession): Promise<void> {
    await refuseRules(session, this.#table)
    await this.#refuseForeign(session)
    await this.#findKey(session)
    const names = this.#key.map(({ name }) => name)
    const counted = await session.query(countedQuery, [this.#table.sql, names])
    this.#counted = counted.map(({ name }) => String(name))
  }

  accept(names: readonly string[]): void {
    const missing = this.#counted.find((name) => !names.includes(name))
    if (missing === undefined) return
    const { title } = this.#table
    throw new JobError(
      'target',
      `Expected records with the column \`${missing}\`, the key of the swap \`rows\` on \`${title}\`, got ${names.join(', ')}. ` +
        `Without it, every run would renumber all rows and delete the rows that refer to them. Give records the column, or use the swap \`rename\`.`,
    )
  }

  async #refuseForeign(session: WriteSession): Promise<void> {
    const { sql, title } = this.#table
    const [found] = await session.query(`select from pg_class where oid = $1::regclass and relkind = 'f'`, [sql])
    if (!found) return
    const message = `Expected \`${title}\` to be a table of this server, found a foreign table, which no swap can lock. Append to it, or replace it where it is.`
    throw new JobError('target', message)
  }

  async #findKey(session: WriteSession): Promise<void> {
    const found = await session.query(keyQuery, [this.#table.sql])
    this.#key = found.map(({ name, is_loose }) => ({ name: String(name), isLoose: is_loose === true }))
  }

  async preparations(session: WriteSession): Promise<readonly string[]> {
    await this.#findKey(session)
    const analyze = `analyze ${this.#staging}`
    return this.#key.length === 0
      ? [analyze]
      : [`create unique index on ${this.#staging} (${quotedList(this.#key.map(({ name }) => name))})`, analyze]
  }

  async lock(session: WriteSession): Promise<void> {
    await session.query(`lock table ${this.#table.sql} in exclusive mode`)
  }

  async swap(session: WriteSession): Promise<void> {
    const { sql } = this.#table
    await refuseRules(session, this.#table)
    const fixed = (await session.query(fixedQuery, [sql])).map(({ name }) => String(name))
    await session.query(this.#statement(fixed))
    await session.query(raiseSequences, [sql, this.#staging])
  }

  /**
   * One statement, so that foreign keys of the table to itself are checked at its end. Deletes come first, because
   * new rows may reuse their unique values. A row that changes a column which no update may set is deleted and
   * inserted.
   */
  #statement(fixed: readonly string[]): string {
    const { sql, columns } = this.#table
    const names = quotedList([...columns.keys()])
    const insert = `
      insert into ${sql} (${names}) overriding system value
      select ${names}
      from ${this.#staging} s`
    if (this.#key.length === 0) {
      return `
      with gone as (
        delete from ${sql}
        returning 1
      )
      ${insert}
      where (select count(*) from gone) >= 0`
    }
    const telling = [...this.#key.map(({ name }) => name), ...fixed.filter((name) => this.#written.has(name))]
    const same = [...new Set(telling)].map((name) => `t.${quoted(name)} = s.${quoted(name)}`).join(' and ')
    return `
      with gone as (
        delete from ${sql} t
        where not exists (select from ${this.#staging} s where ${same})
        returning 1
      ),
      changed as (
        ${this.#update(same, fixed)}
      )
      ${insert}
      where not exists (select from ${sql} t where ${same})
        and (select count(*) from gone) + (select count(*) from changed) >= 0`
  }

  #update(same: string, fixed: readonly string[]): string {
    const names = [...this.#table.columns.keys()]
    const strict = this.#key.flatMap(({ name, isLoose }) => (isLoose ? [] : [name]))
    const others = names.filter((name) => !strict.includes(name) && !fixed.includes(name)).map(quoted)
    if (others.length === 0) return 'select'
    const row = (from: string) => `row(${others.map((name) => `${from}.${name}`).join(', ')})::record`
    // The operator compares bytes: it works for every type and distinguishes 1.0 from 1.00.
    return `
        update ${this.#table.sql} t
        set ${others.map((name) => `${name} = s.${name}`).join(', ')}
        from ${this.#staging} s
        where ${same}
          and ${row('t')} operator(pg_catalog.*<>) ${row('s')}
        returning 1`
  }
}

/** Raises the sequences of table $1 to those of table $2, where those are ahead. */
export const raiseSequences = `
  select setval(own, theirs)
  from (
    select own, pg_sequence_last_value(own) as ours, pg_sequence_last_value(other) as theirs
    from (
      select
        pg_get_serial_sequence($1, attname)::regclass as own,
        pg_get_serial_sequence($2, attname)::regclass as other
      from pg_attribute
      where attrelid = $1::regclass
        and attidentity <> ''
    ) as pairs
    where other is not null
  ) as known
  where theirs > coalesce(ours, theirs - 1)`

/** The columns and constraints of a table. */
const shapeOf = (table: string) => `
  (
    select string_agg(line, e'\\n' order by line)
    from (
      select
        format(
          '%s %s %s %s %s %s',
          attname,
          format_type(atttypid, atttypmod),
          attcollation,
          attnotnull,
          attgenerated,
          pg_get_expr(adbin, adrelid)
        ) as line
      from pg_attribute
        left join pg_attrdef on adrelid = attrelid and adnum = attnum
      where attrelid = to_regclass(${table})
        and attnum > 0
        and not attisdropped
      union all
      select format('%s %s', conname, pg_get_constraintdef(oid))
      from pg_constraint
      where conrelid = to_regclass(${table})
        and contype = 'c'
      union all
      select format('%s statistics', count(*))
      from pg_statistic_ext
      where stxrelid = to_regclass(${table})
    ) as lines
  )`

/** Whether the staging table exists and still matches the table. */
export async function hasSameShape(session: WriteSession, table: string, staging: string): Promise<boolean> {
  const [found] = await session.query(`select from (values (1)) as one where ${shapeOf('$1')} = ${shapeOf('$2')}`, [
    table,
    staging,
  ])
  return found !== undefined
}

/** Throws `target` when the table was altered since the staging table was created. */
export async function requireSameShape(session: WriteSession, table: Table, staging: string): Promise<void> {
  if (await hasSameShape(session, table.sql, staging)) return
  const message = `\`${table.title}\` was altered while the job replaced it: run the job again.`
  throw new JobError('target', message, { isTransient: true })
}
