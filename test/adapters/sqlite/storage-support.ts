import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import type { JobStorage } from 'headgate'
import type { BeginRequest } from 'headgate/adapter'
import type { SqliteDatabase } from 'headgate/sqlite'
import Libsql from 'libsql'
import { programOf } from '../../support/program.js'

/** What a driver calls its class of databases. */
export type Driver = new (path: string) => SqliteDatabase

const nodeSqlite = process.getBuiltinModule('node:sqlite') as { DatabaseSync: Driver } | undefined

/** Every driver that runs here: Node 20 has no node:sqlite. */
export const drivers: [name: string, driver: Driver][] = [['libsql', Libsql]]
if (nodeSqlite) drivers.push(['node:sqlite', nodeSqlite.DatabaseSync])

/** Opens a file with the driver that a storage of a path would take: two drivers in one process must not share a file. */
export function openDatabase(path: string, Database: Driver = nodeSqlite?.DatabaseSync ?? Libsql): SqliteDatabase {
  const database = new Database(path)
  database.exec('pragma busy_timeout = 50')
  database.prepare('pragma journal_mode = wal').get()
  return database
}

/** The first column of the first row. */
export function firstValue(database: SqliteDatabase, sql: string): unknown {
  return Object.values(database.prepare(sql).get() as object)[0]
}

export function request(overrides: Partial<BeginRequest> = {}): BeginRequest {
  return { type: 'test', id: 'a', state: 'running', node: 'n', lease: 60_000, ...overrides }
}

/** Runs an execution from begin to end. Gives its id. */
export async function run(storage: JobStorage, id = 'a'): Promise<string> {
  const { execution } = await storage.begin(request({ id }))
  await storage.finish(execution, { state: 'successful' })
  return execution.executionId
}

/** Another process, and what it has said so far. */
export interface Child {
  readonly said: unknown[]
  readonly process: ChildProcessByStdio<Writable, Readable, null>
  /** Resolves with its exit code. */
  readonly closed: Promise<number | null>
}

/** Starts sqlite-process.ts. `limit` is the most blocks of 512 bytes that a file may have: it stands for the disk. */
export async function start(path: string, what: object, { limit }: { limit?: number } = {}): Promise<Child> {
  const program = await programOf(new URL('storage-process.ts', import.meta.url))
  const limiting = limit === undefined ? '' : `ulimit -f ${limit}; `
  const args = ['-c', `${limiting}exec "$@"`, 'sh', process.execPath, program]
  const child = spawn('sh', [...args, path, JSON.stringify(what)], { stdio: ['pipe', 'pipe', 'inherit'] })
  const closed = once(child, 'close').then(([code]) => code as number | null)
  const said: unknown[] = []
  createInterface({ input: child.stdout }).on('line', (line) => said.push(JSON.parse(line)))
  return { said, process: child, closed }
}
