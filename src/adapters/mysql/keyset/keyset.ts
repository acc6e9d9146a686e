import type { Bound, CursorRange, Query, ReadCursor } from '../../../adapter.js'
import { quoted } from '../client/index.js'
import type { CursorType } from './cursor-types.js'
import { earlier } from './lookback.js'

type ReadRange = NonNullable<ReadCursor['range']>
type Bind = (value: unknown) => string

/**
 * Builds the statements that read a query in the order of its cursor columns. Each statement wraps the query unchanged. Columns are
 * compared one by one, as indexes serve such conditions, and no comparison of rows.
 */
export class Keyset {
  readonly #from: string
  readonly #values: readonly unknown[]
  readonly #columns: readonly string[]
  /** The types of the columns, once they are known. */
  types: readonly CursorType[] = []
  /** What statements select. */
  list = 'q.*'

  constructor({ text, values }: Query, columns: readonly string[]) {
    this.#from = `(\n${bareStatement(text)}\n) q`
    this.#values = values
    this.#columns = columns.map((name) => `q.${quoted(name)}`)
  }

  /** Returns no rows, only their fields. */
  describe(): Query {
    return { text: `select ${this.list} from ${this.#from} limit 0`, values: this.#values }
  }

  /** The collations of the columns, in one row. */
  collations(): Query {
    const names = this.#columns.map((column) => `collation(${column})`)
    return {
      text: `select ${names.join(', ')} from (select 1) one left join ${this.#from} on false`,
      values: this.#values,
    }
  }

  /** The records of a range, in order, up to `end` if given. */
  select(range: CursorRange, end?: Bound): Query {
    return this.#query(
      this.list,
      (bind) => `${this.#conditions(range, bind, end)} order by ${this.#columns.join(', ')}`,
    )
  }

  /** The cursor values of the record at a place in a range, from 1. */
  selectAt(range: CursorRange, place: number): Query {
    const list = this.#columns.join(', ')
    return this.#query(list, (bind) => `${this.#conditions(range, bind)} order by ${list} limit 1 offset ${place - 1}`)
  }

  /** Counts the records of a range. */
  count(range: CursorRange): Query {
    return this.#query('count(*)', (bind) => this.#conditions(range, bind))
  }

  /** The lowest or the highest value of the first column in a range. */
  selectExtreme(range: CursorRange, direction: 'asc' | 'desc'): Query {
    const [column = ''] = this.#columns
    return this.#query(column, (bind) => `${this.#conditions(range, bind)} order by ${column} ${direction} limit 1`)
  }

  /** The distinct values of `all` that come after `value`, in the order of the first column. */
  selectAfter(value: string | undefined, all: readonly string[]): Query {
    const [column = ''] = this.#columns
    const values = [...this.#values]
    const bind: Bind = (given) => {
      values.push(given)
      return '?'
    }
    // The union with no rows of the column gives the values its collation.
    const candidates = [
      `select ${column} as value from ${this.#from} where false`,
      ...all.map((bound) => `select ${this.#bound(0, bound, bind)}`),
    ].join(' union all ')
    const condition = value === undefined ? '' : ` where c.value > ${this.#bound(0, value, bind)}`
    return { text: `select distinct c.value from (${candidates}) c${condition} order by c.value`, values }
  }

  /** Whether a value of the first column is before the start of a range, and whether it is not before its end. In one row. */
  selectOutside(value: string, { from, until }: ReadRange): Query {
    const values: unknown[] = []
    const bind: Bind = (given) => {
      values.push(given)
      return '?'
    }
    const compare = (operator: string, end: string | undefined) =>
      end === undefined ? 'false' : `${this.#typed(value, bind)} ${operator} ${this.#typed(end, bind)}`
    return { text: `select ${compare('<', from)}, ${compare('>=', until)}`, values }
  }

  /** Returns two rows when two records are exactly at the point. */
  selectTied({ isNull, after }: CursorRange): Query {
    return this.#query('1', (bind) => {
      const { values } = after as Bound
      const equal = values.map((value, index) =>
        isNull && index === 0
          ? `${this.#columns[0]} is null`
          : `${this.#columns[index]} = ${this.#bound(index, value, bind)}`,
      )
      return `${equal.join(' and ')} limit 2`
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

  #query(list: string, tail: (bind: Bind) => string): Query {
    const values = [...this.#values]
    const bind: Bind = (value) => {
      values.push(value)
      return '?'
    }
    return { text: `select ${list} from ${this.#from} where ${tail(bind)}`, values }
  }

  #conditions({ isNull, after, until, lookback }: CursorRange, bind: Bind, end?: Bound): string {
    const conditions = this.#columns.map((column, index) => `${column} is ${isNull && index === 0 ? '' : 'not '}null`)
    if (after) conditions.push(this.#compare(isNull, after, '>', after.isBefore, bind))
    if (until) conditions.push(this.#compare(isNull, until, '<', !until.isBefore, bind))
    if (end) conditions.push(this.#compare(isNull, end, '<', true, bind))
    if (until && lookback) conditions.push(`${this.#columns[0]} >= ${this.#earliest(until, lookback.distance, bind)}`)
    return conditions.join(' and ')
  }

  #earliest({ values }: Bound, distance: number, bind: Bind): string {
    const type = this.types[0] as CursorType
    const raw = String(values[0])
    if (type.name !== 'decimal') return this.#bound(0, earlier(raw, distance, type), bind)
    return `${this.#bound(0, raw, bind)} - ${bind(distance)}`
  }

  /**
   * Compares columns with values in lexicographic order: `a >= ? and (a > ? or b > ?)`, where the first condition alone begins the range of
   * an index. All nulls in the first column are equal.
   */
  #compare(isNull: boolean, { values }: Bound, operator: '<' | '>', mayEqual: boolean, bind: Bind): string {
    const from = isNull ? 1 : 0
    if (from >= values.length) return mayEqual ? 'true' : 'false'
    const compare = (index: number): string => {
      const column = this.#columns[index]
      const value = () => this.#bound(index, values[index], bind)
      if (index === values.length - 1) return `${column} ${operator}${mayEqual ? '=' : ''} ${value()}`
      return `${column} ${operator}= ${value()} and (${column} ${operator} ${value()} or ${compare(index + 1)})`
    }
    return `(${compare(from)})`
  }

  /** A value of the first column, which is compared with another one in the order of the column. */
  #typed(raw: string, bind: Bind): string {
    const { castOf, zeros } = this.types[0] as CursorType
    const value = this.#bound(0, raw, bind)
    return castOf && !zeros?.test(raw) ? castOf(value) : value
  }

  #bound(index: number, raw: unknown, bind: Bind): string {
    const { boundOf, sqlOf } = this.types[index] as CursorType
    const placeholder = bind(boundOf ? boundOf(String(raw)) : raw)
    return sqlOf ? sqlOf(placeholder) : placeholder
  }
}

/** A statement without the semicolon at its end. Its own last line may be a comment. */
export function bareStatement(text: string): string {
  return text.replace(/;\s*$/, '')
}
