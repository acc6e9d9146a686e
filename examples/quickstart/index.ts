/**
 * The quick start: `npm run quickstart`, or `npm run quickstart -- --serve` to go on serving for a session with curl.
 *
 * It starts a Postgres of its own, loads the cities of the world, ingests them to a file, aborts a second job in
 * mid-run, lets a third one fail, and shows what the HTTP API answers. Nothing is left behind.
 */
import { once } from 'node:events'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import cliProgress from 'cli-progress'
import { JobRegistry, memoryStorage } from 'headgate'
import { createJobsHandler } from 'headgate/http'
import { toNodeHandler } from 'headgate/http/node'
import { ndjsonFile } from 'headgate/ndjson'
import { postgresDatasource } from 'headgate/postgres'
import { startPostgres } from '../../test/support/postgres.js'
import { loadCities } from './cities.js'

const basePath = '/_siren/connector/jobs'
const say = (text: string) => console.log(`\n${text}`)

say('Starting a Postgres of its own, and loading the cities of the world …')
const postgres = await startPostgres()
const folder = await mkdtemp(join(tmpdir(), 'headgate-quickstart-'))
const path = join(folder, 'cities.ndjson')

const registry = new JobRegistry({
  storage: memoryStorage(),
  datasources: {
    postgres: postgresDatasource({ connectionString: postgres.url }),
    nowhere: postgresDatasource({ connectionString: 'postgres://user:secret@127.0.0.1:1/nowhere' }),
  },
  progressInterval: 50,
})
const server = createServer(toNodeHandler(createJobsHandler(registry, { basePath })))

try {
  const total = await loadCities(postgres.url)
  defineJobs()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  await ingestCities(total)
  await abortInMidRun()
  await failToConnect()
  await searchTheLog()
  if (process.argv.includes('--serve')) await serveUntilStopped()
} finally {
  server.close()
  server.closeAllConnections()
  await registry.close()
  await postgres.stop()
  await rm(folder, { recursive: true, force: true })
}
say('Done: the server is closed, Postgres is stopped, and no file is left.')

function defineJobs(): void {
  registry.define({
    id: 'cities',
    datasource: 'postgres',
    query: 'select * from cities {{#last_id}}where id > {{last_id}}{{/last_id}} order by id',
    pkField: 'id',
    target: ndjsonFile({ path }),
  })
  registry.define({
    id: 'slow-cities',
    datasource: 'postgres',
    query: 'select id, name, pg_sleep(0.001)::text as nap from cities order by id',
    pkField: 'id',
    batchSize: 100,
    target: () => {},
  })
  registry.define({ id: 'no-cities', datasource: 'nowhere', query: 'select 1', target: () => {} })
}

async function ingestCities(total: number): Promise<void> {
  say(`Ingesting ${total} cities to a file:`)
  const bar = new cliProgress.SingleBar({
    format: '{bar} {percentage} % | {value} of {total} cities | last id {lastId}',
    noTTYOutput: true,
    notTTYSchedule: 250,
    hideCursor: true,
  })
  bar.start(total, 0, { lastId: '-' })
  const stop = registry.on('status', ({ status }) => bar.update(status.count, { lastId: status.lastId ?? '-' }))
  const execution = await registry.start('ingestion', 'cities')
  const status = await execution.finished
  stop()
  bar.stop()
  if (status.state !== 'successful') throw new Error(`The ingestion ended in state ${status.state}`, { cause: status })
  const [first] = (await readFile(path, 'utf8')).split('\n', 1)
  console.log(
    `${(await stat(path)).size} bytes of NDJSON in ${status.endTime - status.startTime} ms; the first line:\n${first}`,
  )
  await call('GET', '/ingestion/cities')
}

async function abortInMidRun(): Promise<void> {
  say('A second job, aborted in mid-run:')
  await call('POST', '/ingestion/slow-cities/_start')
  await new Promise((resolve) => registry.once('progress', resolve))
  await call('GET', '/ingestion')
  await call('POST', '/ingestion/slow-cities/_abort')
}

async function failToConnect(): Promise<void> {
  say('A third job, whose database is not there:')
  const { finished } = await registry.start('ingestion', 'no-cities')
  await finished
  await call('GET', '/ingestion/no-cities')
}

async function searchTheLog(): Promise<void> {
  say('The log of what ran:')
  await call('GET', '/_search?type=ingestion')
  await call('GET', '/_search?state=error')
}

/** Calls the API over real HTTP, and shows the call and its answer. */
async function call(method: string, route: string): Promise<void> {
  const response = await fetch(addressOf(route), { method })
  console.log(`\n${method} ${basePath}${route}\n${response.status} ${await response.text()}`)
}

function addressOf(route: string): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}${basePath}${route}`
}

async function serveUntilStopped(): Promise<void> {
  say('Serving until you press Ctrl-C. In another terminal, try:')
  console.log(`  curl '${addressOf('/ingestion/cities?pretty')}'`)
  console.log(`  curl -X POST '${addressOf('/ingestion/slow-cities/_start?pretty')}'`)
  console.log(`  curl -X POST '${addressOf('/ingestion/slow-cities/_abort?pretty')}'`)
  console.log(`  curl '${addressOf('/_search?pretty')}'`)
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
  await once(stop.signal, 'abort')
}
