/**
 * An abort from another process, of a job that is blocked in `pg_sleep`: `npx tsx test/bench/abort.ts [times]`. The time is
 * from the call of `abort` to its answer, by when the job is `aborted`: over Postgres, and over SQLite.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { JobRegistry, type JobStorage } from 'headgate'
import { postgresDatasource, postgresStorage } from 'headgate/postgres'
import { sqliteStorage } from 'headgate/sqlite'
import pg from 'pg'
import { startPostgres } from '../support/postgres.js'

const [mark = '50', kind = '', url = '', path = ''] = process.argv.slice(2)
if (mark === 'work') work()
else await measure(Number(mark))

/** The other process: starts the job whenever it is told to. */
function work(): void {
  const datasources = { postgres: postgresDatasource({ connectionString: url }) }
  const registry = new JobRegistry({ storage: open(kind, url, path), datasources })
  registry.define({ id: 'blocked', datasource: 'postgres', query: 'select pg_sleep(3600)', target: () => {} })
  process.on('message', async () => {
    await registry.start('ingestion', 'blocked')
    process.send?.('started')
  })
  process.on('disconnect', () => process.exit())
  process.send?.('ready')
}

async function measure(times: number): Promise<void> {
  const server = await startPostgres()
  const folder = await mkdtemp(join(tmpdir(), 'headgate-bench-'))
  try {
    for (const kind of ['Postgres', 'SQLite']) await abort(kind, times, server.url, join(folder, 'jobs.db'))
  } finally {
    await server.stop()
    await rm(folder, { recursive: true })
  }
}

async function abort(kind: string, times: number, url: string, path: string): Promise<void> {
  const worker = fork(fileURLToPath(import.meta.url), ['work', kind, url, path])
  await once(worker, 'message')
  await using registry = new JobRegistry({ storage: open(kind, url, path) })
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const taken: number[] = []
  for (let time = 0; time < times; time++) {
    worker.send('start')
    await once(worker, 'message')
    while (!(await isBlocked(client)));
    const began = performance.now()
    const status = await registry.abort('ingestion', 'blocked')
    taken.push(performance.now() - began)
    if (status?.state !== 'aborted') throw new Error(`Expected the job to be aborted, got ${status?.state}`)
  }
  await client.end()
  worker.disconnect()
  await once(worker, 'exit')
  taken.sort((a, b) => a - b)
  const at = (part: number) => `${taken[Math.floor((taken.length - 1) * part)]?.toFixed(0)} ms`
  console.log(`over ${kind}: median ${at(0.5)}, 90 % ${at(0.9)}, longest ${at(1)}, of ${times} aborts`)
}

async function isBlocked(client: pg.Client): Promise<boolean> {
  const { rowCount } = await client.query(
    `select from pg_stat_activity where query like 'select pg_sleep(3600)%' and wait_event = 'PgSleep'`,
  )
  return rowCount !== 0
}

function open(kind: string, url: string, path: string): JobStorage {
  return kind === 'Postgres' ? postgresStorage({ connectionString: url }) : sqliteStorage({ path })
}
