/**
 * What a storage costs a running ingestion of 1 M rows in batches of 1,000: `npx tsx test/bench/storage-ingestion.ts`. The
 * same rows into a target that drops them, over Postgres, over SQLite, and over memory, which is what to hold against: from
 * the start to the end of the job.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { JobRegistry, type JobStorage, memoryStorage } from 'headgate'
import { postgresDatasource, postgresStorage } from 'headgate/postgres'
import { sqliteStorage } from 'headgate/sqlite'
import { bench, type Task, timed } from './_bench.js'

await bench(
  import.meta.url,
  {
    'over Postgres': (task) => ingest(task, postgresStorage({ connectionString: task.url })),
    'over SQLite': (task) => inFolder((folder) => ingest(task, sqliteStorage({ path: join(folder, 'jobs.db') }))),
    'over memory': (task) => ingest(task, memoryStorage()),
  },
  async (measure) => {
    await measure('Postgres to nowhere', 1_000_000, ['over Postgres', 'over SQLite', 'over memory'])
  },
)

async function ingest({ url, table }: Task, storage: JobStorage): Promise<number> {
  const datasources = { postgres: postgresDatasource({ connectionString: url }) }
  await using registry = new JobRegistry({ storage, datasources })
  // The schema is made once, and not what a running ingestion pays for.
  await registry.status('ingestion', 'bench')
  const query = `select * from ${table} {{#last_id}}where id > {{last_id}}{{/last_id}} order by id`
  registry.define({ id: 'bench', datasource: 'postgres', query, pkField: 'id', resume: 'restart', target: () => {} })
  const { state, count } = await timed(async () => (await registry.start('ingestion', 'bench')).finished)
  return state === 'successful' ? count : Number.NaN
}

async function inFolder<Answer>(work: (folder: string) => Promise<Answer>): Promise<Answer> {
  const folder = await mkdtemp(join(tmpdir(), 'headgate-bench-'))
  try {
    return await work(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}
