/**
 * A log of a million ended executions in Postgres: how long its searches take, and whether `begin` minds. Times are the
 * server's, planning and execution, and in brackets the whole call: `npx tsx test/bench/storage-log.ts [executions]`.
 * The server is the embedded one unless `HEADGATE_TEST_POSTGRES_URL` names another.
 */
import type { JobStorage, SearchFilter } from 'headgate'
import { postgresStorage } from 'headgate/postgres'
import pg from 'pg'
import { namesIn } from '../../src/adapters/postgres/storage/migrations.js'
import { searchIn } from '../../src/adapters/postgres/storage/search.js'
import { startPostgres } from '../support/postgres.js'
import { median } from './_bench.js'

const executions = Number(process.argv[2] ?? 1_000_000)
const repeats = 200
const goal = 10
const hour = 3_600_000
const day = 24 * hour
const now = Date.now()

// Room for the whole log and its indexes: how fast a disk is, is not what is measured.
const server = await startPostgres({ shared_buffers: '1GB' })
const pool = new pg.Pool({ connectionString: server.url })
const names = namesIn('full')
const full = postgresStorage({ pool, schema: 'full', maxCount: 2 * executions })
const empty = postgresStorage({ pool, schema: 'empty' })
await full.orphans()
await empty.orphans()
await fill()

/** 1,000 jobs of 4 types over 30 days: some wait in line, a few per cent end in error. */
async function fill(): Promise<void> {
  const step = (30 * day) / executions
  await pool.query(`with started as (
      select n, ${now - 30 * day} + (n::float8 * ${step})::int8 as accepted, (random() * 20000)::int8 as waited,
        case when random() < 0.9 then 'successful' when random() < 0.8 then 'error' else 'aborted' end as state
      from generate_series(0, ${executions - 1}) n
    )
    insert into ${names.log} (uuid, type, id, state, epoch, claimed_by, start_time, end_time, lease_until, count, last_id,
      checkpoint, error)
    select ${names.schema}.uuid_of_tick(accepted << 12), 'type-' || n % 4, 'job-' || n % 1000, state, n / 1000, 'node',
      accepted + waited, accepted + waited + 2000, accepted + waited + 30000, 1000, to_json(n::text),
      json_build_object('lastId', n), case when state = 'error' then '["It failed.","Because of this."]'::json end
    from started order by n`)
  await pool.query(`insert into ${names.tally} select start_time / ${hour}, type, state, count(*),
    min(${names.schema}.accept_time(uuid)) from ${names.log} group by 1, 2, 3`)
  await pool.query(`vacuum analyze ${names.log}`)
  await pool.query(`vacuum analyze ${names.tally}`)
}

async function serverTime(filter: SearchFilter): Promise<number> {
  const { text, values } = searchIn(names, filter)
  const given = values.map((value) => (value === undefined || value === null ? null : String(value)))
  const { rows } = await pool.query(`explain (analyze, timing off, format json) ${text}`, given)
  const [plan] = rows[0]['QUERY PLAN']
  return plan['Planning Time'] + plan['Execution Time']
}

async function callTime(filter: SearchFilter): Promise<number> {
  const began = performance.now()
  await full.search(filter)
  return performance.now() - began
}

function percentile99(times: readonly number[]): number {
  return [...times].sort((a, b) => a - b)[Math.ceil(times.length * 0.99) - 1] ?? Number.NaN
}

const { hits } = await full.search({ startTimeTo: now - 15 * day, size: 1 })
const middle = hits[0]?.executionId ?? ''
const filters: Record<string, () => SearchFilter> = {
  'no filter': () => ({}),
  type: () => ({ type: `type-${pick(4)}` }),
  id: () => ({ id: `job-${pick(1000)}` }),
  'state successful': () => ({ state: 'successful' }),
  'state error': () => ({ state: 'error' }),
  'state aborted': () => ({ state: 'aborted' }),
  'startTimeFrom of an hour ago': () => ({ startTimeFrom: now - hour - pick(hour) }),
  'startTimeFrom at any time': () => ({ startTimeFrom: now - pick(30 * day) }),
  'startTimeTo at any time': () => ({ startTimeTo: now - pick(30 * day) }),
  'type, state error': () => ({ type: `type-${pick(4)}`, state: 'error' }),
  'type, a day in between': () => {
    const startTimeFrom = now - day - pick(29 * day)
    return { type: `type-${pick(4)}`, startTimeFrom, startTimeTo: startTimeFrom + day }
  },
}
const pages: Record<string, SearchFilter> = {
  'size 10': {},
  'size 100': { size: 100 },
  'size 1000': { size: 1000 },
  'from 1000': { from: 1000 },
  'searchAfter the middle': { searchAfter: middle },
  'searchAfter the middle, size 1000': { searchAfter: middle, size: 1000 },
}

function pick(below: number): number {
  return Math.floor(Math.random() * below)
}

console.log(`${executions} executions; milliseconds of the server, median and p99 (p99 of the whole call)`)
for (const [name, filterOf] of Object.entries(filters)) {
  for (const [pageName, page] of Object.entries(pages)) {
    // One after the other: what the caller does with a page would slow the server down that shares the machine with it.
    const filters = Array.from({ length: repeats }, () => ({ ...filterOf(), ...page }))
    const [inServer, called]: [number[], number[]] = [[], []]
    for (const filter of filters) inServer.push(await serverTime(filter))
    for (const filter of filters) called.push(await callTime(filter))
    const [p99, whole] = [percentile99(inServer), percentile99(called)].map((ms) => ms.toFixed(1).padStart(5))
    const mark = Number(p99) > goal ? `  over the goal of ${goal} ms` : ''
    console.log(
      `${`${name}, ${pageName}`.padEnd(66)} ${median(inServer).toFixed(1).padStart(5)} ${p99} (${whole})${mark}`,
    )
  }
}

async function beginTimes(storage: JobStorage, times: number[]): Promise<void> {
  for (let n = 0; n < 50; n++) {
    const began = performance.now()
    const { execution } = await storage.begin({ type: 'b', id: `${n}`, state: 'running', node: 'n', lease: 60_000 })
    times.push(performance.now() - began)
    await storage.finish(execution, { state: 'successful' })
  }
}

const begins: Record<'full' | 'empty', number[]> = { full: [], empty: [] }
for (let round = 0; round < 20; round++) {
  await beginTimes(full, begins.full)
  await beginTimes(empty, begins.empty)
}
const [withLog, without] = [median(begins.full), median(begins.empty)]
console.log(
  `begin: ${withLog.toFixed(3)} ms, on an empty log ${without.toFixed(3)} ms: ${(withLog / without).toFixed(2)} x (goal: up to 1.2)`,
)

await full.close?.()
await empty.close?.()
await pool.end()
await server.stop()
