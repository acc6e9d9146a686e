/**
 * Writing MariaDB from Postgres, against its own client and against what people write with mysql2: `npx tsx test/bench/mysql-write.ts`. 1,000,000
 * rows of 8 mixed columns. CPU seconds are of MariaDB, of this process and of the client; those of Postgres are left out, as the client reads a
 * file that is ready. Starts a MariaDB of its own. Needs `mariadbd`, `mariadb`, and a Postgres as tests do.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { JobRegistry, memoryStorage } from 'headgate'
import { type MysqlTargetOptions, mysqlTarget } from 'headgate/mysql'
import { postgresDatasource } from 'headgate/postgres'
import mysql from 'mysql2/promise'
import pg from 'pg'
import copyStreams from 'pg-copy-streams'
import QueryStream from 'pg-query-stream'
import { startMariadb } from '../support/mysql.js'
import { startPostgres } from '../support/postgres.js'
import { median } from './_bench.js'

const rows = Number(process.env.BENCH_ROWS ?? 1_000_000)
const rounds = Number(process.env.BENCH_ROUNDS ?? 3)

const postgres = await startPostgres()
const source = new pg.Client({ connectionString: postgres.url })
await source.connect()
await source.query('drop schema if exists mysql_bench cascade; create schema mysql_bench')
await source.query(`create table mysql_bench.orders as select seq::bigint as id, (seq % 1000)::int as quantity, ((seq % 100000) / 100.0)::numeric(12,2) as price,
  sqrt(seq) as ratio, 'customer number ' || seq || ' of the reference table' as name, timestamptz '2024-01-02' + seq * interval '1.234567 seconds' as created_at,
  seq % 2 = 0 as active, case when seq % 4 > 0 then jsonb_build_object('n', seq, 'tags', jsonb_build_array('a', 'b')) end as details
  from generate_series(1, ${rows}) seq`)
const select = 'select * from mysql_bench.orders'

const server = await startMariadb({
  'innodb-buffer-pool-size': '512M',
  'innodb-log-file-size': '256M',
  'local-infile': '1',
})
const url = `${server.url}/bench`
const admin = await mysql.createConnection(server.url)
await admin.query('create database bench')
await admin.query('use bench')
const [[{ file: pidFile }]] = (await admin.query('select @@pid_file as file')) as unknown as [[{ file: string }]]
const pid = Number(await readFile(pidFile, 'utf8'))

const folder = await mkdtemp(join(tmpdir(), 'headgate-bench-'))
const file = join(folder, 'orders.tsv')
const columns = `id, quantity, price, ratio, name, to_char(created_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'), active::int, details`
await pipeline(
  source.query(copyStreams.to(`copy (select ${columns} from mysql_bench.orders) to stdout`)),
  createWriteStream(file),
)

/** CPU seconds of the client of MariaDB. */
let clientSeconds = 0

await compare('append', {
  headgate: () => ingest({}),
  'headgate, inserts': () => ingest({}, ['-LOCAL_FILES']),
  'insert of 1,000 by mysql2': () => byHand(''),
  'mariadb, load data local': client,
})
await compare('upsert of new keys', {
  headgate: () => ingest({ mode: 'upsert', key: 'id' }),
  'on duplicate key, 1,000': () => byHand('on duplicate key update name = values(name)'),
})
await compare('replace', {
  'headgate, rename': () => ingest({ strategy: 'replace', maxShrink: 1 }),
  'mariadb, load data local': client,
})

await admin.end()
await server.stop()
await source.query('drop schema mysql_bench cascade')
await source.end()
await postgres.stop()
await rm(folder, { recursive: true })

async function prepare(): Promise<void> {
  await admin.query('drop table if exists orders, headgate_checkpoint')
  await admin.query(`create table orders (id bigint primary key, quantity int not null, price decimal(12,2), ratio double not null,
    name varchar(80) not null, created_at datetime(6) not null, active boolean not null, details json)`)
}

