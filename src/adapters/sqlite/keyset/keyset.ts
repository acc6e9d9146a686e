import type { Bound, CursorRange, Query } from '../../../adapter.js'
import { quoted } from '../client/index.js'
import { bareStatement, numberOf } from '../read/index.js'
import { type ColumnRule, likeColumn } from './column-rules.js'
import { earlier } from './lookback.js'

type Bind = (value: unknown) => string

/**
 * Builds the statements that read a query in the order of its cursor columns. Each statement wraps the query unchanged. Columns are compared
 * as rows of values: an index on them serves that.
 */
export class Keyset {
  readonly #query: Query
  readonly #from: string
  readonly #names: readonly string[]
  readonly #columns: readonly string[]
  /** The columns, as conditions compare them with values. */
  #compared: readonly string[]

  constructor({ text, values }: Query, names: readonly string[]) {
    this.#query = { text, values }
    this.#from = `(\n${bareStatement(text)}\n) q`
    this.#names = names
    this.#columns = names.map((name) => `q.${quoted(name)}`)
    this.#compared = this.#columns
  }

  /** An expression may turn the values that it is compared with into others. A plus sign takes that from it, and changes nothing else. */
  compareBy(rules: readonly ColumnRule[]): void {
    this.#compared = this.#columns.map((column, index) => {
      const { affinity, isDeclared } = rules[index] as ColumnRule
      return affinity === 'none' && !isDeclared ? `+${column}` : column
    })
  }

  /** The records of a range, in order, up to `end` if given. */
  select(range: CursorRange, end?: Bound): Query {
    return this.#build('q.*', (bind) => `${this.#conditions(range, bind, end)} order by ${this.#columns.join(', ')}`)
  }

  /** The cursor values of the record at a place in a range, from 1. */
  selectAt(range: CursorRange, place: number): Query {
    const list = this.#columns.join(', ')
    return this.#build(list, (bind) => `${this.#conditions(range, bind)} order by ${list} limit 1 offset ${place - 1}`)
  }

  /** A row for each record of a range. */
  selectAll(range: CursorRange): Query {
    return this.#build('1 as one', (bind) => this.#conditions(range, bind))
  }

  /** The lowest or the highest value of the first column in a range. */
  selectExtreme(range: CursorRange, direction: 'asc' | 'desc'): Query {
    const [column = ''] = this.#columns
    return this.#build(column, (bind) => `${this.#conditions(range, bind)} order by ${column} ${direction} limit 1`)
  }

  /** The distinct values of `all` that come after `value`, in the order of the first column. */
  selectAfter(value: unknown, all: readonly unknown[]): Query {
    const values = [...this.#query.values, ...all]
    const candidates = likeColumn(this.#query, this.#names[0] as string, all.map(() => 'select ?').join(' union all '))
    if (value !== undefined) values.push(value)
    const condition = value === undefined ? '' : ' where c.v > ?'
    return { text: `select distinct c.v from ${candidates} c${condition} order by c.v`, values: values.map(boundOf) }
  }

  /** Whether a value of the first column is before the start of a range, and whether it is not before its end. In one row. */
  selectOutside(value: unknown, from: unknown, until: unknown): Query {
    const one = likeColumn(this.#query, this.#names[0] as string, 'select ?')
    const values = [from, until, ...this.#query.values, value].map((it) => boundOf(it ?? null))
    return { text: `select coalesce(c.v < ?, 0), coalesce(c.v >= ?, 0) from ${one} c`, values }
  }

  /** Returns two rows when two records are exactly at the point. */
  selectTied({ isNull, after }: CursorRange): Query {
    return this.#build('1 as one', (bind) => {
      const { values } = after as Bound
      const equal = values.map((value, index) =>
        isNull && index === 0 ? `${this.#columns[0]} is null` : `${this.#compared[index]} = ${bind(value)}`,
      )
      return `${equal.join(' and ')} limit 2`
    })
  }

  /** The records with null in one of these columns. A row for about every thousandth other one lets a scan yield. */
  selectNulls(names: readonly string[], yields: boolean): Query {
    const nulls = names.map((name) => `q.${quoted(name)} is null`)
    const tick = yields ? ' or (random() & 1023) = 0' : ''
    return this.#build(nulls.join(', '), () => `${nulls.join(' or ')}${tick}`)
  }

  /** How SQLite would run a statement. */
  static plan({ text, values }: Query): Query {
    return { text: `explain query plan ${text}`, values }
  }

  #build(list: string, tail: (bind: Bind) => string): Query {
    const values = this.#query.values.map((value) => value)
    const bind: Bind = (value) => {
      values.push(boundOf(value))
      return '?'
    }
    return { text: `select ${list} from ${this.#from} where ${tail(bind)}`, values }
  }

  #conditions({ isNull, after, until, lookback }: CursorRange, bind: Bind, end?: Bound): string {
    const conditions = this.#columns.map((column, index) => `${column} is ${isNull && index === 0 ? '' : 'not '}null`)
    if (after) conditions.push(this.#compare(isNull, after, '>', after.isBefore, bind))
    if (until) conditions.push(this.#compare(isNull, until, '<', !until.isBefore, bind))
    if (end) conditions.push(this.#compare(isNull, end, '<', true, bind))
    if (until && lookback) {
      conditions.push(`${this.#compared[0]} >= ${bind(earlier(until.values[0], lookback.distance))}`)
    }
    return conditions.join(' and ')
  }

  /** Compares columns with values in lexicographic order. All nulls in the first column are equal. */
  #compare(isNull: boolean, { values }: Bound, operator: '<' | '>', mayEqual: boolean, bind: Bind): string {
    const from = isNull ? 1 : 0
    if (from >= values.length) return mayEqual ? 'true' : 'false'
    const columns = this.#compared.slice(from, values.length)
    const bound = values.slice(from).map(bind)
    return `(${columns.join(', ')}) ${operator}${mayEqual ? '=' : ''} (${bound.join(', ')})`
  }
}

function boundOf(value: unknown): unknown {
  return typeof value === 'number' ? numberOf(value) : value
}
