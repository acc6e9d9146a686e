import { JobError, type JobErrorCode } from '../../../adapter.js'

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

/** The database class of a driver. */
export type DatabaseClass = new (path: string, options?: object) => SqliteDatabase

/** A driver: node:sqlite, or better-sqlite3 and libsql, which have the same methods. */
export interface Driver {
  readonly kind: 'node' | 'better-sqlite3' | 'libsql'
  readonly Database: DatabaseClass
}

/** The SQLite of Node, otherwise libsql. */
export async function loadDriver(code: JobErrorCode): Promise<Driver> {
  const own = nodeDriver()
  if (own) return { kind: 'node', Database: own }
  try {
    return { kind: 'libsql', Database: (await import('libsql')).default as DatabaseClass }
  } catch (cause) {
    throw new JobError(code, 'No SQLite found: use Node 22.13 or newer, or run `npm install libsql`.', { cause })
  }
}

/** Not an `import`: bundlers would find it and do not know the module, and Node 20 does not have it. */
function nodeDriver(): DatabaseClass | undefined {
  const sqlite = process.getBuiltinModule('node:sqlite') as { DatabaseSync: DatabaseClass } | undefined
  return sqlite?.DatabaseSync
}

/** The driver that has opened a database. */
export function driverOf(database: SqliteDatabase): Driver {
  const Database = database.constructor as DatabaseClass
  if ('setReadBigInts' in database.prepare('select 1')) return { kind: 'node', Database }
  return { kind: 'interrupt' in database ? 'libsql' : 'better-sqlite3', Database }
}

/** The path of the file of an open database. Empty for one in memory, which has none. */
export function pathOf(database: SqliteDatabase): string {
  // The function of the same name reads the schema, and so needs a lock.
  const [main] = database.prepare('pragma database_list').all()
  return String(Object(main).file ?? '')
}

/** Opens an existing file, to read, or to write too. */
export function openWith({ kind, Database }: Driver, path: string, isReadOnly: boolean): SqliteDatabase {
  if (kind === 'node') return new Database(path, { readOnly: isReadOnly })
  if (kind === 'better-sqlite3') return new Database(path, { readonly: isReadOnly, fileMustExist: true, timeout: 0 })
  // The other options of libsql neither open a file to read only, nor keep from creating one.
  const escaped = path.replace(/[%?#]/g, encodeURIComponent)
  return new Database(`file:${escaped}?mode=${isReadOnly ? 'ro' : 'rw'}`)
}

/** Creates a file in WAL mode, or opens the one that has come to the path meanwhile. */
export function createWith({ Database }: Driver, path: string): SqliteDatabase {
  const database = new Database(path)
  database.exec('pragma busy_timeout = 50')
  database.prepare('pragma journal_mode = wal').get()
  return database
}
