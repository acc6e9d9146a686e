/** A value that SQLite stores. */
export type SqliteValue = string | number | null

/** The part of a prepared statement that headgate uses. */
export interface SqliteStatement {
  run(...values: SqliteValue[]): unknown
  get(...values: SqliteValue[]): unknown
  all(...values: SqliteValue[]): unknown[]
}

/**
 * The part of an open database that headgate uses. `DatabaseSync` of node:sqlite, better-sqlite3 and libsql have it.
 */
export interface SqliteDatabase {
  /** Runs statements without a result. */
  exec(sql: string): unknown
  /** Prepares a statement that runs many times. */
  prepare(sql: string): SqliteStatement
  /** Only called on a database that headgate has opened. */
  close(): unknown
}

/** A row. Integers are numbers, or bigints when the database was opened so. */
export type SqliteRow = Record<string, SqliteValue | bigint | undefined>

/** An open database that prepares each statement once. */
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

  /** Runs `work` in one transaction. With `immediate`, no other connection can write during it. */
  transaction<Result>(mode: 'immediate' | 'deferred', work: () => Result): Result {
    this.exec(`begin ${mode}`)
    try {
      const result = work()
      this.exec('commit')
      return result
    } catch (error) {
      // After some failures, such as a full disk, SQLite has already rolled back and refuses another rollback.
      attempt(() => this.exec('rollback'))
      throw error
    }
  }

  /** Closes the database after moving all changes into the file itself, because some drivers close with a delay. */
  close({ keepsChanges = true } = {}): void {
    if (keepsChanges) attempt(() => this.get('pragma wal_checkpoint(passive)'))
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

/** Runs `work`. Returns whether it succeeded. */
function attempt(work: () => void): boolean {
  try {
    work()
    return true
  } catch {
    return false
  }
}

/** The codes of SQLite, in the low byte of its extended codes. */
const codes = { BUSY: 5, READONLY: 8, CONSTRAINT: 19 }

/** Whether another connection holds the lock. */
export function isBusy(error: unknown): boolean {
  return hasCode(error, 'BUSY')
}

/** Whether the file may only be read. */
export function isReadOnly(error: unknown): boolean {
  return hasCode(error, 'READONLY')
}

/** Whether a value breaks a constraint of the tables. */
export function isConstraint(error: unknown): boolean {
  return hasCode(error, 'CONSTRAINT')
}

/** node:sqlite sets `errcode`, the other drivers set `code`. */
function hasCode(error: unknown, name: keyof typeof codes): boolean {
  const { code, errcode } = Object(error) as { code?: unknown; errcode?: unknown }
  return (typeof errcode === 'number' && (errcode & 0xff) === codes[name]) || String(code).startsWith(`SQLITE_${name}`)
}
