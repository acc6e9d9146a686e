/**
 * What the calls of a storage cost a Postgres on this machine: its CPU time (of all its processes, so the machine must be
 * Linux), WAL and rows, over 10,000 jobs that run and a log of 20,000 executions; then what notifications cost, by how many
 * listen: `npx tsx test/bench/storage-costs.ts [running jobs]`. The server is the embedded one, which does not wait for its
 * disk, unless `HEADGATE_TEST_POSTGRES_URL` names another.
 */
import type { ExecutionRecord, RenewRequest } from 'headgate/adapter'
import { postgresStorage } from 'headgate/postgres'
import pg from 'pg'
import { changesQuery } from '../../src/adapters/postgres/storage/change-feed.js'
import { namesIn } from '../../src/adapters/postgres/storage/migrations.js'
import { startPostgres } from '../support/postgres.js'
import { type Cost, costOf, print } from './_server-costs.js'

const running = Number(process.argv[2] ?? 10_000)
const ended = Number(process.argv[3] ?? 20_000)
const atOnce = 10
const lease = 3_600_000
const type = 'bench'
const listeners = [0, 10, 100, 500]

const server = await startPostgres({ max_connections: '600', shared_buffers: '512MB' })
const pool = new pg.Pool({ connectionString: server.url, max: atOnce })
const storage = postgresStorage({ pool })
const { job } = namesIn('headgate')

const begin = (id: string) => storage.begin({ type, id, state: 'running', node: 'node', lease })
const wait = (id: string) => storage.begin({ type, id, state: 'queued', node: null, lease: null })
const finish = (execution: ExecutionRecord | undefined) =>
  execution && storage.finish(execution, { state: 'successful', count: 10 })

async function times<Answer>(n: number, call: (n: number) => Promise<Answer>): Promise<Answer[]> {
  const answers: Answer[] = []
  let next = 0
  const lane = async () => {
    for (let at = next++; at < n; at = next++) answers[at] = await call(at)
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
  return answers
}

await storage.orphans()
await times(ended, async (n) => finish((await begin(`ended-${n % 1000}-${n}`)).execution))
const live = (await times(running, (n) => begin(`job-${n}`))).map(({ execution }) => execution)
await pool.query(`vacuum analyze ${job}`)
await pool.query('checkpoint')

const costs: Cost[] = []
async function measure(name: string, calls: number, call: (n: number) => Promise<unknown>, parts = 1): Promise<void> {
  await times(Math.min(calls, 200), call)
  const cost = await costOf(name, { pool, calls, atOnce }, call)
  costs.push({ ...cost, name: parts > 1 ? `${name} (of ${parts})` : name })
}

const save = (progress: Omit<RenewRequest, 'lease'>) => (n: number) =>
  storage.renew(live[n % running] as ExecutionRecord, { lease, ...progress })
const checkpoint = { source: { last: ['2024-05-06T07:08:09.123456Z', '123456'] }, batch: 42 }

await times(running, save({}))
await measure('heartbeat', 20_000, save({}))
await measure('save: count, last id, checkpoint', 20_000, save({ count: 1000, lastId: '123456', checkpoint }))
await measure('start and end, here: begin, finish', 10_000, async (n) => finish((await begin(`own-${n}`)).execution))
await measure('start and end, shared: begin, take, finish', 10_000, async (n) => {
  const { execution } = await wait(`shared-${n}`)
  await finish(await storage.claim(execution, { node: 'node', lease }))
})
await measure('start that is refused', 5000, (n) => begin(`job-${n % running}`))
await measure('status: find', 10_000, (n) => storage.find(type, `job-${n % running}`))
await measure('look for orphans', 300, () => storage.orphans())
await measure('search: first page', 300, () => storage.search({}))
await measure('restock: search aborting', 300, () => storage.search({ state: 'aborting', size: 1000 }))
await measure('restock: search queued', 300, () => storage.search({ state: 'queued', size: 0 }))
await measure('follower: all that run', 30, () => storage.live({ type }))
await measure('look for changes', 2000, () =>
  pool.query(changesQuery(namesIn('headgate')), [String(Date.now()), '0', '2000']),
)
print(costs)

const { version } = (await pool.query('select version()')).rows[0]
console.log(`${version.split(' on ')[0]}, ${running} jobs run, ${ended} executions in the log, ${atOnce} calls at once`)

const notified: Cost[] = []
const ears: pg.Client[] = []
for (const count of listeners) {
  let heard = 0
  while (ears.length < count) {
    const ear = new pg.Client({ connectionString: server.url })
    await ear.connect()
    await ear.query('listen headgate_headgate')
    ear.on('notification', () => heard++)
    ears.push(ear)
  }
  for (const ear of ears) ear.removeAllListeners('notification').on('notification', () => heard++)
  const payload = JSON.stringify(['0'.repeat(36), [type, 'job-12345', '0'.repeat(36), 'running']])
  const calls = count > 100 ? 500 : 2000
  const cost = await costOf(`notify, ${count} listen`, { pool, calls, atOnce }, () =>
    pool.query('select pg_notify($1, $2)', ['headgate_headgate', payload]),
  )
  notified.push(cost)
  if (heard !== calls * count) console.log(`heard ${heard} of ${calls * count}`)
}
print(notified)

for (const ear of ears) await ear.end()
await storage.close?.()
await pool.end()
await server.stop()
