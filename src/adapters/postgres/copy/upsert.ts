import { JobError } from '../../../adapter.js'
import { quoted, quotedList, type WriteSession } from '../client/index.js'
import { type Guard, isLoose, type RowGroup, refuseRules, type Table, withoutRules } from '../table/index.js'
import type { LoadStrategy } from './load.js'

/** The staging table of rows to merge, in the temporary schema of the connection. */
const staging = 'headgate_staging'

/** The table with the last values of each key, used when rows have different columns. */
const latest = 'headgate_latest'

const dropStaging = `drop table if exists pg_temp.${staging}, pg_temp.${latest}`

/** The unique index on the key: its columns, and how it compares them. */
const indexQuery = `
  select
    attname as name,
    not indimmediate as is_deferrable,
    (to_jsonb(i)->>'indnullsnotdistinct')::bool as has_equal_nulls,
    (
      select format('%I.%I', nspname, collname)
      from pg_collation l
        join pg_namespace n on n.oid = collnamespace
      where l.oid = collation_id
    ) as collation,
    ${isLoose('class', 'collation_id')} as is_loose
  from (
    select *
    from pg_index
    where indrelid = $1::regclass
      and indisunique
      and indpred is null
      and indexprs is null
      and (
        select array_agg(attname::text collate "C" order by attname::text collate "C")
        from pg_attribute
        where attrelid = indrelid
          and attnum = any((indkey::int2[])[0:indnkeyatts - 1])
      ) = (
        select array_agg(name collate "C" order by name collate "C")
        from unnest($2::text[]) name
      )
    order by indimmediate desc, (to_jsonb(pg_index)->>'indnullsnotdistinct')::bool desc nulls last, indexrelid
    limit 1
  ) i, unnest(indkey::int2[], indclass::oid[], indcollation::oid[]) as u (number, class, collation_id)
    join pg_attribute on attrelid = $1::regclass and attnum = number
  where class is not null`

/** The statements that give columns of the staging table the base types of their domains. `format_type(…, -1)` truncates no value. */
const withoutDomains = `
  with recursive types (name, type, is_domain) as (
    select attname, atttypid, false
    from pg_attribute
    where attrelid = 'pg_temp.${staging}'::regclass
      and attnum > 0
    union all
    select name, typbasetype, true
    from types
      join pg_type on oid = type
    where typtype = 'd'
  )
  select format('alter table pg_temp.${staging} alter %I type %s', name, format_type(type, -1)) as statement
  from types
    join pg_type on oid = type
  where is_domain
    and typtype <> 'd'`

/** How rows are merged. */
export interface Merge {
  /** The columns of the key. */
  readonly key: readonly string[]
  /** Whether rows stay as they are that have the values already. Default `false`. */
  readonly skipUnchanged?: boolean
}

/** What a staging table was created for. */
type Staged = Pick<RowGroup, 'names' | 'isBinary' | 'isMarked'>

/** How the index compares a column of the key. */
interface Comparison {
  readonly collation?: string
  /** Whether equal values may look different. */
  readonly isLoose: boolean
}

/** Inserts rows with a new key and updates rows with a known key. Of several rows with one key, the last one counts. */
export class Upsert implements LoadStrategy {
  readonly takesMarks = true
  readonly mayUpdate = true
  readonly cleanup = `rollback; ${dropStaging}`
  readonly copied = staging
  readonly guard: Guard | undefined
  readonly typeGuard: Guard | undefined
  readonly #table: Table
  readonly #key: readonly string[]
  readonly #skipUnchanged: boolean
  /** The column with the order of the rows. */
  readonly #line: string
  /** The column that marks which columns a row has. */
  readonly #mask: string
  /** By column of the key. Views have no index, so any of their columns may be loose. */
  #comparisons: ReadonlyMap<string, Comparison> = new Map()
  /** Whether the index treats nulls as equal. */
  #hasEqualNulls = false
  /** What the staging table holds. */
  #staged: Staged | undefined

  constructor(table: Table, { key, skipUnchanged = false }: Merge) {
    this.guard = withoutRules(table)
    this.typeGuard = table.typeGuard
    this.#table = table
    this.#key = key
    this.#skipUnchanged = skipUnchanged
    this.#line = freeName('headgate_line', table)
    this.#mask = freeName('headgate_mask', table)
  }

