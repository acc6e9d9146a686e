import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { JobRecord, Target } from 'headgate'
import { RecordBatch } from 'headgate/adapter'
import type { SqliteDatabase } from 'headgate/sqlite'
import { afterAll } from 'vitest'
import { type Driver, drivers as ofStorage } from './storage-support.js'

/** A development machine may have it: its package compiles C++ when it is installed, so CI has none. */
const betterSqlite: { default: Driver } | undefined = await loaded()

async function loaded(): Promise<{ default: Driver } | undefined> {
  try {
    const module = (await import(['better', 'sqlite3'].join('-'))) as { default: Driver }
    new module.default(':memory:').close()
    return module
  } catch {
    return undefined
  }
}

/** Every driver that runs here. */
export const drivers: [name: string, driver: Driver][] = [...ofStorage]
if (betterSqlite) drivers.push(['better-sqlite3', betterSqlite.default])

/** A folder for the files of a test file, removed at its end. */
export async function ownFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'headgate-sqlite-'))
  afterAll(() => rm(folder, { recursive: true, force: true }))
  return folder
}

let files = 0

/** A new file in WAL mode, with these statements run in it. The database stays open. */
export function newFile(folder: string, Database: Driver, statements = ''): { path: string; database: SqliteDatabase } {
  const path = join(folder, `${++files}.db`)
  const database = new Database(path)
  database.prepare('pragma journal_mode = wal').get()
  if (statements !== '') database.exec(statements)
  return { path, database }
}

/** A class of databases that counts how many connections are open. */
export function counted(Database: Driver): { Counted: Driver; open(): number } {
  let count = 0
  const Base = Database as unknown as new (...args: unknown[]) => SqliteDatabase
  class Counted extends Base {
    constructor(...args: unknown[]) {
      super(...args)
      count++
    }
    override close(): void {
      count--
      super.close()
    }
  }
  return { Counted: Counted as unknown as Driver, open: () => count }
}

/** The same target for records whose JSON is text already: a text that is meant as JSON is written as JSON. */
export function withJsonText(target: Target): Target {
  const jsonText = (record: JobRecord) =>
    typeof record.nested === 'string' ? { ...record, nested: JSON.stringify(record.nested) } : record
  return {
    ...target,
    async open(context) {
      const { writer, ...opened } = await target.open(context)
      const write = writer.write.bind(writer)
      writer.write = (batch, context) =>
        write(batch.isRaw ? batch : RecordBatch.fromRecords(batch.records().map(jsonText)), context)
      return { ...opened, writer }
    },
  }
}
