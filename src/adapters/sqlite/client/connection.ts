import type { Driver, SqliteDatabase } from './driver.js'

/** A value as SQLite stores it. Integers beyond 2^53 are bigints. */
export type StoredValue = string | number | bigint | Uint8Array | null

/** A column of a result, as every driver describes it. */
export interface ResultColumn {
  readonly name: string
  /** The declared type of the column of a table. `null` for an expression. */
  readonly type: string | null
  readonly table: string | null
  /** The column of the table that the query passes on unchanged. */
  readonly column: string | null
  readonly database: string | null
}

/** The statements of the drivers, which differ in names. */
interface DriverStatement {
  iterate(...values: unknown[]): IterableIterator<unknown>
  run(...values: unknown[]): unknown
  columns(): ResultColumn[]
  readonly reader?: boolean
  raw?(isRaw: boolean): unknown
  safeIntegers?(isSafe: boolean): unknown
  setReturnArrays?(isArray: boolean): unknown
  setReadBigInts?(isBig: boolean): unknown
}

/** A prepared statement. Its rows are arrays, and its integers bigints. */
export interface PreparedStatement {
  readonly columns: readonly ResultColumn[]
  iterate(values: readonly StoredValue[]): Iterator<unknown[]>
  /** All rows. */
  all(values: readonly StoredValue[]): StoredValue[][]
  /** Returns how many rows it has changed. */
  run(values: readonly StoredValue[]): number
}

/** A connection of headgate's own to a file. */
export class FileConnection {
  readonly driver: Driver
  readonly #database: SqliteDatabase
  readonly #open = new Set<Iterator<unknown[]>>()

  constructor(driver: Driver, database: SqliteDatabase) {
    this.driver = driver
    this.#database = database
  }

  exec(sql: string): void {
    this.#database.exec(sql)
  }

  prepare(sql: string): PreparedStatement {
    const statement = this.#database.prepare(sql) as unknown as DriverStatement
    const isNode = this.driver.kind === 'node'
    const columns = statement.reader === false ? [] : statement.columns()
    if (columns.length > 0) {
      statement.raw?.(true)
      statement.safeIntegers?.(true)
      statement.setReturnArrays?.(true)
      statement.setReadBigInts?.(true)
    }
    // better-sqlite3 takes an array of values, too, and libsql takes a single value for names. node:sqlite takes none.
    const args = (values: readonly StoredValue[]): unknown[] => (isNode ? values.map(boundByNode) : [values])
    const givesArrays = !isNode || statement.setReturnArrays !== undefined
    const iterate = (values: readonly StoredValue[]): Iterator<unknown[]> => {
      const rows = statement.iterate(...args(values))
      return (givesArrays ? rows : arraysOf(rows, columns)) as Iterator<unknown[]>
    }
    return {
      columns,
      iterate: (values) => {
        const rows = iterate(values)
        this.#open.add(rows)
        return rows
      },
      all: (values) => {
        const rows: StoredValue[][] = []
        const iterator = iterate(values)
        for (let next = iterator.next(); !next.done; next = iterator.next()) rows.push(next.value.map(storedOf))
        return rows
      },
      run: (values) => Number((statement.run(...args(values)) as { changes: number | bigint }).changes),
    }
  }

  /** Ends the statement that gives rows. */
  end(rows: Iterator<unknown[]>): void {
    if (this.#open.delete(rows)) rows.return?.()
  }

  /** The rows of a query with a small result. */
  all(sql: string, ...values: StoredValue[]): StoredValue[][] {
    return this.prepare(sql).all(values)
  }

  close(): void {
    for (const rows of this.#open) rows.return?.()
    this.#open.clear()
    this.#database.close()
  }
}

const noBytes = Buffer.alloc(1).subarray(0, 0)

/** node:sqlite binds null for the empty bytes that it reads. */
function boundByNode(value: StoredValue): StoredValue {
  return value instanceof Uint8Array && value.length === 0 ? noBytes : value
}

/** The rows of a node:sqlite that gives objects only. */
function* arraysOf(rows: Iterable<unknown>, columns: readonly ResultColumn[]): Generator<unknown[]> {
  for (const row of rows) yield columns.map(({ name }) => (row as Record<string, unknown>)[name])
}

/** The value of a driver, with integers as numbers where these hold them. */
export function storedOf(value: unknown): StoredValue {
  if (typeof value !== 'bigint') return value as StoredValue
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}
