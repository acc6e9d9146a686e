import {
  type Bound,
  type ColumnOrder,
  type CursorRange,
  JobError,
  type JobRecord,
  mapInTurns,
  quotedNames,
  type ReadCursor,
} from '../../../adapter.js'
import { CursorColumn, compareKeys, type Key, timeIn } from './cursor-column.js'
import { sortInTurns } from './sort-in-turns.js'

/** The values of the cursor columns of a record. */
type Keys = readonly (Key | null)[]

/** The type of a column without a value. */
export const noKind = 'null'

/** The places of records in memory, in the order of a cursor. */
export class SortedRecords {
  readonly columns: readonly CursorColumn[]
  readonly #keys: readonly Keys[]
  /** The places of records without nulls, in order. */
  readonly #complete: readonly number[]
  /** The places of records with null in the first column alone, in the order of the others. */
  readonly #withoutFirst: readonly number[]

  private constructor(
    columns: readonly CursorColumn[],
    keys: readonly Keys[],
    complete: readonly number[],
    withoutFirst: readonly number[],
  ) {
    this.columns = columns
    this.#keys = keys
    this.#complete = complete
    this.#withoutFirst = withoutFirst
  }

  /** Sorts records. Throws `datasource` when the columns have no order. */
  static async of(records: readonly JobRecord[], names: ReadCursor['columns']): Promise<SortedRecords> {
    const columns = names.map((name) => new CursorColumn(name))
    const keys = await mapInTurns(records, (record) => columns.map((column) => column.keyOf(record)))
    const missing = records.length > 0 && columns.find(({ isPresent }) => !isPresent)
    if (missing) throw missingFailure(missing.name, records[0] as JobRecord)
    const places = (isIn: (keys: Keys) => boolean) => [...keys.keys()].filter((place) => isIn(keys[place] as Keys))
    const complete = places((keys) => !keys.includes(null))
    const withoutFirst = places((keys) => keys.lastIndexOf(null) === 0)
    const compare = (from: number) => (one: number, other: number) =>
      compareKeys(keys[one] as Keys, keys[other] as Keys, from)
    return new SortedRecords(
      columns,
      keys,
      await sortInTurns(complete, compare(0)),
      await sortInTurns(withoutFirst, compare(1)),
    )
  }

  /** What the values of the columns are, as a position holds it. */
  get order(): readonly ColumnOrder[] {
    return this.columns.map(({ kind }) => ({ type: kind ?? noKind }))
  }

  /** How many records have a null in a column. */
  get nullCount(): number {
    return this.#keys.length - this.#complete.length
  }

  /** The first column with a null, from the column `from` on. */
  nullFrom(from: number): CursorColumn | undefined {
    return this.columns.find((_, index) => index >= from && this.#keys.some((keys) => keys[index] === null))
  }

  /** The places of a range, in order. */
  range({ isNull, after, until, lookback }: CursorRange): readonly number[] {
    const places = isNull ? this.#withoutFirst : this.#complete
    const start = after ? this.#find(places, after, isNull) : 0
    const end = until ? this.#find(places, until, isNull) : places.length
    const within = places.slice(start, Math.max(start, end))
    if (!until || !lookback) return within
    const isRepeated = this.#repeats(until, lookback.distance)
    return within.filter((place) => isRepeated(this.#keysAt(place)[0] as Key))
  }

  /** Whether all values of the first column are texts of times. */
  get hasTimes(): boolean {
    return this.#keys.every(([key]) => key === null || (typeof key === 'string' && timeIn(key) !== undefined))
  }

  /** How many records are exactly at a point. */
  countAt({ values }: Bound, isNull: boolean): number {
    const places = isNull ? this.#withoutFirst : this.#complete
    const [start, end] = [true, false].map((isBefore) => this.#find(places, { values, isBefore }, isNull))
    return (end as number) - (start as number)
  }

  /** Whether the record at the index `at` has the same values as the one before it. Both have null in the first column, or neither. */
  isTied(places: readonly number[], at: number): boolean {
    if (at < 1 || at >= places.length) return false
    return compareKeys(this.#keysAt(places[at - 1]), this.#keysAt(places[at])) === 0
  }

  /** The texts of the values of a record, as a position holds them. */
  valuesAt(place: number | undefined): (string | null)[] {
    return this.#keysAt(place).map((key, index) =>
      key === null ? null : (this.columns[index] as CursorColumn).textOf(key),
    )
  }

  /** The values of a point. Throws `checkpoint` for a text that is no value of its column. */
  keysOf(values: readonly unknown[], from = 0): Keys {
    return values.map((value, index) => (index < from ? null : this.#keyIn(index, value)))
  }

  #keyIn(index: number, value: unknown): Key {
    const column = this.columns[index] as CursorColumn
    const key = column.parse(String(value))
    if (key === undefined) throw unfitFailure(column.kind as string, column.name)
    return key
  }

  #keysAt(place: number | undefined): Keys {
    return this.#keys[place as number] as Keys
  }

  /** The index of the first record after a point. */
  #find(places: readonly number[], { values, isBefore }: Bound, isNull: boolean): number {
    const from = isNull ? 1 : 0
    const point = this.keysOf(values, from)
    const least = isBefore ? 0 : 1
    return firstIndex(places, (place) => compareKeys(this.#keysAt(place), point, from) >= least)
  }

  /** What tells the values that `lookback` repeats. */
  #repeats({ values }: Bound, distance: number): (key: Key) => boolean {
    const [column] = this.columns as readonly [CursorColumn]
    const isRepeated = column.since(this.#keyIn(0, values[0]), distance)
    if (!isRepeated) throw unfitFailure('time', column.name)
    return isRepeated
  }
}

/** The index of the first item that a condition holds for, as it does for all items after it. */
function firstIndex<Item>(items: readonly Item[], holds: (item: Item) => boolean): number {
  let [low, high] = [0, items.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (holds(items[middle] as Item)) high = middle
    else low = middle + 1
  }
  return low
}

/** The error for a value of a checkpoint that is none of its column. */
function unfitFailure(kind: string, name: string): JobError {
  const message = `The checkpoint has no ${kind} for the cursor column \`${name}\`, whose records have one: start the job with \`fullRefresh: true\` (\`?full_refresh=true\`), call \`reset\`, or give it another id.`
  return new JobError('checkpoint', message)
}

function missingFailure(name: string, record: JobRecord): JobError {
  const names = Object.keys(record)
  const got = names.length === 0 ? 'none' : quotedNames(names.slice(0, 20))
  return new JobError('datasource', `Expected a column \`${name}\` among the records' columns, got ${got}.`)
}
