import { type IngestionJob, JobRegistry, type JobRegistryOptions, memoryStorage, type RecordBatch } from 'headgate'
import { postgresDatasource, postgresStorage, postgresTarget } from 'headgate/postgres'
import { fakeClock } from 'headgate/testing'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'

const count = 10

const silent = { debug() {}, info() {}, warn() {}, error() {} }

describePostgres('jobs that share a pool', (database) => {
  let admin: pg.Pool
  const pools: pg.Pool[] = []
  let registry: JobRegistry | undefined
  beforeAll(async () => {
    admin = new pg.Pool({ connectionString: database.url })
    await admin.query(
      `create table source as select g as id from generate_series(1, 500) g; alter table source add primary key (id)`,
    )
  })
  beforeEach(async () => {
    const tables = Array.from(
      { length: count },
      (_, n) => `drop table if exists t${n}; create table t${n} (id int primary key)`,
    )
    await admin.query(`${tables.join(';')}; drop table if exists dead; create table dead (record json)`)
  })
  afterEach(async () => {
    await registry?.close()
    registry = undefined
    await Promise.all(pools.splice(0).map((pool) => pool.end()))
    await admin.query('drop table if exists headgate_checkpoint')
  })
  afterAll(() => admin.end())

  const poolOf = (max: number) => {
    const pool = new pg.Pool({ connectionString: database.url, max })
    pools.push(pool)
    return pool
  }

  /** Runs jobs all at once. Gives their final statuses. */
  const runAll = async (
    options: Partial<JobRegistryOptions>,
    jobOf: (n: number) => Omit<IngestionJob, 'id'>,
    length = count,
  ) => {
    const own = new JobRegistry({ storage: memoryStorage(), ...options })
    registry = own
    const started = Array.from({ length }, async (_, n) => {
      own.define({ id: `j${n}`, query: 'table source', cursor: 'id', ...jobOf(n) })
      return (await own.start('ingestion', `j${n}`)).finished
    })
    return Promise.all(started)
  }
  const allSuccessful = (statuses: { state: string }[]) =>
    expect(statuses.map(({ state }) => state)).toEqual(Array(statuses.length).fill('successful'))

  test.each([2, 3, 10])('of %i connections, to read and to write, all come to their end', async (max) => {
    const pool = poolOf(max)
    const datasources = { postgres: postgresDatasource({ pool }) }
    const target = (n: number) => postgresTarget({ pool, table: `t${n}` })
    allSuccessful(await runAll({ datasources }, (n) => ({ datasource: 'postgres', target: target(n) })))
  })

  test('also when half of them copy the other way between two pools', async () => {
    const [left, right] = [poolOf(4), poolOf(4)]
    const datasources = { left: postgresDatasource({ pool: left }), right: postgresDatasource({ pool: right }) }
    const jobOf = (n: number): Omit<IngestionJob, 'id'> =>
      n % 2
        ? { datasource: 'left', target: postgresTarget({ pool: right, table: `t${n}` }) }
        : { datasource: 'right', target: postgresTarget({ pool: left, table: `t${n}` }) }
    allSuccessful(await runAll({ datasources }, jobOf))
  })

  test('also with readers side by side, two connections to write, and dead letters', async () => {
    const pool = poolOf(10)
    const datasources = { postgres: postgresDatasource({ pool }) }
    const deadLetters = postgresTarget({ pool, table: 'dead', columns: { record: 'record' } })
    const jobOf = (n: number): Omit<IngestionJob, 'id'> => ({
      datasource: 'postgres',
      target: postgresTarget({ pool, table: `t${n}`, connections: 2 }),
      ...(n % 2 ? { parallel: 4 } : { failures: { total: 1, deadLetters } }),
    })
    allSuccessful(await runAll({ datasources }, jobOf))
  })

  test('also readers side by side in the own pool of a datasource', async () => {
    const datasources = { postgres: postgresDatasource({ connectionString: database.url }) }
    allSuccessful(await runAll({ datasources }, () => ({ datasource: 'postgres', parallel: 4, target: () => {} })))
  })

  test('also jobs in partitions', async () => {
    const pool = poolOf(4)
    const datasources = { postgres: postgresDatasource({ pool }) }
    const jobOf = (n: number): Omit<IngestionJob, 'id'> => ({
      datasource: 'postgres',
      partitions: 3,
      target: postgresTarget({ pool, table: `t${n}` }),
    })
    allSuccessful(await runAll({ datasources, concurrency: { process: 30 } }, jobOf, 6))
  })

  test('also when their functions use it', async () => {
    const pool = poolOf(4)
    const datasources = { postgres: postgresDatasource({ pool }) }
    const target = async () => void (await pool.query('select 1'))
    allSuccessful(await runAll({ datasources }, () => ({ datasource: 'postgres', target })))
  })

  test.each(['target', 'transform'] as const)('of one connection end with a job whose %s takes it', async (place) => {
    const clock = fakeClock()
    const pool = poolOf(1)
    const warn = vi.fn()
    const datasources = { postgres: postgresDatasource({ pool }) }
    const own = new JobRegistry({ storage: memoryStorage({ clock }), clock, datasources, logger: { ...silent, warn } })
    registry = own
    const seen: string[] = []
    const take = async () => void seen.push((await pool.query('select 1')).command)
    own.define({
      ...{ id: 'j', datasource: 'postgres', query: 'table source', cursor: 'id', batchSize: 100 },
      ...(place === 'target'
        ? { target: take }
        : { transformBatch: (batch: RecordBatch) => take().then(() => batch.records()), target: () => {} }),
    })
    const execution = await own.start('ingestion', 'j')
    await expect.poll(() => pool.waitingCount).toBe(1)
    await clock.advance(25_000)
    const { host, pathname } = new URL(database.url)
    const reason = `Requests for connections of the pool to ${host}${pathname} wait, of which jobs hold 1: the pool has up to 1; raise its \`max\` to 2 or more, or give the adapters pools of their own.`
    expect(warn.mock.calls.map(([, message]) => message)).toEqual([
      `Job [ingestion/j] waits for code of the application. ${reason} The job fails when this lasts 60 s.`,
    ])
    expect(seen).toEqual([])
    await clock.advance(60_000)
    expect(await execution.finished).toMatchObject({ state: 'error', count: 100 })
    const { error } = (await own.status('ingestion', 'j')) as unknown as { error: string[] }
    expect(error.join(' ')).toContain(`The job waited 60 s for code of the application. ${reason}`)
    expect(seen).toEqual(['SELECT'])
    await expect.poll(() => pool.idleCount).toBe(1)
    // The next execution resumes behind the batch.
    pool.options.max = 2
    expect(await (await own.start('ingestion', 'j')).finished).toMatchObject({ state: 'successful', count: 400 })
  })

  test('do not fail for a slow function, as long as nothing waits for the pool or it gives connections', async () => {
    const clock = fakeClock()
    const pool = poolOf(2)
    const warn = vi.fn()
    const datasources = { postgres: postgresDatasource({ pool }) }
    const own = new JobRegistry({ storage: memoryStorage({ clock }), clock, datasources, logger: { ...silent, warn } })
    registry = own
    let release = () => {}
    const slow = new Promise<void>((resolve) => {
      release = resolve
    })
    const target = () => slow
    own.define({ id: 'j', datasource: 'postgres', query: 'table source', cursor: 'id', batchSize: 100, target })
    const execution = await own.start('ingestion', 'j')
    await expect.poll(() => pool.totalCount - pool.idleCount).toBe(1)
    await clock.advance(200_000)
    for (let n = 0; n < 20; n++) {
      const queries = [pool.query('select pg_sleep(0.01)'), pool.query('select 1')]
      await clock.advance(5_000)
      await Promise.all(queries)
    }
    release()
    expect(await execution.finished).toMatchObject({ state: 'successful' })
    expect(warn).not.toHaveBeenCalled()
  })

  test('with the storage: leases are renewed all the while', async () => {
    const pool = poolOf(5)
    const datasources = { postgres: postgresDatasource({ pool }) }
    const jobOf = (n: number): Omit<IngestionJob, 'id'> => ({
      datasource: 'postgres',
      query: 'select g as id from generate_series(1, 3) g, pg_sleep(0.4)',
      target: postgresTarget({ pool, table: `t${n}` }),
    })
    allSuccessful(await runAll({ datasources, storage: postgresStorage({ pool }), lease: 1_000 }, jobOf))
  })

  test('are refused when it can never have enough connections, with the way out', async () => {
    const pool = poolOf(1)
    const datasources = { postgres: postgresDatasource({ pool }) }
    const target = postgresTarget({ pool, table: 't0' })
    const [status] = await runAll({ datasources }, () => ({ datasource: 'postgres', target }), 1)
    const { host, pathname } = new URL(database.url)
    expect(status).toMatchObject({
      state: 'error',
      error: [
        `Job [ingestion/j0] needs 2 connections of the pool to ${host}${pathname} at once, which has 1 for jobs: the pool has up to 1; raise its \`max\` to 2 or more, or give the adapters pools of their own.`,
      ],
    })
    expect(pool.totalCount).toBe(0)
  })

  test('tell the part of the storage', async () => {
    const pool = poolOf(3)
    const datasources = { postgres: postgresDatasource({ pool }) }
    const target = postgresTarget({ pool, table: 't0' })
    const options = { datasources, storage: postgresStorage({ pool }) }
    const [status] = await runAll(options, () => ({ datasource: 'postgres', target }), 1)
    expect(String(Object(status).error)).toMatch(
      /needs 2 connections .* which has 1 for jobs: the pool has up to 3, of which the storage keeps 2; raise its `max` to 4 or more, or/,
    )
  })

  test('are aborted while they wait, and say that they wait', async () => {
    const pool = poolOf(2)
    const datasources = { postgres: postgresDatasource({ pool }) }
    const own = new JobRegistry({ storage: memoryStorage(), datasources })
    registry = own
    for (const n of [0, 1]) {
      const target = postgresTarget({ pool, table: `t${n}` })
      own.define({ id: `j${n}`, datasource: 'postgres', query: 'select 1 as id, pg_sleep(30)', target })
    }
    const first = await own.start('ingestion', 'j0')
    await expect.poll(() => pool.totalCount - pool.idleCount).toBe(2)
    const second = await own.start('ingestion', 'j1')
    await own.abort('ingestion', 'j1')
    expect(await second.finished).toMatchObject({ state: 'aborted' })
    await own.abort('ingestion', 'j0')
    expect(await first.finished).toMatchObject({ state: 'aborted' })
  })
})
