import { getEventListeners } from 'node:events'
import { JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { smallestOf } from '../../support/smallest-of.js'
import { allBatches, allRecords, batchesOf, rejectionOf } from './datasource-read.js'
import { proxyTo, type ServerProxy, sleepers, untilTrue } from './datasource-server.js'

const blocked = 'select pg_sleep(60)'
const numbers = 'select n as id from generate_series(1, 1000) as n'
const reason = new RangeError('enough')

describePostgres('an abort of a read from Postgres', (database) => {
  let watcher: pg.Pool
  let pool: pg.Pool
  let stop: AbortController
  let proxy: ServerProxy

  beforeAll(() => {
    watcher = new pg.Pool({ connectionString: database.url })
  })
  afterAll(() => watcher.end())
  beforeEach(async () => {
    proxy = await proxyTo(database.url)
    pool = new pg.Pool({ connectionString: database.url, max: 1 })
    stop = new AbortController()
  })
  afterEach(async () => {
    expect(getEventListeners(stop.signal, 'abort')).toEqual([])
    expect(pool.idleCount).toBe(pool.totalCount)
    await pool.end()
    await proxy.close()
  })

  const read = (query: string, using = pool) =>
    allBatches(postgresDatasource({ pool: using }), query, { signal: stop.signal })
  const isBlocked = () => untilTrue(watcher, `(${sleepers}) = 1`)
  const pidOf = async () => (await pool.query('select pg_backend_pid() as pid')).rows[0].pid

  test('while the server is at it: the server stops, and the connection goes back as it was', async () => {
    const pid = await pidOf()
    const reading = rejectionOf(read(blocked))
    await isBlocked()
    stop.abort(reason)
    expect(await reading).toBe(reason)
    expect((await watcher.query(sleepers)).rows).toEqual([{ count: '0' }])
    expect(await pidOf()).toBe(pid)
    expect(await allRecords(postgresDatasource({ pool }), 'select 1 as one')).toEqual([{ one: 1 }])
  })

  test('takes no timeout, also through a job', async () => {
    const datasources = { postgres: postgresDatasource({ connectionString: database.url }) }
    await using registry = new JobRegistry({ storage: memoryStorage(), datasources })
    registry.define({ id: 'sleeper', datasource: 'postgres', query: blocked, target: () => {} })
    const time = await smallestOf(500, async () => {
      await registry.start('ingestion', 'sleeper')
      await isBlocked()
      const start = performance.now()
      expect(await registry.abort('ingestion', 'sleeper')).toMatchObject({ state: 'aborted', count: 0 })
      const taken = performance.now() - start
      expect((await watcher.query(sleepers)).rows).toEqual([{ count: '0' }])
      return taken
    })
    expect(time).toBeLessThan(500)
  })

  test.each([
    ['in one statement', undefined],
    ['by a cursor', 'statement'],
    ['in pages', 'pages'],
  ] as const)('of a statement that swallows its cancellation ends it on the server, %s', async (_, consistency) => {
    await watcher.query(`create or replace function stubborn() returns int language plpgsql as $$
      declare until timestamptz := clock_timestamp() + '30 s';
      begin
        while clock_timestamp() < until loop
          begin perform pg_sleep(30); exception when query_canceled then null; end;
        end loop;
        return 1;
      end $$`)
    await using registry = new JobRegistry({
      storage: memoryStorage(),
      datasources: { postgres: postgresDatasource({ pool }) },
    })
    registry.define({
      ...{ id: 'job', datasource: 'postgres', query: 'select stubborn() as id', target: () => {} },
      ...(consistency && { cursor: { columns: 'id', consistency } }),
    })
    const stubborn = `select count(*) from pg_stat_activity where query like '%stubborn()%' and state = 'active' and pid <> pg_backend_pid()`
    await registry.start('ingestion', 'job')
    await untilTrue(watcher, `(${stubborn}) = 1`)
    expect(await registry.abort('ingestion', 'job')).toMatchObject({ state: 'aborted' })
    await untilTrue(watcher, `(${stubborn}) = 0`)
  })

  test('before the read: nothing connects', async () => {
    stop.abort(reason)
    expect(await rejectionOf(read(numbers))).toBe(reason)
    expect(pool.totalCount).toBe(0)
  })

  test('while it waits for a connection: the connection goes back to the pool when it comes', async () => {
    const client = await pool.connect()
    const reading = rejectionOf(read(numbers))
    await untilTrue(watcher, 'true')
    expect(pool.waitingCount).toBe(1)
    stop.abort(reason)
    expect(await reading).toBe(reason)
    client.release()
    expect(await pool.query('select 1 as one')).toMatchObject({ rows: [{ one: 1 }] })
  })

  test('between batches: the connection goes back at once, and the next batch is the reason', async () => {
    const pid = await pidOf()
    const batches = batchesOf(postgresDatasource({ pool }), numbers, { signal: stop.signal })
    await batches.next()
    expect(pool.idleCount).toBe(0)
    stop.abort(reason)
    expect(await pidOf()).toBe(pid)
    expect(await rejectionOf(batches.next())).toBe(reason)
  })

  test('at any moment: nothing is left behind', async () => {
    const warnings: Error[] = []
    const warn = (warning: Error) => warnings.push(warning)
    process.on('warning', warn)
    const datasource = postgresDatasource({ pool })
    for (let turns = 0; turns < 60; turns++) {
      const turn = new AbortController()
      const reading = allBatches(datasource, numbers, { signal: turn.signal, batchSize: 100 })
      const ended = reading.then(
        (batches) => batches.length,
        (error: unknown) => error,
      )
      for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve))
      turn.abort(reason)
      expect([reason, 10]).toContain(await ended)
      expect(getEventListeners(turn.signal, 'abort')).toEqual([])
    }
    expect(await allRecords(datasource, 'select 1 as one')).toEqual([{ one: 1 }])
    const client = await pool.connect()
    // The one that keeps the process alive.
    expect(client.listenerCount('error')).toBe(1)
    client.release()
    process.off('warning', warn)
    expect(warnings).toEqual([])
  })

  test('leaving early: the connection goes back, with nothing open on it', async () => {
    const batches = batchesOf(postgresDatasource({ pool }), numbers, { signal: stop.signal })
    await batches.next()
    await batches.return?.()
    const { rows } = await pool.query(
      'select (select count(*) from pg_cursors) as portals, now() = statement_timestamp() as fresh',
    )
    expect(rows).toEqual([{ portals: '0', fresh: true }])
  })

  test('that cannot be delivered: the connection is closed, and the reason is thrown all the same', async () => {
    const own = new pg.Pool({ connectionString: proxy.url })
    const reading = rejectionOf(read(blocked, own))
    await isBlocked()
    proxy.refuse()
    stop.abort(reason)
    expect(await reading).toBe(reason)
    expect(own.totalCount).toBe(0)
    await watcher.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()`,
    )
    await own.end()
  })

  test('that the server never answers: the same, after a second', async () => {
    const own = new pg.Pool({ connectionString: proxy.url })
    const reading = rejectionOf(read(blocked, own))
    await isBlocked()
    proxy.freeze()
    stop.abort(reason)
    expect(await reading).toBe(reason)
    // Another connection has looked whether the query runs on.
    expect(own.totalCount).toBe(own.idleCount)
    await untilTrue(watcher, `(${sleepers}) = 0`)
    await own.end()
  })
})