async function ingest(options: Partial<MysqlTargetOptions>, flags: string[] = []): Promise<void> {
  const pool = mysql.createPool({ uri: url, flags })
  await using registry = new JobRegistry({
    storage: memoryStorage(),
    datasources: { source: postgresDatasource({ connectionString: postgres.url }) },
  })
  registry.define({
    id: 'bench',
    datasource: 'source',
    query: select,
    target: mysqlTarget({ pool, table: 'orders', ...options }),
  })
  const { state, count, ...rest } = await (await registry.start('ingestion', 'bench')).finished
  if (state !== 'successful' || count !== rows) throw new Error(`The job ended as ${state}: ${JSON.stringify(rest)}`)
  await pool.end()
}

/** What most people write: a stream of objects, and a statement for each 1,000 of them. */
async function byHand(tail: string): Promise<void> {
  const reader = new pg.Client({ connectionString: postgres.url })
  await reader.connect()
  const writer = await mysql.createConnection({ uri: url, timezone: 'Z' })
  let batch: unknown[][] = []
  const write = async () => {
    await writer.query(`insert into orders values ? ${tail}`, [batch])
    batch = []
  }
  for await (const { details, ...row } of reader.query(new QueryStream(select, [], { batchSize: 1000 }))) {
    batch.push([...Object.values(row), details && JSON.stringify(details)])
    if (batch.length === 1000) await write()
  }
  if (batch.length > 0) await write()
  await writer.end()
  await reader.end()
}

/** Loads a file that is ready by the client of MariaDB. */
async function client(): Promise<void> {
  const { hostname, port } = new URL(url)
  const load = `load data local infile '${file}' into table orders character set utf8mb4`
  const args = ['-h', hostname, '-P', port, '-u', 'root', '--local-infile=1', 'bench', '-e', load]
  // The shell prints the times of its children.
  const child = spawn('bash', ['-c', 'mariadb "$@" > /dev/null; times', 'bash', ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let shown = ''
  child.stdout.on('data', (data: Buffer) => {
    shown += data
  })
  await once(child, 'close')
  const times = [...(shown.split('\n')[1] ?? '').matchAll(/(\d+)m([\d.]+)s/g)]
  clientSeconds += times.reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds), 0)
}

/** CPU seconds of all processes so far, apart from those of Postgres. */
async function cpuSeconds(): Promise<number> {
  const { user, system } = process.cpuUsage()
  const stat = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? []
  return (user + system) / 1e6 + (Number(stat[11]) + Number(stat[12])) / 100 + clientSeconds
}

/** Runs contenders in turn, and prints the medians, with the ratio to the last one. */
async function compare(title: string, contenders: Readonly<Record<string, () => Promise<void>>>): Promise<void> {
  const samples = new Map(Object.keys(contenders).map((name) => [name, { cpu: [] as number[], wall: [] as number[] }]))
  for (let round = 0; round < rounds; round++) {
    for (const [name, contend] of Object.entries(contenders)) {
      await prepare()
      const [start, cpu] = [performance.now(), await cpuSeconds()]
      await contend()
      samples.get(name)?.wall.push((performance.now() - start) / 1000)
      samples.get(name)?.cpu.push((await cpuSeconds()) - cpu)
      const [[found]] = (await admin.query('select count(*) as count from orders')) as unknown as [[{ count: number }]]
      if (found.count !== rows) throw new Error(`${name} wrote ${found.count} rows`)
    }
  }
  const medians = [...samples].map(([name, { cpu, wall }]) => ({ name, cpu: median(cpu), wall: median(wall) }))
  const base = medians.at(-1)
  console.log(`\n${title}, ${rows.toLocaleString('en')} rows`)
  for (const { name, cpu, wall } of medians) {
    const ratios = `${((base?.wall ?? 0) / wall).toFixed(2)} x, CPU ${((base?.cpu ?? 0) / cpu).toFixed(2)} x`
    console.log(`${name.padEnd(28)} ${wall.toFixed(2)} s, ${cpu.toFixed(2)} CPU seconds  ${ratios}`)
  }
}
