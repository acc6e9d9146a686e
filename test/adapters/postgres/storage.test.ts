import { PGlite } from '@electric-sql/pglite'
import { type PostgresStorageOptions, postgresStorage } from 'headgate/postgres'
import { type StorageCreateOptions, storageSuite } from 'headgate/testing'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { begin, emptySchemas, interceptedPool, newSchema, request, run, storagesOn, watch } from './storage-support.js'

describePostgres('postgresStorage keeps the contract of a storage', (database) => {
  const storages = storagesOn(database)
  // Connections that are open already, as each case would have to open its own.
  const peers = storagesOn(database)

  const schemas = emptySchemas((text) => storages.pool.query(text))

  function create(options: StorageCreateOptions) {
    const schema = schemas.take()
    const storage = postgresStorage({ pool: storages.pool, schema, ...options })
    const peer = postgresStorage({ pool: peers.pool, schema, ...options })
    return { storage, peer, close: () => schemas.giveBack(schema, storage, peer) }
  }

  storageSuite({ test, create })
})

describe('postgresStorage over PGlite', () => {
  let client: PGlite
  beforeAll(async () => {
    client = await PGlite.create()
  })
  afterAll(() => client.close())

  const schemas = emptySchemas((text) => client.query(text))

  function create(options: StorageCreateOptions & Pick<PostgresStorageOptions, 'pollInterval'>) {
    const schema = schemas.take()
    const storage = postgresStorage({ client, schema, ...options })
    const peer = postgresStorage({ client, schema, ...options })
    return { storage, peer, close: () => schemas.giveBack(schema, storage, peer) }
  }

  describe('keeps the contract of a storage', () => storageSuite({ test, create }))

  test('hears changes, and listens no more in the end', async () => {
    // No look comes to help within the test.
    const { storage, peer, close } = create({ pollInterval: 1_000_000 })
    const { told } = watch(storage)
    await run(peer)
    await told('a', 'successful')
    await storage.close?.()
    const { rows } = await client.query('select pg_listening_channels() as channel')
    expect(rows).toEqual([])
    await close()
  })
})

test('postgresStorage refuses options that it does not know or cannot use', () => {
  const of = (options: object) => () => postgresStorage(options)
  const connectionString = 'postgres://localhost/none'
  const one = 'an object with one of `pool`, `connectionString` and `client`'
  expect(of({})).toThrow(one)
  expect(of({ connectionString, client: { query() {} } })).toThrow(one)
  expect(of({ pool: { query() {} } })).toThrow('Expected `pool` to be an object with the method `connect`')
  expect(of({ client: {} })).toThrow('Expected `client` to be an object with the method `query`')
  expect(of({ connectionString, poll: 1 })).toThrow('Expected `options` to be an object with `pool`')
  expect(of({ connectionString, maxCount: 0 })).toThrow('Expected `maxCount` to be a whole number from 1 up')
  expect(of({ connectionString, maxAge: 0.5 })).toThrow(
    'Expected `maxAge` to be a whole number of milliseconds from 1 up',
  )
  expect(of({ connectionString, pollInterval: 0 })).toThrow(
    'Expected `pollInterval` to be a whole number of milliseconds from 1',
  )
  for (const schema of ['', 'Jobs', 'a b', '"; drop schema public', 'pg_jobs', 'a'.repeat(51)]) {
    expect(of({ connectionString, schema }), schema).toThrow('Expected `schema` to be a name of up to 50')
  }
})

