import { once } from 'node:events'
import { errorMessages, JobError, JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource } from 'headgate/postgres'
import { datasourceSuite } from 'headgate/testing'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { hastyProxyTo } from '../../support/hasty-proxy.js'
import { allBatches, allRecords, batchesOf, rejectionOf } from './datasource-read.js'
import { proxyTo, sleepers, untilTrue } from './datasource-server.js'

const moments = ['while the server is at it', 'between batches']

/** Nobody listens there. */
const closedPort = 'postgres://someone:open-sesame@127.0.0.1:1/nowhere'

describe('options', () => {
  test.each([
    [undefined, 'Expected `options` to be an object, got nothing'],
    [{}, 'Expected `options` to be an object with either `pool` or `connectionString`, got neither'],
    [{ pool: {} }, 'Expected `pool` to be an object with the method `connect`, got a value of type object'],
    [{ connectionString: '' }, 'Expected `connectionString` to be a string that is not empty, got `` (string)'],
    [{ connectionString: closedPort, pool: { connect() {} } }, 'with either `pool` or `connectionString`'],
    [
      { connectionString: closedPort, statementTimeout: 0 },
      'Expected `statementTimeout` to be a whole number of milliseconds from 1 to ',
    ],
    [{ connectionString: closedPort, parsers: 'pg' }, '`parsers`'],
  ])('%j', (options, message) => {
    expect(() => postgresDatasource(options as never)).toThrow(message)
  })

  test('without a query there is nothing to read', async () => {
    const datasource = postgresDatasource({ connectionString: closedPort })
    expect(datasource.capabilities?.requiresQuery).toBe(true)
    await expect(allBatches(datasource, ' \n')).rejects.toThrow(
      'Expected `query` to be a statement, got ` \n` (string)',
    )
  })
})

describePostgres('postgresDatasource keeps the contract of a datasource', (database) => {
  datasourceSuite({
    test,
    create() {
      const pool = new pg.Pool({ connectionString: database.url })
      return {
        datasource: postgresDatasource({ pool }),
        query: (count) => ({ text: 'select n as id from generate_series(1, $1::int8) as n', values: [count] }),
        pairs: (count) => ({
          text: 'select n as id, (n + 1) / 2 as pair, -n as down from generate_series(1, $1::int8) as n',
          values: [count],
        }),
        gaps: (count) => ({
          text: 'select n as id, case when n % 3 > 0 then n end as gap from generate_series(1, $1::int8) as n',
          values: [count],
        }),
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
        unusable: () => postgresDatasource({ connectionString: 'postgres://127.0.0.1:1/nowhere' }),
        close: () => pool.end(),
      }
    },
    unsupported: {
      fetched: 'a test of its own counts them',
      failing: 'a batch that fails comes without the rows before the failure',
      resumesAfterId: 'it resumes only where the query says how',
      readsRanges: 'it requires a query',
    },
  })
})