  /** The planner checks that a matching unique index exists. */
  async check(session: WriteSession): Promise<void> {
    const { sql, title, columns } = this.#table
    const missing = this.#key.find((name) => !columns.has(name))
    if (missing !== undefined)
      throw new JobError('target', `Expected \`${title}\` to have the column \`${missing}\` of the key.`)
    await refuseRules(session, this.#table)
    const key = quotedList(this.#key)
    const insert = `insert into ${sql} as headgate_target (${key}) overriding system value select ${key} from ${sql}`
    try {
      await session.query(`explain ${insert} on conflict (${key}) do nothing`)
    } catch (cause) {
      if (Object(cause).code !== '42P10') throw cause
      const message = `Expected \`${title}\` to have a unique index on (${key}), as the key says.`
      throw new JobError('target', message, { cause })
    }
    const found = await session.query(indexQuery, [sql, this.#key])
    if (found[0]?.is_deferrable === true) {
      const message = `Expected \`${title}\` to have a unique index on (${key}) that is not deferrable, as Postgres merges by no other.`
      throw new JobError('target', message)
    }
    this.#comparisons = new Map(found.map(({ name, ...row }) => [String(name), comparisonOf(row)]))
    this.#hasEqualNulls = found[0]?.has_equal_nulls === true
  }

  async start(session: WriteSession, group: RowGroup): Promise<void> {
    // A commit empties the staging table. Inside a transaction, only other columns or another format start another
    // COPY.
    if (!this.#staged || layoutOf(group) !== layoutOf(this.#staged)) await this.#makeStaging(session, group)
    const { names, isMarked, isBinary } = group
    this.#staged = { names, isMarked, isBinary }
    session.startCopy(`pg_temp.${staging} (${quotedList([...names, ...(isMarked ? [this.#mask] : [])])})`, isBinary)
  }

  async end(session: WriteSession): Promise<number> {
    const copied = await session.endCopy()
    const { names, isMarked } = this.#staged as Staged
    if (!isMarked) await session.query(this.#merge(names, this.#lastRows(names)))
    else await this.#mergeMarked(session, names)
    return copied
  }

  async clear(session: WriteSession): Promise<void> {
    await session.query(`truncate pg_temp.${staging}`)
  }

  forget(): void {
    this.#staged = undefined
  }

  async #makeStaging(session: WriteSession, { names, isMarked }: Staged): Promise<void> {
    const columns = `select ${quotedList(names)} from ${this.#table.sql}`
    const mask = isMarked ? `, add ${quoted(this.#mask)} text` : ''
    await session.query(`
      ${dropStaging};
      create temporary table ${staging} on commit delete rows as
        ${columns}
        with no data;
      alter table pg_temp.${staging}
        add ${quoted(this.#line)} int8 generated always as identity (cache 1000)${mask}`)
    // A null stands for a column that a row does not have, and a domain may refuse it.
    if (isMarked)
      for (const { statement } of await session.query(withoutDomains)) await session.query(String(statement))
  }

  /**
   * The expressions that identify rows with the same key, as the index compares them. Rows with a null in the key
   * never match each other, unless the index says otherwise.
   */
  get #keyExpressions(): string {
    const columns = this.#key.map((name) => this.#compared(name))
    const isPartial = this.#key.map((name) => `${quoted(name)} is null`).join(' or ')
    return [...columns, ...(this.#hasEqualNulls ? [] : [`case when ${isPartial} then ${quoted(this.#line)} end`])].join(
      ', ',
    )
  }

  /** A column of the key as the index compares it. */
  #compared(name: string, row?: string): string {
    const { collation } = this.#comparisons.get(name) ?? {}
    const column = row ? `${row}.${quoted(name)}` : quoted(name)
    return collation ? `${column} collate ${collation}` : column
  }

  #lastRows(names: readonly string[]): string {
    const key = this.#keyExpressions
    return `
        select distinct on (${key}) ${quotedList(names)}
        from pg_temp.${staging}
        order by ${key}, ${quoted(this.#line)} desc`
  }

  /** Each column gets the value of the last row that has it, as if the rows had been merged one after the other. */
  async #mergeMarked(session: WriteSession, names: readonly string[]): Promise<void> {
    const digitOf = (index: number) => `substr(s.${quoted(this.#mask)}, ${index + 1}, 1)`
    const values = names.map((name, index) => {
      const rows = `array_agg(s order by s.${quoted(this.#line)} desc) filter (where ${digitOf(index)} = '1')`
      return `((${rows})[1]).${quoted(name)} as ${quoted(name)}`
    })
    const mask = names.map((_, index) => `max(${digitOf(index)})`).join(' || ')
    await session.query(`
      drop table if exists pg_temp.${latest};
      create temporary table ${latest} on commit drop as
        select ${values.join(', ')}, ${mask} as ${quoted(this.#mask)}
        from pg_temp.${staging} s
        group by ${this.#keyExpressions}`)
    const masks = await session.query(`select distinct ${quoted(this.#mask)} as mask from pg_temp.${latest}`)
    for (const { mask } of masks) {
      const own = names.filter((_, index) => String(mask)[index] === '1')
      const rows = `
        select ${quotedList(own)}
        from pg_temp.${latest}
        where ${quoted(this.#mask)} = '${mask}'`
      await session.query(this.#merge(own, rows))
    }
  }

  /** Merges rows with distinct keys. */
  #merge(names: readonly string[], rows: string): string {
    const { sql, columns } = this.#table
    const others = names.filter((name) => !this.#key.includes(name))
    const fixed = others.filter((name) => columns.get(name)?.isFixed)
    const loose = this.#key.filter((name) => this.#comparisons.get(name)?.isLoose ?? true)
    const changing = [...loose, ...others.filter((name) => !fixed.includes(name))]
    const changed = changing.map((name) => `${quoted(name)} = excluded.${quoted(name)}`).join(', ')
    const rowOf = (row: string) => `row(${changing.map((name) => `${row}.${quoted(name)}`).join(', ')})`
    // Compares the bytes of the values: not all types have an equality, and equal values may look different.
    const where = this.#skipUnchanged
      ? ` where pg_catalog.record_image_ne(${rowOf('headgate_target')}, ${rowOf('excluded')})`
      : ''
    const moved = fixed.length > 0 ? this.#move(names, fixed) : { before: '', where: '' }
    return `
      with last as (${rows}
      )${moved.before}
      insert into ${sql} as headgate_target (${quotedList(names)}) overriding system value
      select ${quotedList(names)}
      from last
      ${moved.where}
      on conflict (${quotedList(this.#key)}) do ${changed ? `update set ${changed}${where}` : 'nothing'}`
  }

  /** Handles rows that change a column which no update may set: they are deleted and inserted with all their values. */
  #move(names: readonly string[], fixed: readonly string[]): { before: string; where: string } {
    const { sql, columns } = this.#table
    const all = [...columns.keys()]
    const values = all.map((name) => `${names.includes(name) ? 'last' : 'gone'}.${quoted(name)}`).join(', ')
    const isSame = (row: string) => {
      const operator = this.#hasEqualNulls ? 'is not distinct from' : '='
      return this.#key
        .map((name) => `${this.#compared(name, row)} ${operator} ${this.#compared(name, 'last')}`)
        .join(' and ')
    }
    const isMoved = fixed.map((name) => `t.${quoted(name)} <> last.${quoted(name)}`).join(' or ')
    const before = `,
      gone as (
        delete from ${sql} t
        using last
        where ${isSame('t')}
          and (${isMoved})
        returning t.*
      ),
      moved as (
        insert into ${sql} (${quotedList(all)}) overriding system value
        select ${values}
        from last
          join gone on ${isSame('gone')}
        where (select count(*) from gone) >= 0
        returning 1
      )`
    const where = `where not exists (select from gone where ${isSame('gone')})
        and (select count(*) from moved) >= 0`
    return { before, where }
  }
}

function comparisonOf({ collation, is_loose }: Record<string, unknown>): Comparison {
  return { isLoose: is_loose === true, ...(typeof collation === 'string' && { collation }) }
}

function layoutOf({ names, isBinary, isMarked }: Staged): string {
  return [isBinary, isMarked, ...names].join('\0')
}

/** Returns a name that no column of the table has. */
function freeName(name: string, { columns }: Table): string {
  return columns.has(name) ? freeName(`${name}_`, { columns } as Table) : name
}
