import type { StorageFilter } from 'headgate/adapter'
import { beforeAll, describe, expect, test } from 'vitest'
import { changesQuery } from '../../../src/adapters/postgres/storage/change-feed.js'
import { migrations, migrationTo, namesIn } from '../../../src/adapters/postgres/storage/migrations.js'
import { searchIn } from '../../../src/adapters/postgres/storage/search.js'
import { statementsIn } from '../../../src/adapters/postgres/storage/statements.js'
import { describePostgres } from '../../support/describe-postgres.js'
import { begin, newSchema, storagesOn } from './storage-support.js'

const rows = 50_000
const jobs = 5000
const hidden = 20_000
const waiting = 5000
const minute = 60_000

interface Plan {
  'Node Type': string
  'Relation Name'?: string
  'Index Name'?: string
  'Actual Rows': number
  'Actual Loops': number
  'Rows Removed by Filter'?: number
  Plans?: Plan[]
}

describePostgres('the statements of postgresStorage', (database) => {
  const storages = storagesOn(database)
  const schema = newSchema()
  const names = namesIn(schema)
  const statements = statementsIn(names)
  const uuid = '01900000-0000-7000-8000-000000000000'

  beforeAll(async () => {
    for (const version of migrations.keys()) await storages.pool.query(migrationTo(version + 1, names))
    await storages.pool.query(`insert into ${names.log} (uuid, type, id, state, epoch, claimed_by, start_time, end_time,
      lease_until, count)
      select ${names.schema}.uuid_of_tick((n * ${minute}::int8) << 12), case when n > 10 then 'type-' || n % 5 else 'old' end,
        'job-' || n % 500, case when n % 50 = 0 then 'aborted' when n % 20 = 0 then 'error' else 'successful' end, n, 'n',
        n * ${minute}::int8 + n % 1000, n * ${minute}::int8 + 5000, n, 0 from generate_series(1, ${rows}) n`)
    await storages.pool.query(`insert into ${names.log} (uuid, type, id, partition, state, epoch, claimed_by, start_time,
      end_time, lease_until, count)
      select ${names.schema}.uuid_of_tick((n * ${minute}::int8) << 12), 'type-1', 'job-' || n % 500, n % 7,
        case when n % 50 = 0 then 'aborted' when n % 20 = 0 then 'error' else 'successful' end, n, 'n', n * ${minute}::int8, n * ${minute}::int8 + 5000, n, 0
      from generate_series(${rows + 1}, ${rows + hidden}) n`)
    await storages.pool.query(`insert into ${names.tally} (hour, type, state, is_partition, n, first_time)
      select start_time / 3600000, type, state, partition is not null, count(*), min(${names.schema}.accept_time(uuid))
      from ${names.log} group by 1, 2, 3, 4`)
    await storages.pool.query(`insert into ${names.job} (key, uuid, type, id, state, epoch, claimed_by, tick, start_time,
      end_time, lease, lease_until, changed_at, count, is_orphaned)
      select sha256(n::text::bytea), gen_random_uuid(), 'type-' || n % 5, 'job-' || n,
        case when n % 100 = 0 then 'running' else 'successful' end, 1, 'n', n, n,
        case when n % 100 <> 0 then n end, ${minute}, 8e15::int8, n, 0, case when n % 100 = 1 then true end
      from generate_series(1, ${jobs}) n`)
    await storages.pool.query(`insert into ${names.job} (key, uuid, type, id, state, epoch, claimed_by, tick, start_time,
      lease, lease_until, changed_at, count)
      select sha256('w' || n::text::bytea), gen_random_uuid(), 'waits', 'job-' || n, 'queued', 1, null, n, n,
        null, null, n, 0 from generate_series(1, ${waiting}) n`)
    await storages.pool.query(`vacuum analyze ${names.log}`)
    await storages.pool.query(`vacuum analyze ${names.job}`)
    await storages.pool.query(`vacuum analyze ${names.tally}`)
  }, 60_000)

  /** The plan of a statement that is rolled back, node by node. */
  async function planOf(text: string, values: readonly unknown[]): Promise<Plan[]> {
    const client = await storages.pool.connect()
    try {
      await client.query('begin')
      const given = values.map((value) => (value === undefined || value === null ? null : String(value)))
      const { rows } = await client.query(`explain (analyze, format json) ${text}`, given)
      const nodes = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodes)]
      return nodes(rows[0]['QUERY PLAN'][0].Plan)
    } finally {
      await client.query('rollback')
      client.release()
    }
  }

  const scansOf = (plan: Plan[], relation: string) =>
    plan.filter((node) => node['Node Type'] === 'Seq Scan' && node['Relation Name'] === relation)

  const indexesOf = (plan: Plan[]) => [...new Set(plan.map((node) => node['Index Name']).filter((name) => name))].sort()

  /** The most rows that a node read, over all of its loops. */
  const mostOf = (plan: Plan[]) =>
    Math.max(
      ...plan
        .filter((node) => node['Relation Name'] === 'log')
        .map((node) => (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops']),
    )

  const hour = 60 * minute
  const from = 300 * hour + 7 * minute
  const filters: [string, StorageFilter][] = [
    ['nothing', {}],
    ['a type', { type: 'type-3' }],
    ['a partition', { type: 'type-1', id: 'job-77', partition: 3 }],
    ['a type that has not run for long', { type: 'old' }],
    ['an id', { id: 'job-77' }],
    ['a frequent state', { state: 'successful' }],
    ['a rare state', { state: 'aborted' }],
    ['a type and a state that it never has', { type: 'type-3', state: 'aborted' }],
    ['an id and a state that it never has', { id: 'job-77', state: 'aborted' }],
    ['a start from', { startTimeFrom: from }],
    ['a start up to', { startTimeTo: from }],
    ['a start between', { startTimeFrom: from, startTimeTo: from + 30 * hour }],
    ['a start within an hour', { startTimeFrom: from, startTimeTo: from + 10 * minute }],
    ['all', { type: 'type-2', id: 'job-77', state: 'successful', startTimeFrom: from, startTimeTo: from * 2 }],
  ]

  describe.each(filters)('search by %s', (_name, filter) => {
    test.each([
      ['first page', {}],
      ['page after 1,000', { from: 1000 }],
      ['page in the middle', { searchAfter: `job-1${uuid.replace('0190', '0000')}`, size: 100 }],
    ])('%s reads no more of the log than it must', async (_page, page) => {
      const { text, values } = searchIn(names, { ...filter, ...page })
      const plan = await planOf(text, values)
      expect(scansOf(plan, 'log')).toEqual([])
      expect(scansOf(plan, 'job')).toEqual([])
      expect(mostOf(plan)).toBeLessThan(rows / 8)
    })
  })

  test.each([
    ['begin', ['type-1', 'job-1', null, 'running', 'n', 1000, null, null, 1000, null, null, null], ['job_pkey']],
    ['renew', [uuid, 'a', 1, 1000, 1, null, null, null, null], ['job_uuid_key']],
    ['claim', [uuid, 'a', 1, 1000, 'n'], ['job_uuid_key']],
    ['run', [uuid, 'a', 1], ['job_uuid_key']],
    ['finish', [uuid, 'a', 1, null, null, null, null, null, 'successful', null, null, null], ['job_uuid_key']],
    ['settle', [uuid, 'a', 1, null, null, null, null, null, 'error', '[]', 'true', null, 1], ['job_uuid_key']],
    ['requestAbort', ['type-1', 'job-1', null, 'null', null], ['job_pkey']],
    ['requestAbort', ['type-1', 'job-1', null, 'null', `job-1${uuid}`], ['job_pkey']],
    ['find', ['type-1', 'job-1', 3], ['job_pkey']],
    ['live', [false, null, 1000, 'type-1', null, false], ['job_live']],
    ['live', [true, uuid, 10, 'type-1', 'job-1', true], ['job_live']],
    ['expired', [], ['job_live', 'job_may_expire']],
    ['orphans', [true, null, 1000], ['job_may_expire', 'job_orphaned']],
    ['latest', ['[["type-1","job-1"],["type-2","job-2"]]'], ['job_pkey']],
    ['claimEnds', ['n', 1000, 10, '[]'], ['log_open_end', 'log_pkey']],
    ['settleEnd', [uuid, 'a'], ['job_uuid_key', 'log_pkey']],
  ] as const)('%s goes by an index', async (name, values, indexes) => {
    const plan = await planOf(statements[name].text, values)
    expect(scansOf(plan, 'job')).toEqual([])
    expect(indexesOf(plan)).toEqual(indexes)
  })

  test('looking for open ends reads none of those that nobody wants to be notified of', async () => {
    const plan = await planOf(statements.claimEnds.text, ['n', 1000, 10, '[]'])
    expect(scansOf(plan, 'log')).toEqual([])
    expect(mostOf(plan)).toBe(0)
  })

  test('looking for changes reads no more than what has changed', async () => {
    const plan = await planOf(changesQuery(names), [Date.now(), 0, 2000])
    expect([...scansOf(plan, 'job'), ...scansOf(plan, 'log')]).toEqual([])
    expect(indexesOf(plan)).toEqual(['job_changed_at', 'log_end_time'])
  })

  test('looking for leases that ran out comes across nothing that waits', async () => {
    for (const [{ text }, values] of [
      [statements.expired, []],
      [statements.orphans, [true, null, 1000]],
    ] as const) {
      const looks = (await planOf(text, values)).filter((node) => node['Index Name'] === 'job_may_expire')
      const read = looks.map((node) => node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0))
      expect(read).toEqual([jobs / 100])
    }
  })

  test('renewing a lease leaves the indexes alone', async () => {
    const own = newSchema()
    const storage = storages.open({ schema: own })
    const execution = await begin(storage)
    for (let count = 0; count < 200; count++) {
      await storage.renew(execution, { lease: 60_000, count, lastId: `${count}`, checkpoint: { count } })
    }
    const counters = `from pg_stat_all_tables where schemaname = '${own}' and relname = 'job'`
    await storages.until(`select n_tup_upd >= 200 ${counters}`)
    // A few: a page is full when a snapshot of another session kept old rows in it.
    expect(Number(await storages.value(`select n_tup_upd - n_tup_hot_upd ${counters}`))).toBeLessThan(20)
  })
})
