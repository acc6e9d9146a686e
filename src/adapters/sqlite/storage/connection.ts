import type { SqliteDatabase, SqliteStatement, SqliteValue } from '../client/index.js'

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
