import type { Query } from '../index.js'
import { quoted } from '../postgres/identifiers.js'
import { collationOf, isStale, sourceOf } from './_postgres-catalog.js'
import { bareStatement } from './_postgres-statement.js'
import type { Field } from './_postgres-step.js'

/** A point in the order: after all records with these values in the first columns, or before them. */
export interface Bound {
  /** The raw text of the first columns: of all, or of some. */
  readonly values: readonly unknown[]
  /** Whether the records with these values lie after the point. */
  readonly isBefore: boolean
}

/** Records that follow each other. */
export interface Range {
  /** Whether it is those with null in the first column; else, those without any null. */
  readonly isNull: boolean
  /** The point that they come after. Default: all. */
  readonly after?: Bound | undefined
  /** The point that they come before. Default: all. */
  readonly until?: Bound | undefined
  /** How far before `until` they begin at most. */
  readonly lookback?: Lookback | undefined
}

/** A distance in the first column. */
export interface Lookback {
  /** Milliseconds for a date or timestamp, else the column's own unit. */
  readonly distance: number
  /** The column's type, as SQL names it. */
  readonly type: string
  readonly isTime: boolean
}

type Bind = (value: unknown) => string

/**
 * The statements that read a query by the order of some of its columns. Each holds the query as it is, and its values
 * before those of its own. What is compared with a column has its type, as the server infers it, and its collation.
 */
export class Keyset {
  readonly #text: string
  readonly #values: readonly unknown[]
  readonly #columns: readonly string[]

  constructor({ text, values }: Query, columns: readonly string[]) {
    this.#text = `(\n${bareStatement(text)}\n) q`
    this.#values = values
    this.#columns = columns.map((name) => `q.${quoted(name)}`)
  }

  /** No rows, but their fields. */
  describe(): Query {
    return { text: `select * from ${this.#text} limit 0`, values: this.#values }
  }

  /** The records of a range, in order: all, or `limit` and those that are tied with the last of them. */
  select(range: Range, limit?: number): Query {
    const order = `order by ${this.#columns.join(', ')}`
    const end = limit === undefined ? '' : ` fetch first ${limit} rows with ties`
    return this.#query('*', (bind) => `${this.#conditions(range, bind)} ${order}${end}`)
  }

  /** The least and the greatest value of the first column in a range, as text. */
  selectExtremes(range: Range): Query {
    const [column] = this.#columns
    const values = [...this.#values]
    const conditions = this.#conditions(range, (value) => `$${values.push(value)}`)
    const first = (direction: string) =>
      `(select ${column}::text from ${this.#text} where ${conditions} order by ${column} ${direction} limit 1)`
    return { text: `select ${first('asc')}, ${first('desc')}`, values }
  }

  /** Those of some values that come after `value`, in the order of the first column, and none twice. */
  selectAfter(value: string | undefined, all: readonly string[], type: string): Query {
    const values = [...this.#values, all]
    // Beside no row of the column, they have its collation.
    const them = `select ${this.#columns[0]} from ${this.#text} where false
      union all select unnest($${values.length}::text[])::${type}`
    const condition = value === undefined ? '' : `where them.value > $${values.push(value)}::${type}`
    return {
      text: `select distinct on (them.value) them.value::text from (${them}) as them (value) ${condition} order by them.value`,
      values,
    }
  }

  /** Two rows, when two records lie at the point itself. */
  selectTied({ isNull, after }: Range): Query {
    return this.#query('1', (bind) => {
      const conditions = [...this.#presence(isNull), this.#compare(isNull, after as Bound, '=', bind)]
      return `${conditions.join(' and ')} limit 2`
    })
  }

  /** The first record with null in one of the columns from `from` on: for each of them, whether it is null. */
  findNull(from: number): Query {
    const nulls = this.#columns.slice(from).map((column) => `${column} is null`)
    return this.#query(nulls.join(', '), () => `${nulls.join(' or ')} limit 1`)
  }

  /** How many records have null in one of the columns. */
  countNulls(): Query {
    return this.#query('count(*)', () => this.#columns.map((column) => `${column} is null`).join(' or '))
  }

  /**
   * Whether the transaction sees other rows in a table than there are, as its snapshot is older than what put them there; then, for each
   * of the columns, given as fields: the column of a table that it is, and of a text whether its collation tells all
   * different texts apart, and its collation.
   */
  identify(fields: readonly Pick<Field, 'tableID' | 'columnID'>[], texts: readonly boolean[]): Query {
    const told = fields.map((field, index) => {
      const collation = texts[index]
        ? collationOf(`pg_collation_for(${this.#columns[index]})::regcollation`)
        : 'null, null'
      return `${sourceOf(field)}, ${collation}`
    })
    const noRows = texts.includes(true) ? ` left join (select * from ${this.#text} limit 0) q on true` : ''
    return {
      text: `select ${isStale}, ${told.join(', ')} from (values (1)) one${noRows}`,
      values: noRows === '' ? [] : this.#values,
    }
  }

  #query(list: string, tail: (bind: Bind) => string): Query {
    const values = [...this.#values]
    const bind = (value: unknown) => `$${values.push(value)}`
    return { text: `select ${list} from ${this.#text} where ${tail(bind)}`, values }
  }

  #conditions({ isNull, after, until, lookback }: Range, bind: Bind): string {
    const conditions = this.#presence(isNull)
    if (after) conditions.push(this.#compare(isNull, after, after.isBefore ? '>=' : '>', bind))
    if (until) conditions.push(this.#compare(isNull, until, until.isBefore ? '<' : '<=', bind))
    if (until && lookback) conditions.push(`${this.#columns[0]} >= ${earlier(until.values[0], lookback, bind)}`)
    return conditions.join(' and ')
  }

  #presence(isNull: boolean): string[] {
    return this.#columns.map((column, index) => `${column} is ${isNull && index === 0 ? '' : 'not '}null`)
  }

  /** Compares columns with values, the first that differ decide. Nulls in the first column are all alike. */
  #compare(isNull: boolean, { values }: Bound, operator: string, bind: Bind): string {
    const from = isNull ? 1 : 0
    const columns = this.#columns.slice(from, values.length)
    if (columns.length === 0) return operator.includes('=') ? 'true' : 'false'
    return `(${columns.join(', ')}) ${operator} (${values.slice(from).map(bind).join(', ')})`
  }
}

function earlier(value: unknown, { distance, type, isTime }: Lookback, bind: Bind): string {
  const from = `${bind(value)}::${type}`
  return isTime
    ? `${from} - ${bind(distance)}::float8 * interval '1 millisecond'`
    : `${from} - ${bind(distance)}::${type}`
}
