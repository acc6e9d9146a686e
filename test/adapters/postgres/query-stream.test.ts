import { JobRegistry, memoryStorage } from 'headgate'
import { isTransient } from 'headgate/adapter'
import { pgQueryStreamDatasource } from 'headgate/pg-query-stream'
import { datasourceSuite } from 'headgate/testing'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { allBatches, allRecords, batchesOf, rejectionOf } from './datasource-read.js'
import { proxyTo, sleepers, untilTrue } from './datasource-server.js'

const closedPort = 'postgres://someone:open-sesame@127.0.0.1:1/nowhere'

describe('options', () => {
  test.each([
    [{}, 'Expected `options` to be an object with either `pool` or `connectionString`'],
    [{ pool: {} }, 'Expected `pool` to be an object with the method `connect`'],
    [{ connectionString: 'nowhere' }, 'Expected `connectionString` to be a URL'],
    [
      { connectionString: closedPort, statementTimeout: 0 },
      'Expected `statementTimeout` to be a whole number of milliseconds from 1',
    ],
    [{ connectionString: closedPort, parsers: 'pg' }, '`parsers`'],
  ])('%j', (options, message) => {
    expect(() => pgQueryStreamDatasource(options as never)).toThrow(message)
  })
})

describePostgres('pgQueryStreamDatasource keeps the contract of a datasource', (database) => {
  datasourceSuite({
    test,
    create() {
      const pool = new pg.Pool({ connectionString: database.url })
      return {
        datasource: pgQueryStreamDatasource({ pool }),
        query: (count) => ({ text: 'select n as id from generate_series(1, $1::int8) as n', values: [count] }),
        wide: (count) => ({
          text: `select n as id, repeat('x', 10000) as text from generate_series(1, $1::int8) as n`,
          values: [count],
        }),
        bigIntegers: {
          text: 'select 9007199254740991 + n * 2 as id from generate_series(1, 2::int8) as n',
          values: [],
        },
        between: (first, last) => `select n as id from generate_series(${first}::int8, ${last}::int8) as n`,
        echo: (value) => `select 1 as id, ${value}::text as text`,
        blocked: { text: 'select pg_sleep(60)', values: [] },
        stalling: {
          text: 'select n as id from generate_series(1, 6) as n where n < 6 or pg_sleep(60) is null',
          values: [],
        },
        held: () => pool.totalCount - pool.idleCount,
        unusable: () => pgQueryStreamDatasource({ connectionString: 'postgres://127.0.0.1:1/nowhere' }),
        close: () => pool.end(),
      }
    },
    unsupported: {
      readByCursor: 'the query decides what is read',
      count: 'the query decides what is read',
      fetched: 'a test of its own counts them',
      failing: 'a batch that fails comes without the rows before the failure',
      resumesAfterId: 'it resumes only where the query says how',
      readsRanges: 'it requires a query',
    },
  })
})

