import type { Bound, CursorRange, Query } from '../../../adapter.js'
import { quoted } from '../client/index.js'
import type { Field } from '../protocol/index.js'
import { collationOf, isStale, sourceOf } from '../read/index.js'
import { earlier } from './lookback.js'
import { bareStatement } from './single-statement.js'

type Bind = (value: unknown) => string

/** Two values of the first column, as text, of which the second comes after the first. */
export interface OrderedPair {
  readonly low: string
  readonly high: string
  /** Whether they may be equal. Default `false`. */
  readonly mayEqual?: boolean
}

/**
 * Builds the statements that read a query in the order of its cursor columns. Each statement wraps the query
 * unchanged, with its values first. A value that is compared with a column gets its type, as the server infers it,
 * and its collation.
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

  /** Returns no rows, only their fields. */
  describe(): Query {
    return { text: `select * from ${this.#text} limit 0`, values: this.#values }
  }

  /** The records of a range, in order: all, or `limit` and those tied with the last of candidates. */
  select(range: CursorRange, limit?: number): Query {
    const order = `order by ${this.#columns.join(', ')}`
    const end = limit === undefined ? '' : ` fetch first ${limit} rows with ties`
    return this.#query('*', (bind) => `${this.#conditions(range, bind)} ${order}${end}`)
  }

  /** Counts the records of a range. */
  count(range: CursorRange): Query {
    return this.#query('count(*)', (bind) => this.#conditions(range, bind))
  }

  /** The lowest and the highest value of the first column in a range, as text. */
  selectExtremes(range: CursorRange): Query {
    const [column] = this.#columns
    const values = [...this.#values]
    const conditions = this.#conditions(range, (value) => `$${values.push(value)}`)
    const first = (direction: string) =>
      `(select ${column}::text from ${this.#text} where ${conditions} order by ${column} ${direction} limit 1)`
    return { text: `select ${first('asc')}, ${first('desc')}`, values }
  }

  /** The distinct values of `all` that come after `value`, in the order of the first column. */
  selectAfter(value: string | undefined, all: readonly string[], type: string): Query {
    const values = [...this.#values, all]
    // The union with no rows of the column gives the values its collation.
    const candidates = `select ${this.#columns[0]} from ${this.#text} where false
      union all select unnest($${values.length}::text[])::${type}`
    const condition = value === undefined ? '' : `where candidates.value > $${values.push(value)}::${type}`
    return {
      text: `select distinct on (candidates.value) candidates.value::text from (${candidates}) as candidates (value) ${condition} order by candidates.value`,
      values,
    }
  }

  /** The index, from 1, of the first pair whose second value does not come after the first one, or is not equal where it may be. */
  selectUnordered(pairs: readonly OrderedPair[], type: string): Query {
    const lows = pairs.map(({ low }) => low)
    const highs = pairs.map(({ high }) => high)
    const mayEqual = pairs.map(({ mayEqual = false }) => mayEqual)
    const values = [...this.#values, lows, highs, mayEqual]
    const [low, high, equal] = [2, 1, 0].map((before) => `$${values.length - before}`)
    const [column] = this.#columns
    // The union with no rows of the column gives the values its collation.
    return {
      text: `select min(pair.index) from (
        select ${column}, ${column}, false, 0::bigint from ${this.#text} where false
        union all select low::${type}, high::${type}, may_equal, index
        from unnest(${low}::text[], ${high}::text[], ${equal}::boolean[]) with ordinality given (low, high, may_equal, index)
      ) pair (low, high, may_equal, index)
      where pair.low > pair.high or (pair.low = pair.high and not pair.may_equal)`,
      values,
    }
  }

  /** Returns two rows when two records are exactly at the point. */
  selectTied({ isNull, after }: CursorRange): Query {
    return this.#query('1', (bind) => {
      const conditions = [...this.#presence(isNull), this.#compare(isNull, after as Bound, '=', bind)]
      return `${conditions.join(' and ')} limit 2`
    })
  }

  /** The first record with null in one of the columns from `from` on. For each of these columns, whether it is null. */
  findNull(from: number): Query {
    const nulls = this.#columns.slice(from).map((column) => `${column} is null`)
    return this.#query(nulls.join(', '), () => `${nulls.join(' or ')} limit 1`)
  }

  /** Counts the records with null in one of the columns. */
  countNulls(): Query {
    return this.#query('count(*)', () => this.#columns.map((column) => `${column} is null`).join(' or '))
  }

  /**
   * Whether the snapshot of the transaction is older than the current rows of a table. Then, for each column, given
   * as a field: its table column, and for a text, whether its collation is deterministic, and the collation.
   */
  identify(fields: readonly Pick<Field, 'tableID' | 'columnID'>[], texts: readonly boolean[]): Query {
    const facts = fields.map((field, index) => {
      const collation = texts[index]
        ? collationOf(`pg_collation_for(${this.#columns[index]})::regcollation`)
        : 'null, null'
      return `${sourceOf(field)}, ${collation}`
    })
    const noRows = texts.includes(true) ? ` left join (select * from ${this.#text} limit 0) q on true` : ''
    return {
      text: `select ${isStale}, ${facts.join(', ')} from (values (1)) one${noRows}`,
      values: noRows === '' ? [] : this.#values,
    }
  }

  #query(list: string, tail: (bind: Bind) => string): Query {
    const values = [...this.#values]
    const bind = (value: unknown) => `$${values.push(value)}`
    return { text: `select ${list} from ${this.#text} where ${tail(bind)}`, values }
  }

  #conditions({ isNull, after, until, lookback }: CursorRange, bind: Bind): string {
    const conditions = this.#presence(isNull)
    if (after) conditions.push(this.#compare(isNull, after, after.isBefore ? '>=' : '>', bind))
    if (until) conditions.push(this.#compare(isNull, until, until.isBefore ? '<' : '<=', bind))
    if (until && lookback) conditions.push(`${this.#columns[0]} >= ${earlier(until.values[0], lookback, bind)}`)
    return conditions.join(' and ')
  }

  #presence(isNull: boolean): string[] {
    return this.#columns.map((column, index) => `${column} is ${isNull && index === 0 ? '' : 'not '}null`)
  }

  /** Compares columns with values in lexicographic order. All nulls in the first column are equal. */
  #compare(isNull: boolean, { values }: Bound, operator: string, bind: Bind): string {
    const from = isNull ? 1 : 0
    const columns = this.#columns.slice(from, values.length)
    if (columns.length === 0) return operator.includes('=') ? 'true' : 'false'
    return `(${columns.join(', ')}) ${operator} (${values.slice(from).map(bind).join(', ')})`
  }
}
