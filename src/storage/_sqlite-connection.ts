/** A value that SQLite keeps. */
export type SqliteValue = string | number | null

/** The part of a prepared statement that is called. */
export interface SqliteStatement {
  run(...values: SqliteValue[]): unknown
  get(...values: SqliteValue[]): unknown
  all(...values: SqliteValue[]): unknown[]
}

/** The part of an open database that is called: node:sqlite's `DatabaseSync`, better-sqlite3 and libsql have it. */
export interface SqliteDatabase {
  /** Runs statements that give nothing. */
  exec(sql: string): unknown
  /** Makes a statement that is run many times. */
  prepare(sql: string): SqliteStatement
  /** Called only on a database that headgate has opened itself. */
  close(): unknown
}

/** What a database gives: integers are numbers, or bigints when it was opened so. */
export type SqliteRow = Record<string, SqliteValue | bigint | undefined>

/** An open database whose statements are prepared once. */
export class Connection {
  readonly #database: SqliteDatabase
  readonly #statements = new Map<string, SqliteStatement>()

  constructor(database: SqliteDatabase) {
    this.#database = database
  }

  exec(sql: string): void {
    this.#database.exec(sql)
  }

  run(sql: string, ...values: SqliteValue[]): void {
    this.#prepared(sql).run(...values)
  }

  get(sql: string, ...values: SqliteValue[]): SqliteRow | undefined {
    return this.#prepared(sql).get(...values) as SqliteRow | undefined
  }

  all(sql: string, ...values: SqliteValue[]): SqliteRow[] {
    return this.#prepared(sql).all(...values) as SqliteRow[]
  }

  /** The number in column `n` of the first row, 0 without one. */
  number(sql: string, ...values: SqliteValue[]): number {
    return Number(this.get(sql, ...values)?.n ?? 0)
  }

  /** Runs `work` in one transaction: all of it is kept, or nothing. With `immediate`, no one else can write meanwhile. */
  transaction<Result>(mode: 'immediate' | 'deferred', work: () => Result): Result {
    this.exec(`begin ${mode}`)
    try {
      const result = work()
      this.exec('commit')
      return result
    } catch (error) {
      // After some failures, such as a full disk, SQLite has rolled back by itself, and refuses to do so again.
      attempt(() => this.exec('rollback'))
      throw error
    }
  }

  /** Closes the database, with all changes in the file itself: some drivers close later than they are told to. */
  close(): void {
    attempt(() => this.get('pragma wal_checkpoint(passive)'))
    this.#statements.clear()
    this.#database.close()
  }

  #prepared(sql: string): SqliteStatement {
    let statement = this.#statements.get(sql)
    if (!statement) {
      statement = this.#database.prepare(sql)
      this.#statements.set(sql, statement)
    }
    return statement
  }
}

/** Does what may fail, and says whether it has been done. */
function attempt(work: () => void): boolean {
  try {
    work()
    return true
  } catch {
    return false
  }
}

/** SQLite's codes, in the low byte of its extended codes. */
const codes = { BUSY: 5, READONLY: 8, CONSTRAINT: 19 }

/** Whether another connection holds the lock. */
export function isBusy(error: unknown): boolean {
  return hasCode(error, 'BUSY')
}

/** Whether the file may only be read. */
export function isReadOnly(error: unknown): boolean {
  return hasCode(error, 'READONLY')
}

/** Whether the tables do not take a value. */
export function isConstraint(error: unknown): boolean {
  return hasCode(error, 'CONSTRAINT')
}

/** `errcode` is node:sqlite's, `code` the other drivers'. */
function hasCode(error: unknown, name: keyof typeof codes): boolean {
  const { code, errcode } = Object(error) as { code?: unknown; errcode?: unknown }
  return (typeof errcode === 'number' && (errcode & 0xff) === codes[name]) || String(code).startsWith(`SQLITE_${name}`)
}
