import type pg from 'pg'
import type { Statement } from './_postgres-database.js'
import type { PostgresListener, PostgresPool } from './_postgres-ear.js'

/**
 * A pool of its own for a storage. It is made at the first statement, as only it needs the package `pg`: over PGlite,
 * a storage works without.
 */
export class OwnPool implements PostgresPool {
  readonly #connectionString: string
  #pool: Promise<pg.Pool> | undefined

  constructor(connectionString: string) {
    this.#connectionString = connectionString
  }

  async query(statement: Statement): Promise<{ rows: unknown[] }> {
    const pool = await this.#open()
    return pool.query(statement)
  }

  async connect(): Promise<PostgresListener> {
    const pool = await this.#open()
    return pool.connect()
  }

  /** Closes all connections. */
  async end(): Promise<void> {
    const pool = await this.#open()
    await pool.end()
  }

  #open(): Promise<pg.Pool> {
    this.#pool ??= this.#make()
    return this.#pool
  }

  async #make(): Promise<pg.Pool> {
    const { default: pg } = await import('pg')
    const connectionString = this.#connectionString
    const pool = new pg.Pool({ connectionString, fallback_application_name: 'headgate', allowExitOnIdle: true })
    // A connection that breaks while nobody uses it: the pool has dropped it already.
    pool.on('error', () => undefined)
    calm(pool)
    return pool
  }
}

/** The pools that were calmed: several storages may share one. */
const calmed = new WeakSet<object>()

/**
 * Keeps the process alive when the server ends a connection in the moment in which it is ready: before whoever asked for
 * it can listen, and pg tells of it by an error event. Its first statement fails all the same.
 */
export function calm(pool: Pick<PostgresPool, 'on'>): void {
  if (calmed.has(pool)) return
  calmed.add(pool)
  pool.on?.('connect', (connection) => connection.on('error', () => undefined))
}