describePostgres('a read through pg-query-stream', (database) => {
  let watcher: pg.Pool
  beforeAll(async () => {
    watcher = new pg.Pool({ connectionString: database.url })
    await watcher.query('create sequence seen; create table events (id int8)')
  })
  afterAll(() => watcher.end())

  test('gives the values that pg gives', async () => {
    const pool = new pg.Pool({ connectionString: database.url, max: 1 })
    await pool.query(`set timezone to 'Asia/Kolkata'; set intervalstyle to 'postgres_verbose'`)
    const query = `select 1::int8 as a, timestamptz '2024-01-01' as b, interval '1 year 2 days' as c, 'text' as d,
      '{"a":1}'::jsonb as e, array[1, 2] as f, '\\x00'::bytea as g, null as h, 1.5 as i, date '2024-01-01' as j, true as k`
    const { rows } = await pool.query(query)
    expect(await allRecords(pgQueryStreamDatasource({ pool }), query)).toEqual(rows)
    await pool.end()
  })

  test('gives the values of the parsers that the client has been given', async () => {
    const types = { getTypeParser: () => (raw: string | Buffer) => `<${raw}>` } as unknown as pg.CustomTypesConfig
    const pool = new pg.Pool({ connectionString: database.url, types })
    expect(await allRecords(pgQueryStreamDatasource({ pool }), 'select 1 as a')).toEqual([{ a: '<1>' }])
    await pool.end()
  })

  test('fetches the next batch when it is asked for', async () => {
    await using datasource = owned()
    const batches = batchesOf(datasource, `select nextval('seen') from generate_series(1, 1000)`)
    const seen = async () => Number((await watcher.query('select last_value from seen')).rows[0].last_value)
    await batches.next()
    expect(await seen()).toBe(10)
    await batches.next()
    expect(await seen()).toBe(20)
    await batches.return?.()
  })

  test('goes on exactly where the last record was, though a parser of pg rounds its time', async () => {
    await watcher.query(`create table moments (at timestamptz primary key);
      insert into moments select timestamptz '2024-01-01Z' + n * interval '1 microsecond' from generate_series(1, 3000) n`)
    const pool = new pg.Pool({ connectionString: database.url })
    await using registry = new JobRegistry({ storage: memoryStorage() })
    let count = 0
    registry.define({
      id: 'moments',
      datasource: pgQueryStreamDatasource({ pool }),
      query: 'select at from moments {{#last_id}}where at > {{last_id}}{{/last_id}} order by at',
      pkField: 'at',
      maxRecords: 1000,
      target: (batch) => {
        expect(batch.records()[0]?.at).toBeInstanceOf(Date)
        count += batch.length
      },
    })
    for (let run = 0; run < 4; run++) await (await registry.start('ingestion', 'moments')).finished
    expect(count).toBe(3000)
    await pool.end()
  })

  test.each([
    ['insert into events values (1)', 'Expected `query` to be a statement that gives rows, such as `select`'],
    ['copy events to stdout', 'Expected `query` to be a statement that gives rows, such as `select`'],
    ['copy events from stdin', 'The query failed (SQLSTATE 57014).'],
    ['select 1 as a, 2 as b, 3 as a', 'Expected columns with different names, got `a` twice'],
    ['select 1 as a; select 2 as b', 'The query failed (SQLSTATE 42601).'],
    ['select from nowhere', 'The query failed at line 1, column 13 (SQLSTATE 42P01).'],
    ['select 1 / (n - 15) as a from generate_series(1, 20) n', 'The query failed (SQLSTATE 22012).'],
  ])('refuses %s, and its connection is used again', async (text, message) => {
    const pool = new pg.Pool({ connectionString: database.url, max: 1 })
    const datasource = pgQueryStreamDatasource({ pool })
    const pidOf = async () => (await pool.query('select pg_backend_pid() as pid')).rows[0].pid
    const pid = await pidOf()
    expect(await rejectionOf(allBatches(datasource, text))).toMatchObject({ message: expect.stringContaining(message) })
    expect(await pidOf()).toBe(pid)
    expect(await allRecords(datasource, 'select 1 as one')).toEqual([{ one: 1 }])
    await pool.end()
  })

  test('an abort cancels the query on the server', async () => {
    await using datasource = owned()
    for (let round = 0; round < 20; round++) {
      const stop = new AbortController()
      const reading = allBatches(datasource, 'select pg_sleep(60)', { signal: stop.signal })
      const settled = Promise.allSettled([reading])
      if (round % 2 === 0) await untilTrue(watcher, `(${sleepers}) = 1`)
      stop.abort(new RangeError('stopped'))
      await expect(reading).rejects.toThrow('stopped')
      await settled
      await untilTrue(watcher, `(${sleepers}) = 0`)
    }
  })

  test.each(['while the server is at it', 'between batches'])('a lost connection fails the read: %s', async (when) => {
    const proxy = await proxyTo(database.url)
    const datasource = pgQueryStreamDatasource({ connectionString: proxy.url })
    const slow = 'select n, pg_sleep(case when n = 11 then 60 else 0 end) from generate_series(1, 20) n'
    const batches = batchesOf(datasource, slow)
    await batches.next()
    const reading = when === 'between batches' ? undefined : batches.next()
    const settled = Promise.allSettled([reading])
    if (reading) await untilTrue(watcher, `(${sleepers}) = 1`)
    proxy.reset()
    if (!reading) await new Promise((resolve) => setTimeout(resolve, 50))
    const error = await rejectionOf(reading ?? batches.next())
    expect([error, isTransient(error)]).toEqual([expect.objectContaining({ code: 'datasource' }), true])
    await settled
    await datasource.close?.()
    await proxy.close()
  })

  test('a statement that takes too long is cancelled', async () => {
    await using datasource = owned({ statementTimeout: 100 })
    await expect(allBatches(datasource, 'select pg_sleep(60)')).rejects.toMatchObject({ isTransient: true })
    await untilTrue(watcher, `(${sleepers}) = 0`)
  })

  test('a wrong password is said, and not shown', async () => {
    const error = await rejectionOf(allBatches(pgQueryStreamDatasource({ connectionString: closedPort }), 'select 1'))
    expect(String(error)).toContain('Failed to initialize pool')
    expect(JSON.stringify(error)).not.toContain('open-sesame')
  })

  function owned(options = {}) {
    const datasource = pgQueryStreamDatasource({ connectionString: database.url, ...options })
    return Object.assign(datasource, { [Symbol.asyncDispose]: async () => datasource.close?.() })
  }
})
