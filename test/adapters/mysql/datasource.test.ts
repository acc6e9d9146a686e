import { inspect } from 'node:util'
import { errorMessages, JobError, JobRegistry, memoryStorage } from 'headgate'
import { mysqlDatasource } from 'headgate/mysql'
import { datasourceSuite } from 'headgate/testing'
import mysql from 'mysql2'
import mysqlPromise from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describeMysql } from '../../support/mysql.js'
import { allBatches, allRecords, batchesOf, rejectionOf } from '../postgres/datasource-read.js'

describeMysql('mysqlDatasource keeps the contract of a datasource', (database) => {
  let watcher: mysql.Pool
  beforeAll(async () => {
    watcher = mysql.createPool(database.url)
    await watcher.promise().query('create table numbers (n bigint primary key)')
    await watcher.promise().query(
      `insert into numbers with recursive up (n) as (select 1 union all select n + 1 from up where n < 1000)
        select n from up`,
    )
  })
  afterAll(() => watcher.promise().end())

  datasourceSuite({
    test,
    create() {
      const pool = mysql.createPool(database.url)
      let held = 0
      pool.on('acquire', () => held++)
      pool.on('release', () => held--)
      return {
        datasource: mysqlDatasource({ pool }),
        query: (count) => ({ text: 'select n as id from numbers where n <= ? order by n', values: [count] }),
        wide: (count) => ({
          text: `select n as id, repeat('x', 10000) as text from numbers where n <= ? order by n`,
          values: [count],
        }),
        pairs: (count) => ({
          text: 'select n as id, (n + 1) div 2 as pair, -n as down from numbers where n <= ? order by n',
          values: [count],
        }),
        gaps: (count) => ({
          text: 'select n as id, if(n % 3 > 0, n, null) as gap from numbers where n <= ? order by n',
          values: [count],
        }),
        bigIntegers: {
          text: 'select 9007199254740991 + n * 2 as id from numbers where n <= 2 order by n',
          values: [],
        },
        between: (first, last) => `select n as id from numbers where n between ${first} and ${last} order by n`,
        echo: (value) => `select 1 as id, ${value} as text`,
        blocked: { text: 'select sleep(60) as id', values: [] },
        failing: {
          text: 'select n as id, 9223372036854775807 + (n = 6) as large from numbers where n <= 10 order by n',
          values: [],
        },
        held: () => held,
        unusable: () => mysqlDatasource({ connectionString: 'mysql://127.0.0.1:1/nowhere' }),
        close: () => pool.promise().end(),
      }
    },
    unsupported: {
      fetched: 'the server sends what fits the buffers of the connection',
      stalling: 'the server sends rows when it has 16 kB of them',
      resumesAfterId: 'it resumes only where the query says how',
      readsRanges: 'it requires a query',
      parallel: 'connections share no snapshot',
      snapshot: 'connections share no snapshot',
    },
  })
})

describe('options', () => {
  /** Nobody listens there. */
  const closedPort = 'mysql://someone:open-sesame@127.0.0.1:1/nowhere'

  test.each([
    [undefined, 'Expected `options` to be an object, got nothing'],
    [{}, 'Expected `options` to be an object with either `pool` or `connectionString`, got neither'],
    [{ pool: {} }, 'Expected `pool` to be an object with the method `getConnection`, got a value of type object'],
    [{ connectionString: 'open-sesame@host' }, 'Expected `connectionString` to be a URL such as `mysql://'],
    [
      { connectionString: closedPort, statementTimeout: 0 },
      'Expected `statementTimeout` to be a whole number of milliseconds from 1 to ',
    ],
  ])('%j', (options, message) => {
    expect(() => mysqlDatasource(options as never)).toThrow(message)
    expect(() => mysqlDatasource(options as never)).not.toThrow('sesame')
  })

  test('without a query there is nothing to read', async () => {
    await expect(allBatches(mysqlDatasource({ connectionString: closedPort }), ' \n')).rejects.toThrow(
      'Expected `query` to be a statement, got ` \n` (string)',
    )
  })

  test('to a closed port', async () => {
    const datasources = { mysql: mysqlDatasource({ connectionString: closedPort }) }
    await using registry = new JobRegistry({ storage: memoryStorage(), datasources })
    registry.define({ id: 'events', datasource: 'mysql', query: 'select 1 as one', target: () => {} })
    const status = await (await registry.start('ingestion', 'events')).finished
    expect(status).toMatchObject({
      error: [
        'Could not execute datasource query [mysql].',
        'Failed to initialize pool: The connection attempt failed.',
        'The connection attempt failed.',
        'connect ECONNREFUSED 127.0.0.1:1',
      ],
    })
    expect(JSON.stringify(status)).not.toContain('sesame')
  })
})

