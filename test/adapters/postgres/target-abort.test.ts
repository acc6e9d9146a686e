import { JobRegistry, type JobStatus, memoryStorage } from 'headgate'
import { postgresTarget } from 'headgate/postgres'
import { testDatasource } from 'headgate/testing'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { people } from '../../ingestion/people.js'
import { describePostgres } from '../../support/describe-postgres.js'

describePostgres('an abort while Postgres commits', (database) => {
  let pool: pg.Pool
  let registry: JobRegistry

  beforeAll(async () => {
    pool = new pg.Pool({ connectionString: database.url })
    pool.on('error', () => undefined)
    await pool.query(`create function slow() returns trigger language plpgsql as $$
      begin perform pg_sleep(tg_argv[0]::float8); return null; end $$`)
  })
  afterAll(() => pool.end())
  beforeEach(() => {
    registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 0 })
  })
  afterEach(() => registry.close())

  /** Aborts the job in the commit of its first batch, which takes so long. */
  async function abortIn(table: string, seconds: number) {
    await pool.query(`create table ${table} (id int, name text);
      create constraint trigger slow after insert on ${table} deferrable initially deferred
        for each row when (new.id = 100) execute function slow(${seconds})`)
    registry.define({
      id: 'people',
      datasource: testDatasource(people(1, 300)),
      cursor: 'id',
      batchSize: 100,
      target: postgresTarget({ pool, table }),
    })
    const { finished } = await registry.start('ingestion', 'people')
    const committing = `select from pg_stat_activity where datname = current_database() and query = 'commit' and wait_event = 'PgSleep'`
    await vi.waitFor(async () => expect((await pool.query(committing)).rowCount).toBe(1), { interval: 10 })
    const begunAt = performance.now()
    await registry.abort('ingestion', 'people')
    const took = performance.now() - begunAt
    const { rows } = await pool.query(`select count(*)::int as rows from ${table}`)
    await finished
    const status = (await registry.status('ingestion', 'people')) as JobStatus
    return { status, rows: rows[0].rows, took }
  }

  async function idsAfterReset(table: string, checkpoint: unknown) {
    await pool.query(`drop trigger slow on ${table}`)
    await registry.reset('ingestion', 'people', { checkpoint })
    await (await registry.start('ingestion', 'people')).finished
    const { rows } = await pool.query(`select count(*)::int as rows, count(distinct id)::int as ids from ${table}`)
    return rows[0]
  }

  test('reports what is committed', async () => {
    const { status, rows } = await abortIn('soon', 0.3)
    expect([status.state, status.count, rows]).toEqual(['aborted', 100, 100])
    expect(status.checkpoint).toEqual({ cursor: { id: '100' } })
    expect(await idsAfterReset('soon', status.checkpoint)).toEqual({ rows: 300, ids: 300 })
  })

  test('ends a commit that takes long', async () => {
    const { status, rows, took } = await abortIn('late', 600)
    expect([status.state, status.count, rows]).toEqual(['aborted', 0, 0])
    expect(took).toBeLessThan(30_000)
  })
})
