import { JobError } from '../../../adapter.js'
import type { SqliteDatabase } from './connection.js'

/** The database class of a driver. */
type Driver = new (path: string) => SqliteDatabase

/** How long SQLite waits for a lock, in milliseconds. The whole process waits with it. */
const busyTimeout = 50

/**
 * Opens a file with the SQLite of Node, otherwise with libsql. A resolved call is on disk, also after a power
 * failure.
 */
export async function openFile(path: string): Promise<SqliteDatabase> {
  const Database = nodeDriver() ?? (await libsqlDriver())
  const database = new Database(path)
  try {
    database.exec(`pragma busy_timeout = ${busyTimeout}`)
    database.prepare('pragma journal_mode = wal').get()
    database.exec('pragma synchronous = full')
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

/** Not an `import`: bundlers would find it and do not know the module, and Node 20 does not have it. */
function nodeDriver(): Driver | undefined {
  const sqlite = process.getBuiltinModule('node:sqlite') as { DatabaseSync: Driver } | undefined
  return sqlite?.DatabaseSync
}

async function libsqlDriver(): Promise<Driver> {
  try {
    return (await import('libsql')).default
  } catch (cause) {
    throw new JobError('storage', 'No SQLite found: use Node 22.13 or newer, or run `npm install libsql`.', {
      cause,
    })
  }
}