describePostgres('postgresStorage', (database) => {
  const storages = storagesOn(database)

  test('keeps what a text of Postgres cannot hold', async () => {
    const storage = storages.open({ schema: newSchema() })
    const text = 'a\0b \ud800 \udfff "\\u0000"'
    const progress = { lastId: text, checkpoint: { [text]: [text] } }
    const execution = await begin(storage)
    expect(await storage.renew(execution, { lease: 60_000, ...progress })).toMatchObject(progress)
    const end = { state: 'error' as const, error: [text, text], ...progress }
    const ended = await storage.finish(execution, end)
    expect(ended).toMatchObject(end)
    expect(await storage.find('test', 'a')).toEqual(ended)
    expect((await storage.search({})).hits).toEqual([ended])
    expect((await begin(storage)).checkpoint).toEqual(progress.checkpoint)
  })

  test('knows no job whose name Postgres cannot hold', async () => {
    const storage = storages.open({ schema: newSchema() })
    await run(storage, { id: '\ufffd' })
    for (const id of ['a\0b', '\ud800']) {
      expect(await storage.find('test', id)).toBeUndefined()
      expect(await storage.requestAbort({ type: id, id: 'a' })).toBeUndefined()
      expect((await storage.live({ type: id })).hits).toEqual([])
      expect(await storage.search({ id })).toEqual({ total: 0, hits: [] })
    }
  })

  test('keeps the longest types and ids, also such as cannot be compressed', async () => {
    const storage = storages.open({ schema: newSchema() })
    const longest = (start: number) => String.fromCodePoint(...Array.from({ length: 512 }, (_, n) => start + n * 31))
    const [type, id] = [longest(0x4e00), longest(0x4e01)]
    const ended = await run(storage, { type, id })
    expect(await storage.find(type, id)).toEqual(ended)
    expect((await storage.search({ type })).hits).toEqual([ended])
    expect((await storage.search({ id })).hits).toEqual([ended])
  })

  test('minds no type parsers of the pool', async () => {
    const schema = newSchema()
    const text = 25
    const types = { getTypeParser: (oid: number) => (raw: string) => (oid === text ? raw : `spoilt ${raw}`) }
    const pool = new pg.Pool({ connectionString: database.url, types: types as never })
    const spoilt = storages.open({ pool, schema })
    const plain = storages.open({ schema })
    await run(spoilt, { id: 'ended' }, { state: 'error', error: ['e'], lastId: '1', checkpoint: [1], isOrphaned: true })
    const execution = await begin(spoilt, { id: 'live' })
    expect(await spoilt.renew(execution, { lease: 60_000, count: 3 })).toMatchObject({ count: 3, epoch: 1 })
    expect(await spoilt.search({})).toEqual(await plain.search({}))
    expect((await spoilt.live({ type: 'test' })).hits).toEqual((await plain.live({ type: 'test' })).hits)
    expect((await spoilt.orphans()).hits).toEqual((await plain.orphans()).hits)
    await spoilt.close?.()
    await pool.end()
  })

  test('works where transactions are serializable, at once from many', async () => {
    const options = '-c default_transaction_isolation=serializable'
    const pool = new pg.Pool({ connectionString: database.url, options })
    const storage = storages.open({ pool, schema: newSchema() })
    const results = await Promise.all(Array.from({ length: 20 }, () => storage.begin(request())))
    expect(results.filter(({ started }) => started)).toHaveLength(1)
    await Promise.all(Array.from({ length: 20 }, (_, n) => run(storage, { id: `job-${n}` })))
    expect((await storage.search({})).total).toBe(20)
    await storage.close?.()
    await pool.end()
  })

  test('goes without prepared statements where a proxy mixes them up', async () => {
    const named: string[] = []
    const pool = interceptedPool(storages.pool, (statement, send) => {
      if (!statement.name) return send(statement)
      named.push(statement.name)
      throw Object.assign(new TypeError('prepared statement does not exist'), { code: '26000' })
    })
    const storage = storages.open({ pool, schema: newSchema() })
    expect((await run(storage)).state).toBe('successful')
    expect(named).toHaveLength(1)
  })

  test('prepares its statements anew when columns of its tables have changed', async () => {
    const schema = newSchema()
    const pool = new pg.Pool({ connectionString: database.url, max: 1 })
    onTestFinished(() => pool.end())
    const storage = storages.open({ pool, schema })
    await begin(storage)
    await storage.find('test', 'a')
    await storages.pool.query(
      `alter table ${schema}.job add later_version int; alter table ${schema}.job drop column later_version`,
    )
    await storages.pool.query(`alter table ${schema}.job alter column claimed_by type varchar`)
    expect(await storage.find('test', 'a')).toMatchObject({ id: 'a', node: 'n' })
    expect(await storage.find('test', 'a')).toMatchObject({ id: 'a', node: 'n' })
  })

  test('gives up a statement that takes too long, and closes its connection', async () => {
    const schema = newSchema()
    const pool = new pg.Pool({ connectionString: database.url, max: 1 })
    onTestFinished(() => pool.end())
    const storage = storages.open({ pool, schema, statementTimeout: 200 })
    const execution = await begin(storage)
    const locking = await storages.pool.connect()
    await locking.query(`begin; lock table ${schema}.job`)
    await expect(storage.renew(execution, { lease: 60_000, count: 1 })).rejects.toMatchObject({
      code: 'storage',
      isTransient: true,
      message: 'Postgres did not answer within 200 ms.',
    })
    await storages.until(
      `select count(*) = 0 from pg_stat_activity where wait_event_type = 'Lock' and query like '%${schema}%'`,
    )
    await locking.query('rollback')
    locking.release()
    expect(await storage.renew(execution, { lease: 60_000, count: 2 })).toMatchObject({ count: 2 })
  })

  test('ends a late statement that swallows its cancellation on the server', async () => {
    const schema = newSchema()
    const pool = new pg.Pool({ connectionString: database.url, max: 1 })
    onTestFinished(() => pool.end())
    const storage = storages.open({ pool, schema, statementTimeout: 200 })
    const execution = await begin(storage)
    await storages.pool.query(`create function ${schema}.stubborn() returns trigger language plpgsql as $$
      declare until timestamptz := clock_timestamp() + '60 s';
      begin
        while clock_timestamp() < until loop
          begin perform pg_sleep(60); exception when query_canceled then null; end;
        end loop;
        return new;
      end $$;
      create trigger stubborn before update on ${schema}.job for each row execute function ${schema}.stubborn()`)
    await expect(storage.renew(execution, { lease: 60_000, count: 1 })).rejects.toMatchObject({ code: 'storage' })
    const running = `from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() and query like '%${schema}%'`
    expect(await storages.value(`select count(*) ${running}`)).toBe('1')
    await storages.until(`select count(*) = 0 ${running}`)
    await storages.pool.query(`drop trigger stubborn on ${schema}.job`)
    expect(await storage.renew(execution, { lease: 60_000, count: 2 })).toMatchObject({ count: 2 })
  })

  test('does not count the time that the server was down against a lease', async () => {
    const schema = newSchema()
    const storage = storages.open({ schema })
    const years = 10 * 365 * 86_400_000
    const execution = await begin(storage, { lease: years })
    await storages.pool.query(`update ${schema}.job set lease_until = 1`)
    expect((await storage.find('test', 'a'))?.state).toBe('running')
    expect(await storage.renew(execution, { lease: years, count: 1 })).toMatchObject({ count: 1 })
    await storages.pool.query(`update ${schema}.job set lease_until = 1, lease = 1`)
    expect(await storage.renew(execution, { lease: years, count: 2 })).toBeUndefined()
    expect(await storage.find('test', 'a')).toMatchObject({ state: 'error', isOrphaned: true })
  })

  test('gives rising ids although the clock was put back', async () => {
    const schema = newSchema()
    const storage = storages.open({ schema })
    const first = await run(storage)
    await storages.pool.query(`update ${schema}.job set tick = tick + 4096::int8 * 3600000`)
    const [second, third] = [await run(storage), await run(storage)]
    expect(second.executionId > first.executionId && third.executionId > second.executionId).toBe(true)
    expect(second.startTime - first.startTime).toBeGreaterThanOrEqual(3_600_000)
    expect(second.endTime).toBeGreaterThanOrEqual(second.startTime)
  })

  test('is writable unless the server, the transaction or the role may not write', async () => {
    const schema = newSchema()
    expect(await storages.open({ schema }).isWritable?.()).toBe(true)
    // Roles belong to the whole server.
    const role = `reader_${crypto.randomUUID().replaceAll('-', '')}`
    await storages.pool.query(`create role ${role} login password 'reader'; grant usage on schema ${schema} to ${role};
      grant select on all tables in schema ${schema} to ${role}`)
    const url = (params: object) => Object.assign(new URL(database.url), params).href
    const readOnly = url({ search: '?options=-c%20default_transaction_read_only%3Don' })
    expect(await storages.open({ connectionString: readOnly, schema }).isWritable?.()).toBe(false)
    expect(
      await storages.open({ connectionString: url({ username: role, password: 'reader' }), schema }).isWritable?.(),
    ).toBe(false)
    await storages.pool.query(`drop owned by ${role}; drop role ${role}`)
  })

  test('renews a lease before the reads that wait', async () => {
    const pool = new pg.Pool({ connectionString: database.url, max: 4 })
    onTestFinished(() => pool.end())
    const storage = storages.open({ pool, schema: newSchema() })
    const execution = await begin(storage)
    let answered = 0
    const reads = Array.from({ length: 500 }, async () => {
      await storage.find('test', 'a')
      answered++
    })
    expect(await storage.renew(execution, { lease: 60_000, count: 1 })).toMatchObject({ count: 1 })
    expect(answered).toBeLessThan(200)
    await Promise.all(reads)
  })
})
