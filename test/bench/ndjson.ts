/**
 * Postgres to an NDJSON file, against `psql` that copies the same rows as JSON: `npx tsx test/bench/ndjson.ts`.
 * Every figure is the whole time of a job, from its start to its end, or of the `psql` process. Needs `psql`.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type IngestionJob, JobRegistry, memoryStorage } from 'headgate'
import { ndjsonFile } from 'headgate/ndjson'
import { postgresDatasource } from 'headgate/postgres'
import { bench, type Contender, type Task } from './_bench.js'

const headgate = 'headgate, raw rows'
const headgateObjects = 'headgate, a transform that makes objects'
const psql = 'psql copy (select row_to_json(t) …) to stdout'

const contenders: Record<string, Contender> = {
  [headgate]: (task) => ingest(task, {}),
  [headgateObjects]: (task) => ingest(task, { transform: (record) => ({ ...record }) }),
  [psql]: copyWithPsql,
}

await bench(import.meta.url, contenders, async (measure) => {
  await measure('Postgres to NDJSON', 1_000_000, [headgate, headgateObjects, psql])
  await measure('Postgres to NDJSON', 4_000_000, [headgate, psql])
})

async function ingest({ url, table }: Task, more: Partial<IngestionJob>): Promise<number> {
  return toFile(async (path) => {
    await using registry = new JobRegistry({
      storage: memoryStorage(),
      datasources: { postgres: postgresDatasource({ connectionString: url }) },
    })
    const query = `select * from ${table}`
    registry.define({ id: 'bench', datasource: 'postgres', query, target: ndjsonFile({ path }), ...more })
    const { finished } = await registry.start('ingestion', 'bench')
    const { state, count } = await finished
    return state === 'successful' ? count : Number.NaN
  })
}

async function copyWithPsql({ url, table, rows }: Task): Promise<number> {
  return toFile(async (path) => {
    const file = await open(path, 'w')
    const command = `copy (select row_to_json(t) from ${table} t) to stdout`
    const [code] = await once(spawn('psql', [url, '-c', command], { stdio: ['ignore', file.fd, 'inherit'] }), 'exit')
    await file.close()
    return code === 0 ? rows : Number.NaN
  })
}

/** Gives the path of a file that is removed afterwards. */
async function toFile<Answer>(write: (path: string) => Promise<Answer>): Promise<Answer> {
  const folder = await mkdtemp(join(tmpdir(), 'headgate-bench-'))
  try {
    return await write(join(folder, 'out.ndjson'))
  } finally {
    await rm(folder, { recursive: true })
  }
}
