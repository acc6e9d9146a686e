/**
 * Reading SQLite, against what people write with its drivers: `npx tsx test/bench/sqlite.ts`. Every figure is of 1,000,000 rows of 8 mixed
 * columns: CPU seconds of this process, as other work on the machine makes the clock useless. Takes better-sqlite3 where it is installed,
 * otherwise node:sqlite, otherwise libsql. The hand loop writes 1,000 rows with each `insert`.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { JobRegistry, memoryStorage } from 'headgate'
import type { RecordBatch } from 'headgate/adapter'
import { postgresTarget } from 'headgate/postgres'
import { type SqliteDatabase, sqliteDatasource } from 'headgate/sqlite'
import Libsql from 'libsql'
import pg from 'pg'
import { startPostgres } from '../support/postgres.js'
import { median } from './_bench.js'

const rows = Number(process.env.BENCH_ROWS ?? 1_000_000)
const rounds = Number(process.env.BENCH_ROUNDS ?? 5)

type Database = new (path: string) => SqliteDatabase
const node = process.getBuiltinModule('node:sqlite') as { DatabaseSync: Database } | undefined
const better: { default: Database } | undefined = await import(['better', 'sqlite3'].join('-')).catch(() => undefined)
const Driver = better?.default ?? node?.DatabaseSync ?? (Libsql as Database)

const folder = await mkdtemp(join(tmpdir(), 'headgate-bench-'))
const database = new Driver(join(folder, 'bench.db'))
database.prepare('pragma journal_mode = wal').get()
database.exec(`create table orders (id integer primary key, quantity int not null, price real, ratio double not null, name text not null,
  created_at text not null, active boolean not null, details text)`)
database.exec(`insert into orders with recursive up (n) as (select 1 union all select n + 1 from up where n < ${rows})
  select n, n % 1000, (n % 100000) / 100.0, sqrt(n), 'customer number ' || n || ' of the reference table',
    strftime('%Y-%m-%dT%H:%M:%fZ', 1700000000 + n, 'unixepoch'), n % 2 = 0, case when n % 4 > 0 then '{"n":' || n || ',"tags":["a","b"]}' end from up`)
const select = 'select * from orders'
const datasource = sqliteDatasource({ database })
const server = await startPostgres()
const client = new pg.Client({ connectionString: server.url })
await client.connect()

console.log(`${Driver.name} of ${better ? 'better-sqlite3' : node ? 'node:sqlite' : 'libsql'}`)
await compare('raw rows', { headgate: () => readAll((batch) => batch.rows), 'iterate, objects': iterate })
await compare('objects', { headgate: () => readAll((batch) => batch.records()), 'iterate, objects': iterate })
await compare('to Postgres', { headgate: ingest, 'a loop of inserts': insertAll })
console.log(`\npeak memory: ${Math.round(process.resourceUsage().maxRSS / 1024)} MB`)

await client.end()
await server.stop()
database.close()
await rm(folder, { recursive: true })

async function readAll(use: (batch: RecordBatch) => unknown): Promise<void> {
  const options = { signal: new AbortController().signal, batchSize: 1000, lastId: undefined }
  for await (const batch of datasource.read({ text: select, values: [] }, options)) use(batch)
}

async function iterate(): Promise<void> {
  let count = 0
  for (const _ of objects()) count++
  if (count !== rows) throw new Error(`Expected ${rows} rows, got ${count}`)
}

function objects(): Iterable<Record<string, unknown>> {
  return (database.prepare(select) as unknown as { iterate(): Iterable<Record<string, unknown>> }).iterate()
}

async function createCopy(): Promise<void> {
  await client.query(`drop table if exists copy, headgate_checkpoint; create table copy (id int8 primary key, quantity int4, price float8,
    ratio float8, name text, created_at timestamptz, active boolean, details jsonb)`)
}

async function ingest(): Promise<void> {
  await createCopy()
  await using registry = new JobRegistry({ storage: memoryStorage(), datasources: { sqlite: datasource } })
  const target = postgresTarget({ connectionString: server.url, table: 'copy' })
  registry.define({ id: 'bench', datasource: 'sqlite', query: select, target })
  const { state } = await (await registry.start('ingestion', 'bench')).finished
  if (state !== 'successful') throw new Error(`The job ended as ${state}`)
}

async function insertAll(): Promise<void> {
  await createCopy()
  let values: unknown[] = []
  const insert = async () => {
    const places = Array.from({ length: values.length / 8 }, (_, row) => `(${placesOf(row * 8)})`)
    await client.query(`insert into copy values ${places.join(', ')}`, values)
    values = []
  }
  for (const row of objects()) {
    values.push(...Object.values({ ...row, active: row.active === 1 }))
    if (values.length === 8000) await insert()
  }
  if (values.length > 0) await insert()
}

function placesOf(first: number): string {
  return Array.from({ length: 8 }, (_, column) => `$${first + column + 1}`).join(', ')
}

/** Runs contenders in turn, and prints the medians, with the ratio to the last one. */
async function compare(title: string, contenders: Readonly<Record<string, () => Promise<void>>>): Promise<void> {
  const samples = new Map(Object.keys(contenders).map((name) => [name, [] as number[]]))
  for (let round = 0; round <= rounds; round++) {
    for (const [name, contend] of Object.entries(contenders)) {
      const start = process.cpuUsage()
      await contend()
      const { user, system } = process.cpuUsage(start)
      if (round > 0) samples.get(name)?.push((user + system) / 1e6)
    }
  }
  const medians = [...samples].map(([name, taken]) => [name, median(taken)] as const)
  const base = medians.at(-1)?.[1] ?? Number.NaN
  console.log(`\n${title}, ${rows.toLocaleString('en')} rows`)
  for (const [name, seconds] of medians) {
    console.log(`${name.padEnd(24)} ${seconds.toFixed(2)} CPU seconds  ${(base / seconds).toFixed(2)} x`)
  }
}
