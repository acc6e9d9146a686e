/**
 * Three processes, one Postgres, one job: `npm run failover`. The process that works is killed in mid-run, and another one
 * finishes the job where it was. Nothing is left behind.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { JobRegistry } from 'headgate'
import { postgresStorage } from 'headgate/postgres'
import { startPostgres } from '../../test/support/postgres.js'
import { loadCities } from '../quickstart/cities.js'

console.log('Starting a Postgres of its own, and three processes that share it …')
const postgres = await startPostgres()
const folder = await mkdtemp(join(tmpdir(), 'headgate-failover-'))
const path = join(folder, 'cities.ndjson')
const registry = new JobRegistry({ storage: postgresStorage({ connectionString: postgres.url }) })
const workers: ChildProcess[] = []

try {
  const total = await loadCities(postgres.url)
  for (const name of ['worker 1', 'worker 2', 'worker 3']) workers.push(await startWorker(name))
  await killInMidRun()
  const status = await ended()
  const lines = (await readFile(path, 'utf8')).trimEnd().split('\n').length
  console.log(`It is ${status}: ${lines} of ${total} cities are in the file, each of them once.`)
  await showTheLog()
} finally {
  for (const worker of workers) worker.kill('SIGKILL')
  await registry.close()
  await postgres.stop()
  await rm(folder, { recursive: true, force: true })
}

async function startWorker(name: string): Promise<ChildProcess> {
  const file = fileURLToPath(new URL('worker.ts', import.meta.url))
  const worker = fork(file, [name, postgres.url, path])
  worker.on('message', (what) => console.log(`${name} ${what}.`))
  await once(worker, 'message')
  return worker
}

/** Lets the first process start the job, and kills it once a part of the cities is in the file. */
async function killInMidRun(): Promise<void> {
  const [first] = workers
  first?.send('start')
  let count = 0
  while (count === 0) {
    await setTimeout(10)
    count = (await registry.status('ingestion', 'cities'))?.count ?? 0
  }
  first?.kill('SIGKILL')
  console.log(`worker 1 is killed after ${count} cities.`)
}

/** Waits until another process has finished the job. */
function ended(): Promise<string> {
  return new Promise((resolve) => {
    registry.on('successful', ({ status }) => resolve(status.state), { scope: 'cluster' })
  })
}

async function showTheLog(): Promise<void> {
  const { hits } = await registry.search({ id: 'cities' })
  for (const status of hits.reverse()) {
    console.log(`\n${status.executionId}: ${status.state}, ${status.count} records`)
    if (status.resumedFrom) console.log(`  resumes ${status.resumedFrom}`)
    if (status.state === 'error') for (const message of status.error) console.log(`  ${message}`)
  }
}
