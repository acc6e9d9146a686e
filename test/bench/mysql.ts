/**
 * Reading MariaDB, against its own client and against what people write with mysql2: `npx tsx test/bench/mysql.ts`. Every figure is of
 * 1,000,000 rows of 8 mixed columns: CPU seconds of the server, of this process and of the client, as other work on the machine makes the
 * clock useless. Starts a server of its own. Needs `mariadbd` and `mariadb`.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { JobRegistry, memoryStorage } from 'headgate'
import type { RecordBatch } from 'headgate/adapter'
import { mysqlDatasource } from 'headgate/mysql'
import { ndjsonFile } from 'headgate/ndjson'
import mysql from 'mysql2'
import { startMariadb } from '../support/mysql.js'
import { median } from './_bench.js'

const rows = Number(process.env.BENCH_ROWS ?? 1_000_000)
const rounds = Number(process.env.BENCH_ROUNDS ?? 5)

const server = await startMariadb({ 'innodb-buffer-pool-size': '512M' })
const url = `${server.url}/bench`
const admin = mysql.createConnection(server.url).promise()
await admin.query('create database bench')
await admin.query('use bench')
await admin.query(`create table orders (id bigint primary key, quantity int not null, price decimal(12,2), ratio double not null,
  name varchar(80) not null, created_at timestamp(6) not null, active boolean not null, details json)`)
await admin.query(`insert into orders select seq, seq % 1000, (seq % 100000) / 100.0, sqrt(seq),
  concat('customer number ', seq, ' of the reference table'), timestampadd(microsecond, seq * 1234567, '2024-01-02'),
  seq % 2 = 0, if(seq % 4 > 0, json_object('n', seq, 'tags', json_array('a', 'b')), null) from seq_1_to_${rows}`)
const [[{ file }]] = (await admin.query('select @@pid_file as file')) as unknown as [[{ file: string }]]
const pid = Number(await readFile(file, 'utf8'))
const select = 'select * from orders'

const jsonQuery = `select json_object('id', id, 'quantity', quantity, 'price', price, 'ratio', ratio, 'name', name, 'created_at', created_at,
  'active', active, 'details', details) from orders`
/** CPU seconds of the client of MariaDB. */
let clientSeconds = 0

const folder = await mkdtemp(join(tmpdir(), 'headgate-bench-'))
const datasource = mysqlDatasource({ connectionString: url })

await compare('raw rows', {
  headgate: () => readAll((batch) => batch.rows),
  'mariadb --quick --batch': () => client(select),
})
await compare('objects', { headgate: () => readAll((batch) => batch.records()), 'mysql2 .stream()': stream })
await compare('NDJSON', { headgate: ingest, 'mariadb, json_object': () => client(jsonQuery) })

await datasource.close?.()
await admin.end()
await server.stop()
await rm(folder, { recursive: true })

async function readAll(use: (batch: RecordBatch) => unknown): Promise<void> {
  const options = { signal: new AbortController().signal, batchSize: 1000, lastId: undefined }
  for await (const batch of datasource.read({ text: select, values: [] }, options)) use(batch)
}

async function stream(): Promise<void> {
  const connection = mysql.createConnection({
    uri: url,
    supportBigNumbers: true,
    bigNumberStrings: true,
    dateStrings: true,
  })
  for await (const _ of connection.query(select).stream() as Readable);
  connection.destroy()
}

async function ingest(): Promise<void> {
  await using registry = new JobRegistry({
    storage: memoryStorage(),
    datasources: { mysql: mysqlDatasource({ connectionString: url }) },
  })
  registry.define({
    id: 'bench',
    datasource: 'mysql',
    query: select,
    target: ndjsonFile({ path: `${folder}/out.ndjson` }),
  })
  const { state } = await (await registry.start('ingestion', 'bench')).finished
  if (state !== 'successful') throw new Error(`The job ended as ${state}`)
}

/** Runs the client of MariaDB. Its CPU time is read when its output has ended. */
async function client(text: string): Promise<void> {
  const { hostname, port } = new URL(url)
  const args = ['-h', hostname, '-P', port, '-u', 'root', '--quick', '--batch', 'bench', '-e', text]
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

/** CPU seconds of all processes so far. */
async function cpuSeconds(): Promise<number> {
  const { user, system } = process.cpuUsage()
  const stat = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? []
  return (user + system) / 1e6 + (Number(stat[11]) + Number(stat[12])) / 100 + clientSeconds
}

/** Runs contenders in turn, and prints the medians, with the ratio to the last one. */
async function compare(title: string, contenders: Readonly<Record<string, () => Promise<void>>>): Promise<void> {
  const samples = new Map(Object.keys(contenders).map((name) => [name, [] as number[]]))
  for (let round = 0; round <= rounds; round++) {
    for (const [name, contend] of Object.entries(contenders)) {
      const start = await cpuSeconds()
      await contend()
      if (round > 0) samples.get(name)?.push((await cpuSeconds()) - start)
    }
  }
  const medians = [...samples].map(([name, taken]) => [name, median(taken)] as const)
  const base = medians.at(-1)?.[1] ?? Number.NaN
  console.log(`\n${title}, ${rows.toLocaleString('en')} rows`)
  for (const [name, seconds] of medians) {
    console.log(`${name.padEnd(24)} ${seconds.toFixed(2)} CPU seconds  ${(base / seconds).toFixed(2)} x`)
  }
}
