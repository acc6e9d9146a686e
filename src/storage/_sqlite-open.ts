import { JobError } from '../index.js'
import type { SqliteDatabase } from './_sqlite-connection.js'

/** What a driver calls its class of databases. */
type Driver = new (path: string) => SqliteDatabase

/** How long SQLite itself waits for a lock, in milliseconds: the whole process waits with it. */
const busyTimeout = 50

/**
 * Opens a file with what there is: Node's own SQLite, else libsql. Whatever a process has acknowledged is on disk, also when
 * the power fails.
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

/** An `import` would be found by bundlers, which know of no such module, and by Node 20, which has none. */
function nodeDriver(): Driver | undefined {
  const sqlite = process.getBuiltinModule('node:sqlite') as { DatabaseSync: Driver } | undefined
  return sqlite?.DatabaseSync
}

async function libsqlDriver(): Promise<Driver> {
  try {
    return (await import('libsql')).default
  } catch (cause) {
    throw new JobError('storage', 'There is no SQLite: use Node 22.13 or newer, or run `npm install libsql`.', {
      cause,
    })
  }
}
