/**
 * Postgres to Postgres: `npx tsx test/bench/copy.ts`. Inserts against two `psql` that pipe COPY in binary format, and
 * upserts against inserts of many rows with `on conflict`. Every figure is the whole time, from an empty table to the end of
 * the job or of the processes; headgate commits records and checkpoint every 250 ms. Needs `psql`.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type IngestionJob, JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource } from 'headgate/datasource/postgres'
import { type PostgresTargetOptions, postgresTarget } from 'headgate/target/postgres'
import pg from 'pg'
import QueryStream from 'pg-query-stream'
import { bench, type Contender, type Task } from './_bench.js'

const headgate = 'headgate, raw rows'
const headgateOften = 'headgate, a checkpoint per 10,000 rows'
const headgateObjects = 'headgate, a transform that makes objects'
const psql = 'psql copy (select …) to stdout (format binary) | psql copy … from stdin (format binary)'
const upsert = 'headgate, upsert'
const byHand = 'pg-query-stream, insert … values … on conflict per 1,000'

const contenders: Record<string, Contender> = {
  [headgate]: (task) => ingest(task, {}),
  [headgateOften]: (task) => ingest(task, { batchSize: 10_000 }, {}, 0),
  [headgateObjects]: (task) => ingest(task, { transform: (record) => ({ ...record }) }),
  [psql]: pipe,
  [upsert]: (task) => ingest(task, {}, { mode: 'upsert', key: 'id' }),
  [byHand]: upsertByHand,
}

await bench(import.meta.url, contenders, async (measure) => {
  await measure('Insert', 1_000_000, [headgate, headgateOften, headgateObjects, psql])
  await measure('Upsert', 1_000_000, [upsert, byHand])
})

/** Makes an empty table like that of the task, with its primary key if asked for. */
async function prepare({ url, table }: Task, isKeyed: boolean): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(`drop table if exists copied, headgate_checkpoint`)
  await client.query(`create table copied (like ${table} ${isKeyed ? 'including indexes' : ''})`)
  await client.end()
}

async function ingest(
  task: Task,
  more: Partial<IngestionJob>,
  mode: Partial<PostgresTargetOptions> = {},
  progressInterval = 250,
) {
  const { url, table } = task
  await prepare(task, mode.mode === 'upsert')
  await using registry = new JobRegistry({
    storage: memoryStorage(),
    progressInterval,
    datasources: { postgres: postgresDatasource({ connectionString: url }) },
  })
  registry.define({
    id: 'bench',
    datasource: 'postgres',
    query: `select * from ${table} {{#last_id}}where id > {{last_id}}{{/last_id}} order by id`,
    pkField: 'id',
    target: postgresTarget({ connectionString: url, table: 'copied', ...mode }),
    ...more,
  })
  const { finished } = await registry.start('ingestion', 'bench')
  const { state, count } = await finished
  return state === 'successful' ? count : Number.NaN
}

async function pipe(task: Task): Promise<number> {
  await prepare(task, false)
  const psql = (command: string) => `psql -q "$1" -c "${command}"`
  const from = psql(`copy (select * from ${task.table}) to stdout (format binary)`)
  const to = psql('copy copied from stdin (format binary)')
  const child = spawn('bash', ['-o', 'pipefail', '-c', `${from} | ${to}`, 'bash', task.url], { stdio: 'inherit' })
  const [code] = await once(child, 'exit')
  return code === 0 ? task.rows : Number.NaN
}

async function upsertByHand(task: Task): Promise<number> {
  await prepare(task, true)
  const [reader, writer] = [1, 2].map(() => new pg.Client({ connectionString: task.url })) as [pg.Client, pg.Client]
  await Promise.all([reader.connect(), writer.connect()])
  const stream = new QueryStream(`select * from ${task.table} order by id`, [], { batchSize: 1000 })
  let count = 0
  const rows: Record<string, unknown>[] = []
  for await (const row of reader.query(stream)) {
    if (rows.push(row) === 1000) await upsertRows(writer, rows.splice(0))
    count++
  }
  if (rows.length > 0) await upsertRows(writer, rows)
  await Promise.all([reader.end(), writer.end()])
  return count
}

async function upsertRows(client: pg.Client, rows: readonly Record<string, unknown>[]): Promise<void> {
  const names = Object.keys(rows[0] as object)
  const tuples = rows.map((_, row) => `(${names.map((_, index) => `$${row * names.length + index + 1}`).join(',')})`)
  const changes = names.map((name) => `${name} = excluded.${name}`)
  await client.query(
    `insert into copied (${names.join(',')}) values ${tuples.join(',')} on conflict (id) do update set ${changes.join(',')}`,
    rows.flatMap(Object.values),
  )
}