describeMysql('a read from MySQL', (database) => {
  let watcher: mysqlPromise.Pool
  beforeAll(async () => {
    watcher = mysqlPromise.createPool(database.url)
    await watcher.query('create table events (id bigint primary key, name varchar(20))')
  })
  afterAll(() => watcher.end())

  const rowsOf = async (text: string) => (await watcher.query<mysqlPromise.RowDataPacket[]>(text))[0]

  test.each([
    ["'; drop table events; -- \\' \\", "'; drop table events; -- \\' \\"],
    [5, '5'],
    [1.5, '1.5'],
    [18446744073709551615n, '18446744073709551615'],
    [true, '1'],
    [null, null],
    [Buffer.from('00ff', 'hex'), Buffer.from('00ff', 'hex')],
    [new Date('2024-01-01T10:00:00.5Z'), '2024-01-01 10:00:00.500'],
    [{ a: ["it's"] }, '{"a":["it\'s"]}'],
  ])('binds the value %o', async (value, shown) => {
    for (const mode of ['', 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES']) {
      const pool = pooled(`set sql_mode = '${mode}'`)
      const text = "select ? as value, '?' as `?` /* ? */"
      const [record] = await allRecords(mysqlDatasource({ pool }), { text, values: [value] })
      const isText = record?.value !== null && !(record?.value instanceof Buffer)
      expect([isText ? String(record?.value) : record?.value, record?.['?']]).toEqual([shown, '?'])
      await pool.end()
    }
  })

  test('refuses a value that SQL cannot hold, and does not show it', async () => {
    await using datasource = owned()
    const bad = allRecords(datasource, { text: 'select ? as value', values: [() => 'sesame'] })
    await expect(bad).rejects.toThrow(
      'Expected value 1 of the query to be a text, a number, a boolean, a date, bytes or null',
    )
  })

  test('an error shows no value of the query', async () => {
    await using datasource = owned()
    const error = await rejectionOf(
      allRecords(datasource, { text: 'select * from events where nothing = ?', values: ['open-sesame'] }),
    )
    expect(inspect(error, { depth: 10 })).not.toContain('sesame')
    expect(inspect(error, { depth: 10 })).not.toContain(Buffer.from('open-sesame').toString('hex'))
  })

  test('keeps what a query writes when it was read to its end, and only then', async () => {
    await using datasource = owned()
    const insert = `insert into events select seq, 'a' from seq_1_to_25 returning id`
    const batches = batchesOf(datasource, insert)
    await batches.next()
    await batches.return?.()
    expect(await rowsOf('select count(*) as count from events')).toEqual([{ count: 0 }])
    await allBatches(datasource, insert)
    expect(await rowsOf('select count(*) as count from events')).toEqual([{ count: 25 }])
    await watcher.query('create or replace procedure up_to (last int) select seq from seq_1_to_100 where seq <= last')
    expect((await allRecords(datasource, { text: 'call up_to(?)', values: [12] })).length).toBe(12)
  })

  test('does not run a statement that gives no rows', async () => {
    await using datasource = owned()
    await expect(allBatches(datasource, 'drop table events')).rejects.toThrow(
      'Expected `query` to be a statement that gives rows, such as `select`, got `drop table events` (string)',
    )
    expect(await rowsOf('select 1 as one from events limit 1')).toEqual([{ one: 1 }])
  })

  test('gives its connection back before the last batch is written, also to a pool of promises', async () => {
    const pool = mysqlPromise.createPool({ uri: database.url, connectionLimit: 1 })
    const batches = batchesOf(mysqlDatasource({ pool }), 'select 1 as one')
    await batches.next()
    expect((await pool.query('select 2 as two'))[0]).toEqual([{ two: 2 }])
    await batches.return?.()
    await pool.end()
  })

  test('uses connections again, and closes its own', async () => {
    const datasource = owned()
    const ids = new Set<unknown>()
    for (let round = 0; round < 20; round++) {
      for (const { id } of await allRecords(datasource, 'select connection_id() as id')) ids.add(id)
    }
    expect(ids.size).toBe(1)
    await Promise.all([datasource.close?.(), datasource.close?.()])
    const error = await rejectionOf(allBatches(datasource, 'select 1 as one'))
    expect(errorMessages(error)[0]).toMatch(/^Failed to initialize pool: /)
  })

  test('outlives connections that the server ended while nobody used them', async () => {
    await using datasource = owned()
    const [first] = await allRecords(datasource, 'select connection_id() as id')
    await watcher.query(`kill ${first?.id}`)
    expect(await allRecords(datasource, 'select 1 as one')).toEqual([{ one: 1 }])
  })

  test('does not count the time between batches; nor does the server', async () => {
    const pool = pooled('set max_statement_time = 0.2')
    const text = `select seq, repeat('x', 1000) from seq_1_to_30000`
    const batches = batchesOf(mysqlDatasource({ pool, statementTimeout: 200 }), text)
    await batches.next()
    await rowsOf('select sleep(0.5)')
    expect((await batches.next()).value.length).toBe(10)
    await batches.return?.()
    await pool.end()
  })

  test('stops a query that gives no batch in time', async () => {
    await using datasource = owned(100)
    const error = await rejectionOf(allBatches(datasource, 'select sleep(60) as slow'))
    expect(errorMessages(error)).toEqual(['The server did not answer within 100 ms.'])
    expect(
      await rowsOf(`select id from information_schema.processlist where info = 'select sleep(60) as slow'`),
    ).toEqual([])
  })

  test.each([
    ['select * from nowhere', [/^The query failed \(ER_NO_SUCH_TABLE, 1146\)\.$/, /doesn't exist/]],
    ['select 1; select 2', [/^The query failed \(ER_PARSE_ERROR, 1064\)\.$/, /syntax/]],
  ])('fails: %s', async (text, messages) => {
    const pool = mysqlPromise.createPool({ uri: database.url, connectionLimit: 1 })
    const error = await rejectionOf(allBatches(mysqlDatasource({ pool }), text))
    expect(errorMessages(error)).toEqual(messages.map((message) => expect.stringMatching(message)))
    expect(JobError.isInstance(error) && error.code).toBe('datasource')
    expect(await allRecords(mysqlDatasource({ pool }), 'select 1 as one')).toEqual([{ one: 1 }])
    await pool.end()
  })

  /** A pool of one connection, whose session begins with a statement. */
  function pooled(statement: string) {
    const pool = mysqlPromise.createPool({ uri: database.url, connectionLimit: 1 })
    pool.pool.on('connection', (connection) => void connection.query(statement))
    return pool
  }

  /** A datasource with a pool of its own, closed at the end of the block. */
  function owned(statementTimeout?: number) {
    const datasource = mysqlDatasource({
      connectionString: database.url,
      ...(statementTimeout && { statementTimeout }),
    })
    return { ...datasource, [Symbol.asyncDispose]: async () => datasource.close?.() }
  }
})
