import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Clock, systemClock } from 'headgate'
import { type SqliteDatabase, sqliteStorage } from 'headgate/storage/sqlite'
import { type StorageFixture, storageSuite } from 'headgate/testing'
import Libsql from 'libsql'
import { describe, test } from 'vitest'

type Driver = new (path: string) => SqliteDatabase

const nodeSqlite = process.getBuiltinModule('node:sqlite') as { DatabaseSync: Driver } | undefined

/** Every driver that runs here: node:sqlite is not in Node 20. */
const drivers: [string, Driver][] = [
  ['libsql', Libsql],
  ...(nodeSqlite ? [['node:sqlite', nodeSqlite.DatabaseSync] satisfies [string, Driver]] : []),
]

describe.each(drivers)('sqliteStorage over a database of %s keeps the contract of a storage', (_, Database) => {
  storageSuite({
    test,
    create: (options) =>
      fixture((path, clock) => {
        const database = new Database(path)
        database.exec('pragma busy_timeout = 50; pragma synchronous = full')
        database.prepare('pragma journal_mode = wal').get()
        return {
          storage: sqliteStorage({ database, clock, pollInterval: 5, ...options }),
          close: () => database.close(),
        }
      }),
  })
})

describe('sqliteStorage over a path keeps the contract of a storage', () => {
  storageSuite({
    test,
    create: (options) =>
      fixture((path, clock) => {
        const storage = sqliteStorage({ path, clock, pollInterval: 5, ...options })
        return { storage, close: () => undefined }
      }),
  })
})

/** Two storages over one new file, whose time passes at once and whose timers are real. */
async function fixture(
  open: (path: string, clock: Clock) => { storage: ReturnType<typeof sqliteStorage>; close(): unknown },
): Promise<StorageFixture> {
  const folder = await mkdtemp(join(tmpdir(), 'headgate-sqlite-'))
  let ahead = 0
  const clock: Clock = { ...systemClock, now: () => Date.now() + ahead }
  const all = [open(join(folder, 'jobs.db'), clock), open(join(folder, 'jobs.db'), clock)] as const
  return {
    storage: all[0].storage,
    peer: all[1].storage,
    async pass(ms) {
      ahead += ms
    },
    async close() {
      for (const { storage, close } of all) {
        await storage.close?.()
        close()
      }
      await rm(folder, { recursive: true })
    },
  }
}
