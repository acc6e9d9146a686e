import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import { type IngestionJob, JobRegistry, memoryStorage } from 'headgate'
import { type PostgresTargetOptions, postgresDatasource, postgresTarget } from 'headgate/postgres'
import pg from 'pg'
import QueryStream from 'pg-query-stream'
import type { Seen, Task } from './_bench.js'

/** How a copy by headgate differs from its defaults. */
export interface Copying {
  readonly job?: Partial<IngestionJob>
  readonly target?: Partial<PostgresTargetOptions>
  readonly progressInterval?: number
}

/** A checkpoint, and a commit, for every 10,000 rows. */
export const every10k: Copying = { job: { batchSize: 10_000 }, progressInterval: 0 }

/** Makes an empty table like that of the task, in the schema `target`, with its primary key if asked for. */
export async function prepare({ url, table }: Task, isKeyed = false): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query('drop schema if exists target cascade; create schema target')
  await client.query(`create table target.${table} (like public.${table} ${isKeyed ? 'including indexes' : ''})`)
  await client.end()
}

/** Copies the table of the task by a job of headgate. */
export async function copyByHeadgate(task: Task, { job, target, progressInterval = 250 }: Copying): Promise<number> {
  const { url, table } = task
  await prepare(task, target?.mode === 'upsert')
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
    target: postgresTarget({ connectionString: url, table: `target.${table}`, ...target }),
    ...job,
  })
  const { finished } = await registry.start('ingestion', 'bench')
  const { state, count } = await finished
  return state === 'successful' ? count : Number.NaN
}

/** Copies the table of the task by the loop that most people write: a stream of objects, and a statement per 1,000 rows. */
export async function copyByHand(task: Task, mode: 'insert' | 'upsert'): Promise<number> {
  await prepare(task, mode === 'upsert')
  const [reader, writer] = [1, 2].map(() => new pg.Client({ connectionString: task.url })) as [pg.Client, pg.Client]
  await Promise.all([reader.connect(), writer.connect()])
  const stream = new QueryStream(`select * from ${task.table} order by id`, [], { batchSize: 1000 })
  let count = 0
  const rows: Record<string, unknown>[] = []
  for await (const row of reader.query(stream)) {
    if (rows.push(row) === 1000) await insertRows(writer, task.table, mode, rows.splice(0))
    count++
  }
  if (rows.length > 0) await insertRows(writer, task.table, mode, rows)
  await Promise.all([reader.end(), writer.end()])
  return count
}

async function insertRows(client: pg.Client, table: string, mode: string, rows: Record<string, unknown>[]) {
  const names = Object.keys(rows[0] as object)
  const tuples = rows.map((_, row) => `(${names.map((_, index) => `$${row * names.length + index + 1}`).join(',')})`)
  const changes = names.map((name) => `${name} = excluded.${name}`)
  const onConflict = mode === 'upsert' ? `on conflict (id) do update set ${changes.join(',')}` : ''
  const text = `insert into target.${table} (${names.join(',')}) values ${tuples.join(',')} ${onConflict}`
  await client.query(text, rows.flatMap(Object.values))
}

/** Copies the table of the task by two `psql`, of which one writes COPY in binary format and the other reads it. */
export async function copyByPsql(task: Task): Promise<Seen> {
  await prepare(task)
  const psql = (command: string) => `psql -q "$1" -c "${command}"`
  const from = psql(`copy (select * from ${task.table}) to stdout (format binary)`)
  const to = psql(`copy target.${task.table} from stdin (format binary)`)
  return { rows: task.rows, peak: await peakOf('bash', ['-o', 'pipefail', '-c', `${from} | ${to}`, 'bash', task.url]) }
}

/** Runs a command. Gives the most memory that its processes held together, in megabytes. Throws when it fails. */
export async function peakOf(command: string, args: readonly string[]): Promise<number> {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'], detached: true })
  let peak = 0
  const timer = setInterval(async () => {
    const { stdout } = await promisify(execFile)('ps', ['-o', 'rss=', '--sid', `${child.pid}`]).catch(() => ({
      stdout: '',
    }))
    peak = Math.max(
      peak,
      stdout.split('\n').reduce((sum, rss) => sum + Number(rss) / 1024, 0),
    )
  }, 200)
  const [code] = await once(child, 'exit')
  clearInterval(timer)
  if (code !== 0) throw new Error(`${command} ended with ${code}`)
  return peak
}
