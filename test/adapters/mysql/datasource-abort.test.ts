import { setTimeout } from 'node:timers/promises'
import { errorMessages, isTransient } from 'headgate'
import { mysqlDatasource } from 'headgate/mysql'
import mysql from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describeMysql, isMariadbThere, startMariadb } from '../../support/mysql.js'
import { allRecords, batchesOf, rejectionOf } from '../postgres/datasource-read.js'
import { proxyTo } from '../postgres/datasource-server.js'

describeMysql('an abort of a read from MySQL', (database) => {
  let watcher: mysql.Connection
  beforeAll(async () => {
    watcher = await mysql.createConnection(database.url)
    await watcher.query('create table numbers (n bigint primary key, text text)')
    await watcher.query(`insert into numbers select seq, repeat('x', 1000) from seq_1_to_20000`)
  })
  afterAll(() => watcher.end())

  async function runningLike(mark: string): Promise<unknown[]> {
    const [rows] = await watcher.query<mysql.RowDataPacket[]>(
      `select id from information_schema.processlist where info like ? and id <> connection_id()`,
      [`%${mark}%`],
    )
    return rows
  }

  const statements = [
    'select sleep(60) as a',
    'select n, text from numbers order by n',
    'select count(*) as a from numbers a, numbers b',
  ]

  test('stops the statement, keeps the connection, and never stops a later one: 300 of 300', {
    timeout: 120_000,
  }, async () => {
    const pool = mysql.createPool({ uri: database.url, connectionLimit: 2 })
    const opened = new Set<unknown>()
    pool.pool.on('connection', (connection) => void opened.add(connection.threadId))
    const datasource = mysqlDatasource({ pool })
    for (let round = 0; round < 300; round++) {
      const stop = new AbortController()
      const reason = new RangeError(`round ${round}`)
      const text = `${statements[round % 3]} /* mark ${round} */`
      const query =
        round % 2 === 0 ? { text, values: [] } : { text: `select * from (${text}) q where 1 = ?`, values: [1] }
      const batches = batchesOf(datasource, query, { signal: stop.signal, batchSize: 1000 })
      const reading = rejectionOf(
        (async () => {
          for (let next = await batches.next(); !next.done; next = await batches.next());
          return 'read to its end'
        })(),
      )
      // The moment is random on purpose: before, while and after the statement runs.
      await setTimeout(Math.random() * 8)
      stop.abort(reason)
      expect(await reading.catch(() => reason)).toBe(reason)
      expect(await runningLike(`mark ${round} `)).toEqual([])
      expect(await allRecords(datasource, 'select 1 as one')).toEqual([{ one: 1 }])
    }
    expect(opened.size).toBeLessThanOrEqual(2)
    await pool.end()
  })

  test('outlives connections that are killed at random', { timeout: 60_000 }, async () => {
    const pool = mysql.createPool({ uri: database.url, connectionLimit: 2 })
    const datasource = mysqlDatasource({ pool })
    for (let round = 0; round < 30; round++) {
      const reading = allRecords(datasource, `select n, text /* kill ${round} */ from numbers order by n`, {
        batchSize: 500,
      })
      const settled = reading.then(
        (records) => records,
        (error: unknown) => error,
      )
      await setTimeout(Math.random() * 20)
      for (const { id } of (await runningLike(`kill ${round} `)) as { id: number }[]) {
        await watcher.query(`kill ${id}`).catch(() => undefined)
      }
      const outcome = await settled
      if (Array.isArray(outcome)) expect(outcome).toHaveLength(20_000)
      else
        expect([isTransient(outcome), errorMessages(outcome)[0]]).toEqual([
          true,
          expect.stringMatching(/^The query failed/),
        ])
    }
    expect(await allRecords(datasource, 'select 1 as one')).toEqual([{ one: 1 }])
    await pool.end()
  })

  test('a slow target may hold a read up for longer than the server waits', async () => {
    const pool = mysql.createPool({ uri: database.url, connectionLimit: 1 })
    pool.pool.on('connection', (connection) => {
      connection.query('set session net_write_timeout = 1, session wait_timeout = 1')
    })
    const batches = batchesOf(mysqlDatasource({ pool }), 'select n, text from numbers order by n')
    await batches.next()
    await watcher.query('select sleep(2.5)')
    let count = 10
    for (let next = await batches.next(); !next.done; next = await batches.next()) count += next.value.length
    expect(count).toBe(20_000)
    await pool.end()
  })

  test('a table that is altered while it is read waits, and the read gives what it began with', async () => {
    await watcher.query('create table changing as select n, text from numbers')
    const pool = mysql.createPool(database.url)
    const batches = batchesOf(mysqlDatasource({ pool }), 'select * from changing')
    await batches.next()
    const altered = pool.query('alter table changing drop column text')
    let count = 10
    for (let next = await batches.next(); !next.done; next = await batches.next()) {
      count += next.value.length
      expect(next.value.columns).toHaveLength(2)
    }
    expect(count).toBe(20_000)
    await altered
    await pool.end()
  })

  test('a server that cannot be reached any more fails the read', async () => {
    const proxy = await proxyTo(database.url)
    const datasource = mysqlDatasource({ connectionString: proxy.url, silenceTimeout: 300 })
    const reading = rejectionOf(allRecords(datasource, 'select sleep(60) as silent'))
    for (;;) if ((await runningLike('as silent')).length > 0) break
    proxy.freeze()
    proxy.refuse()
    const error = await reading
    expect(errorMessages(error)[0]).toBe('The server has been silent for 300 ms and cannot be reached.')
    expect(isTransient(error)).toBe(true)
    await proxy.close()
    await datasource.close?.()
    for (const { id } of (await runningLike('as silent')) as { id: number }[]) await watcher.query(`kill ${id}`)
  })

  test('a long query is silent too, and is not affected', async () => {
    const datasource = mysqlDatasource({ connectionString: database.url, silenceTimeout: 100 })
    expect(await allRecords(datasource, 'select sleep(1) as slept')).toEqual([{ slept: 0 }])
    await datasource.close?.()
  })
})

describe.skipIf(!isMariadbThere())('a MariaDB of its own', () => {
  test('that is killed in mid-read fails it, and is read again once it is back', { timeout: 120_000 }, async () => {
    const server = await startMariadb({ 'max-allowed-packet': '64M' })
    const datasource = mysqlDatasource({ connectionString: `${server.url}/mysql` })
    const batches = batchesOf(datasource, `select seq, repeat('x', 10000) as text from seq_1_to_100000`)
    await batches.next()
    const restarted = server.restart(100)
    const error = await rejectionOf(
      (async () => {
        for (let next = await batches.next(); !next.done; next = await batches.next());
      })(),
    )
    expect(errorMessages(error)[0]).toBe('The query failed.')
    expect(isTransient(error)).toBe(true)
    await restarted
    expect(await allRecords(datasource, 'select 1 as one')).toEqual([{ one: 1 }])
    // A row of several packets of the protocol.
    const [{ text } = {}] = await allRecords(datasource, `select repeat('ab', 17000000) as text`)
    expect(text === 'ab'.repeat(17_000_000)).toBe(true)
    await datasource.close?.()
    await server.stop()
  })
})