describePostgres('a read from Postgres', (database) => {
  let watcher: pg.Pool
  beforeAll(async () => {
    watcher = new pg.Pool({ connectionString: database.url })
    await watcher.query('create sequence seen; create table events (id int8)')
  })
  afterAll(() => watcher.end())

  const connections = `select count(*) from pg_stat_activity
    where datname = current_database() and application_name = 'headgate'`

  test('fetches the next batch when it is asked for', async () => {
    const pool = new pg.Pool({ connectionString: database.url })
    const batches = batchesOf(postgresDatasource({ pool }), `select nextval('seen') from generate_series(1, 1000)`)
    const seen = async () => Number((await watcher.query('select last_value from seen')).rows[0].last_value)
    await batches.next()
    expect(await seen()).toBe(10)
    await batches.next()
    expect(await seen()).toBe(20)
    await batches.return?.()
    await pool.end()
  })

  test('binds values', async () => {
    await using datasource = owned()
    const query = { text: `select $1::text || $2 as value`, values: ["'; drop table events; --", 5] }
    expect(await allRecords(datasource, query)).toEqual([{ value: "'; drop table events; --5" }])
  })

  test('keeps what a query writes when it was read to its end, and only then', async () => {
    await using datasource = owned()
    const insert = 'insert into events select generate_series(1, 25) returning id'
    const batches = batchesOf(datasource, insert)
    await batches.next()
    await batches.return?.()
    expect((await watcher.query('select count(*) from events')).rows).toEqual([{ count: '0' }])
    await allBatches(datasource, insert)
    expect((await watcher.query('select count(*) from events')).rows).toEqual([{ count: '25' }])
  })

  test('gives its connection back before the last batch is written', async () => {
    const pool = new pg.Pool({ connectionString: database.url })
    const batches = batchesOf(postgresDatasource({ pool }), 'select 1 as one')
    await batches.next()
    expect(pool.idleCount).toBe(1)
    await batches.return?.()
    await pool.end()
  })

  test('uses connections again, and closes its own', async () => {
    const datasource = postgresDatasource({ connectionString: database.url })
    for (let round = 0; round < 20; round++) await allBatches(datasource, 'select 1 as one')
    expect((await watcher.query(connections)).rows).toEqual([{ count: '1' }])
    await Promise.all([datasource.close?.(), datasource.close?.()])
    await untilTrue(watcher, `(${connections}) = 0`)
    const error = await rejectionOf(allBatches(datasource, 'select 1 as one'))
    expect(errorMessages(error)[0]).toMatch(/^Failed to initialize pool: /)
  })

  test('leaves the pool of the caller open', () => {
    expect(postgresDatasource({ pool: watcher })).not.toHaveProperty('close')
  })

  test.each(['a pool of its own', 'a pool of the caller'])(
    'outlives a connection that the server ends as soon as it is ready, with %s',
    async (whose) => {
      const proxy = await hastyProxyTo(database.url)
      const pool = whose === 'a pool of the caller' ? new pg.Pool({ connectionString: proxy.url }) : undefined
      const datasource = postgresDatasource(pool ? { pool } : { connectionString: proxy.url })
      expect(await allRecords(datasource, 'select 1 as one')).toEqual([{ one: 1 }])
      await datasource.close?.()
      await pool?.end()
      proxy.close()
    },
  )

  test('outlives a connection that breaks while nobody uses it', async () => {
    await using datasource = owned()
    await allBatches(datasource, 'select 1 as one')
    await watcher.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'headgate' and datname = current_database()`,
    )
    await untilTrue(watcher, `(${connections}) = 0`)
    expect(await allRecords(datasource, 'select 1 as one')).toEqual([{ one: 1 }])
  })

  describe('statementTimeout', () => {
    test('cancels a query that gives no batch in time', async () => {
      const pool = new pg.Pool({ connectionString: database.url })
      const datasource = postgresDatasource({ pool, statementTimeout: 100 })
      const error = await rejectionOf(allBatches(datasource, 'select pg_sleep(60)'))
      expect(errorMessages(error)).toEqual(['The server did not answer within 100 ms.'])
      expect((await watcher.query(sleepers)).rows).toEqual([{ count: '0' }])
      expect(pool.idleCount).toBe(1)
      await pool.end()
    })

    test('does not count the time between batches; nor does that of the server', async () => {
      const url = new URL(database.url)
      url.searchParams.set('options', '-c statement_timeout=100')
      await using datasource = owned(url.href, 100)
      const batches = batchesOf(datasource, 'select generate_series(1, 30) as n')
      await batches.next()
      await watcher.query('select pg_sleep(0.3)')
      expect((await batches.next()).value.length).toBe(10)
      await batches.return?.()
    })
  })

  describe('fails', () => {
    test.each([
      [
        'select * from nowhere',
        ['The query failed at line 1, column 15 (SQLSTATE 42P01).', 'relation "nowhere" does not exist'],
      ],
      [
        'select 1; select 2',
        ['The query failed (SQLSTATE 42601).', 'cannot insert multiple commands into a prepared statement'],
      ],
      [
        'select 1 / (n - 25) from generate_series(1, 50) as n',
        ['The query failed (SQLSTATE 22012).', 'division by zero'],
      ],
    ])('%s', async (text, messages) => {
      const pool = new pg.Pool({ connectionString: database.url, max: 1 })
      const datasource = postgresDatasource({ pool })
      const error = await rejectionOf(allBatches(datasource, text))
      expect(errorMessages(error)).toEqual(messages)
      expect(JobError.isInstance(error) && error.code).toBe('datasource')
      expect(await allRecords(datasource, 'select 1 as one')).toEqual([{ one: 1 }])
      await pool.end()
    })

    /** A read whose second batch is long in coming, over a pool of one connection that breaks in one way or another. */
    async function breaking(
      moment: string,
      connectionString: string,
      cut: (pid: number) => unknown,
    ): Promise<string[]> {
      const pool = new pg.Pool({ connectionString, max: 1 })
      const pid = (await pool.query('select pg_backend_pid() as pid')).rows[0].pid
      const text = 'select n, pg_sleep(case when n > 10 then 60 else 0 end) from generate_series(1, 99) as n'
      const batches = batchesOf(postgresDatasource({ pool }), text)
      await batches.next()
      const next = moment === 'between batches' ? undefined : rejectionOf(batches.next())
      if (next) await untilTrue(watcher, `(${sleepers}) = 1`)
      const removed = once(pool, 'remove')
      await cut(pid)
      await removed
      const messages = errorMessages(await (next ?? rejectionOf(batches.next())))
      expect(await allRecords(postgresDatasource({ pool }), 'select 1 as one')).toEqual([{ one: 1 }])
      await untilTrue(watcher, `(${sleepers}) = 0`)
      await pool.end()
      return messages
    }

    test.each(moments)('when the server ends its connection %s', async (moment) => {
      const end = (pid: number) => watcher.query('select pg_terminate_backend($1)', [pid])
      expect(await breaking(moment, database.url, end)).toEqual([
        'The query failed (SQLSTATE 57P01).',
        'terminating connection due to administrator command',
      ])
    })

    test.each(moments)('when the network breaks %s', async (moment) => {
      const proxy = await proxyTo(database.url)
      expect((await breaking(moment, proxy.url, proxy.reset))[0]).toBe('The query failed.')
      await proxy.close()
    })

    test('when its client tells of an error, and tells that one', async () => {
      const pool = new pg.Pool({ connectionString: database.url })
      const acquired = once(pool, 'acquire')
      const failure = rejectionOf(allBatches(postgresDatasource({ pool }), 'select pg_sleep(60)'))
      const [client] = await acquired
      await untilTrue(watcher, `(${sleepers}) = 1`)
      client.emit('error', new RangeError('broken'))
      expect(errorMessages(await failure)).toEqual(['The query failed.', 'broken'])
      expect((await watcher.query(sleepers)).rows).toEqual([{ count: '0' }])
      await pool.end()
    })
  })

  describe('cannot connect', () => {
    const chain = ['Failed to initialize pool: The connection attempt failed.', 'The connection attempt failed.']

    async function failureOf(connectionString: string): Promise<string[]> {
      const datasources = { postgres: postgresDatasource({ connectionString }) }
      await using registry = new JobRegistry({ storage: memoryStorage(), datasources })
      registry.define({ id: 'events', datasource: 'postgres', query: 'select 1 as one', target: () => {} })
      const { finished } = await registry.start('ingestion', 'events')
      const status = await finished
      expect(JSON.stringify(status)).not.toContain('sesame')
      return status.state === 'error' ? status.error : []
    }

    test('to a closed port', async () => {
      expect(await failureOf(closedPort)).toEqual([
        'Could not execute datasource query [postgres].',
        ...chain,
        'connect ECONNREFUSED 127.0.0.1:1',
      ])
    })

    test('to an unknown host', async () => {
      const [, ...messages] = await failureOf('postgres://someone:open-sesame@nowhere.invalid/nowhere')
      expect(messages).toEqual([...chain, expect.stringMatching(/^getaddrinfo \w+ nowhere\.invalid$/)])
    })

    test('with a connection string that is none', async () => {
      const [, ...messages] = await failureOf('postgres://someone:open-sesame@host:port/nowhere')
      expect(messages).toEqual([...chain, 'Invalid URL'])
    })

    test('with a wrong password, or to a database that is not there', async () => {
      const url = Object.assign(new URL(database.url), { password: 'open-sesame', pathname: '/nowhere' })
      const [, ...messages] = await failureOf(url.href)
      expect(messages).toEqual([
        expect.stringMatching(/^Failed to initialize pool: The server refused the login|The database does not exist/),
        expect.stringMatching(/^(The server refused the login|The database does not exist) \(SQLSTATE \w{5}\)\.$/),
        expect.stringMatching(/authentication failed|does not exist/),
      ])
    })

    test('at first, and then it can', async () => {
      const proxy = await proxyTo(database.url)
      proxy.refuse()
      await using datasource = owned(proxy.url)
      expect(errorMessages(await rejectionOf(allBatches(datasource, 'select 1 as one'))).slice(0, 2)).toEqual(chain)
      await proxy.accept()
      expect(await allRecords(datasource, 'select 1 as one')).toEqual([{ one: 1 }])
      await proxy.close()
    })
  })

  /** A datasource with a pool of its own, closed at the end of the block. */
  function owned(connectionString = database.url, statementTimeout?: number) {
    const datasource = postgresDatasource({ connectionString, ...(statementTimeout && { statementTimeout }) })
    return { ...datasource, [Symbol.asyncDispose]: async () => datasource.close?.() }
  }
})
