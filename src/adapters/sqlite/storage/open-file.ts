import { loadDriver, type SqliteDatabase } from '../client/index.js'

/** How long SQLite waits for a lock, in milliseconds. The whole process waits with it. */
const busyTimeout = 50

/**
 * Opens a file with the SQLite of Node, otherwise with libsql. A resolved call is on disk, also after a power
 * failure.
 */
export async function openFile(path: string): Promise<SqliteDatabase> {
  const { Database } = await loadDriver('storage')
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
