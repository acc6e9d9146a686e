/**
 * Postgres to Postgres by what people use for it: `npm run bench -- rivals`. Every figure is the whole time, from an empty table
 * to the end of the job or of the processes. Needs `psql` and, of each rival, its own package: Debian's `pgloader`, and
 * `npm install --no-save bellboy@5`.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { bench, type Contender, type Seen, type Task } from './_bench.js'
import { copyByHand, copyByHeadgate, copyByPsql, every10k, peakOf, prepare } from './_copy.js'

const headgate = 'headgate, a checkpoint per 10,000 rows'
const psql = 'psql | psql, COPY in binary format'
const pgloader = 'pgloader, prefetch rows = 10000'
const byHand = 'pg-query-stream, insert … values per 1,000'
const bellboy = 'bellboy, batchSize 1,000'

const contenders: Record<string, Contender> = {
  [headgate]: (task) => copyByHeadgate(task, every10k),
  [psql]: copyByPsql,
  [pgloader]: copyByPgloader,
  [byHand]: (task) => copyByHand(task, 'insert'),
  [bellboy]: copyByBellboy,
}

await bench(import.meta.url, contenders, async (measure) => {
  await measure('Postgres to Postgres', 1_000_000, [headgate, pgloader, byHand, bellboy, psql])
})

async function copyByPgloader(task: Task): Promise<Seen> {
  await prepare(task)
  const folder = await mkdtemp(join(tmpdir(), 'headgate-bench-'))
  const file = join(folder, 'copy.load')
  const load = `load database from ${task.url} into ${task.url} with data only, prefetch rows = 10000, batch rows = 10000
    including only table names matching '${task.table}' in schema 'public' alter schema 'public' rename to 'target';`
  await writeFile(file, load)
  const peak = await peakOf('pgloader', ['--root-dir', folder, file])
  await rm(folder, { recursive: true })
  return { rows: task.rows, peak }
}

/** What of bellboy is called. */
interface Bellboy {
  PostgresProcessor: new (options: object) => object
  PostgresDestination: new (options: object) => object
  Job: new (processor: object, destinations: object[]) => { run(): Promise<void> }
}

async function copyByBellboy(task: Task): Promise<number> {
  await prepare(task)
  const name = 'bellboy'
  const library = (await import(name)) as Bellboy
  const { hostname: host, port, username: user, password, pathname } = new URL(task.url)
  const connection = { host, port: Number(port), user, password, database: pathname.slice(1) }
  const processor = new library.PostgresProcessor({
    connection,
    query: `select * from public.${task.table} order by id`,
  })
  const destination = new library.PostgresDestination({
    connection: { ...connection, schema: 'target' },
    table: task.table,
    batchSize: 1000,
  })
  await new library.Job(processor, [destination]).run()
  const client = new pg.Client({ connectionString: task.url })
  await client.connect()
  const { rows } = await client.query(`select count(*)::int from target.${task.table}`)
  await client.end()
  return rows[0].count
}
