import { setTimeout } from 'node:timers/promises'
import { type IngestionJob, JobRegistry, memoryStorage } from 'headgate'
import { type PostgresTargetOptions, postgresDatasource, postgresStorage, postgresTarget } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'

/** How often each way to end is tried: what is buffered at that moment is a matter of chance. */
const rounds = 3

const ways: [string, Partial<PostgresTargetOptions>, Partial<IngestionJob>][] = [
  ['insert', {}, {}],
  ['upsert', { mode: 'upsert', key: 'id' }, {}],
  ['replace', { strategy: 'replace' }, {}],
  ['two connections', { connections: 2 }, {}],
  ['parallel readers', {}, { parallel: 4 }],
  ['savepoints', {}, { failures: { total: 0 } }],
]

// What is no failed expectation here, but an error that nothing handles, fails these tests as every other one.
describePostgres('a COPY that ends early', (database) => {
  let admin: pg.Pool
  beforeAll(async () => {
    admin = new pg.Pool({ connectionString: database.url })
    await admin.query(`create table source as select g as id, case when g = 3000 then -1 else g end as n, repeat('y', 2000) as t
      from generate_series(1, 12000) g; alter table source alter t set storage plain, add primary key (id)`)
  })
  afterAll(() => admin.end())
  beforeEach(() =>
    admin.query(`drop table if exists t, headgate_checkpoint cascade;
      create table t (id int primary key, n int check (n > 0 or current_setting('application_name') <> 'strict'), t text)`),
  )

  const named = (name: string) => {
    const url = new URL(database.url)
    url.searchParams.set('application_name', name)
    return url.href
  }

  /** Runs a job, with something done to it in the middle. Gives the states in which it ended. */
  async function statesOf(
    [, options, job]: (typeof ways)[number],
    name: string,
    disturb: (registry: JobRegistry) => Promise<unknown>,
  ): Promise<unknown[]> {
    const states: unknown[] = []
    for (let round = 0; round < rounds; round++) {
      await admin.query('truncate t; drop table if exists headgate_checkpoint')
      const datasources = { postgres: postgresDatasource({ connectionString: named('reads') }) }
      const registry = new JobRegistry({ storage: memoryStorage(), datasources })
      const target = postgresTarget({ connectionString: named(name), table: 't', ...options })
      registry.define({ id: 'job', datasource: 'postgres', query: 'table source', cursor: 'id', ...job, target })
      const { finished } = await registry.start('ingestion', 'job')
      await disturb(registry)
      states.push((await finished).state)
      await registry.close()
    }
    return states
  }

  /** A moment in which the COPY is under way, mostly. */
  const later = () => setTimeout(20 + Math.random() * 80)
  const eachWriter = (call: string) => async () => {
    await later()
    await admin.query(
      `select ${call}(pid) from pg_stat_activity where application_name = 'lax' and datname = current_database()`,
    )
  }
  const among = (...states: string[]) => ({
    asymmetricMatch: (all: string[]) => all.every((each) => states.includes(each)),
  })

  describe.each(ways)('%s', (...way) => {
    test('as the server refuses a record', async () => {
      expect(await statesOf(way, 'strict', async () => {})).toEqual(Array(rounds).fill('error'))
    })

    test('as the job is aborted', async () => {
      const abort = async (registry: JobRegistry) => {
        await later()
        await registry.abort('ingestion', 'job').catch(() => undefined)
      }
      expect(await statesOf(way, 'lax', abort)).toEqual(among('aborted', 'successful'))
    })

    test('as the registry closes', async () => {
      const close = async (registry: JobRegistry) => {
        await later()
        await registry.close()
      }
      expect(await statesOf(way, 'lax', close)).toEqual(among('aborted', 'error', 'successful'))
    })

    test.each(['pg_cancel_backend', 'pg_terminate_backend'])('as somebody calls %s', async (call) => {
      expect(await statesOf(way, 'lax', eachWriter(call))).toEqual(among('error', 'successful'))
    })
  })

  test('leaves nothing open on the server', async () => {
    const { rows } = await admin.query(`select application_name, state, query from pg_stat_activity
      where datname = current_database() and application_name in ('reads', 'lax', 'strict') and state <> 'idle'`)
    expect(rows).toEqual([])
  })
})

describePostgres('a pool without a listener of its own', (database) => {
  test('outlives the connections that the server ends while nobody uses them, with one listener however many share it', async () => {
    const admin = new pg.Client({ connectionString: database.url })
    admin.on('error', () => undefined)
    await admin.connect()
    await admin.query('create table t (id int)')
    const pool = new pg.Pool({ connectionString: database.url })
    // It has a connection that is older than any adapter.
    await pool.query('select 1')
    const datasources = Object.fromEntries(
      Array.from({ length: 15 }, (_, n) => [`d${n}`, postgresDatasource({ pool })]),
    )
    await using registry = new JobRegistry({ storage: postgresStorage({ pool }), datasources })
    for (let n = 0; n < 15; n++) {
      registry.define({
        id: `j${n}`,
        datasource: `d${n}`,
        query: 'select 1 as id',
        target: postgresTarget({ pool, table: 't' }),
      })
      expect(await (await registry.start('ingestion', `j${n}`)).finished).toMatchObject({ state: 'successful' })
    }
    expect(pool.listenerCount('error')).toBe(1)
    expect(pool.listenerCount('connect')).toBe(1)
    const idle = pool.idleCount
    expect(idle).toBeGreaterThan(1)
    let removed = 0
    pool.on('remove', () => removed++)
    await admin.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
    )
    await expect.poll(() => removed, { timeout: 5_000 }).toBeGreaterThanOrEqual(idle)
    expect(await (await registry.start('ingestion', 'j0')).finished).toMatchObject({ state: 'successful' })
    await registry.close()
    await pool.end()
    await admin.end()
  })
})
