import { JobRegistry, memoryStorage } from 'headgate'
import { streamDatasource } from 'headgate/stream'
import knexOf from 'knex'
import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import Cursor from 'pg-cursor'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'

interface Order {
  id: number
  shop: number
}

describePostgres('streams of drivers', (database) => {
  let pool: pg.Pool
  let registry: JobRegistry
  let ids: unknown[]
  const target = (batch: { records(): Record<string, unknown>[] }) =>
    void ids.push(...batch.records().map(({ id }) => id))
  const run = async () => (await registry.start('ingestion', 'orders')).finished

  beforeAll(async () => {
    pool = new pg.Pool({ connectionString: database.url, max: 2 })
    await pool.query('create table orders (id int primary key, shop int not null)')
    await pool.query('insert into orders select n, n % 2 + 7 from generate_series(1, 5000) n')
  })
  afterAll(async () => {
    await pool.end()
  })
  beforeEach(() => {
    ids = []
    registry = new JobRegistry({ storage: memoryStorage() })
  })
  afterEach(() => registry.close())

  /** Runs the job twice: all records, then those that came in between. */
  async function readsAndResumes(): Promise<void> {
    const { rows: before } = await pool.query('select id from orders where shop = 7 order by id')
    expect(await run()).toMatchObject({ state: 'successful', count: before.length })
    const {
      rows: [{ id }],
    } = await pool.query('insert into orders select max(id) + 2, 7 from orders returning id')
    expect(await run()).toMatchObject({ state: 'successful', count: 1 })
    expect(ids).toEqual([...before.map((row) => row.id), id])
  }

  test('knex', async () => {
    const knex = knexOf({ client: 'pg', connection: database.url, pool: { min: 0, max: 1 } })
    // #region knex
    registry.define({
      id: 'orders',
      datasource: streamDatasource(
        (_, { lastId = '0' }) => knex('orders').where('shop', 7).andWhere('id', '>', lastId).orderBy('id').stream(),
        { resumes: true, close: () => knex.destroy() },
      ),
      pkField: 'id',
      target,
    })
    // #endregion
    await readsAndResumes()
  })

  test('kysely', async () => {
    const db = new Kysely<{ orders: Order }>({ dialect: new PostgresDialect({ pool, cursor: Cursor }) })
    // #region kysely
    registry.define({
      id: 'orders',
      datasource: streamDatasource(
        (_, { lastId = '0', batchSize }) =>
          db
            .selectFrom('orders')
            .selectAll()
            .where('shop', '=', 7)
            .where('id', '>', Number(lastId))
            .orderBy('id')
            .stream(batchSize),
        { resumes: true },
      ),
      pkField: 'id',
      target,
    })
    // #endregion
    await readsAndResumes()
  })

  test('a cursor of pg', async () => {
    // #region cursor
    registry.define({
      id: 'orders',
      datasource: streamDatasource(async ({ text, values }) => {
        const client = await pool.connect()
        const cursor = client.query(new Cursor<Order>(text, [...values]))
        const close = () => cursor.close().finally(() => client.release())
        return { read: (count) => cursor.read(count), close }
      }),
      query: 'select id from orders where shop = 7 {{#last_id}}and id > {{last_id}}{{/last_id}} order by id',
      pkField: 'id',
      target,
    })
    // #endregion
    await readsAndResumes()
    expect([pool.idleCount, pool.totalCount]).toEqual([1, 1])
  })

  test('a job that is aborted leaves no connection in use', async () => {
    let resolve = () => {}
    const begun = new Promise<void>((settle) => {
      resolve = settle
    })
    registry.define({
      id: 'orders',
      datasource: streamDatasource((_, { signal }) => rowsOf('select id from orders order by id', signal)),
      target: () => resolve(),
      batchSize: 10,
      rateLimit: { rows: 10 },
    })
    const { finished } = await registry.start('ingestion', 'orders')
    await begun
    await registry.abort('ingestion', 'orders')
    expect(await finished).toMatchObject({ state: 'aborted' })
    expect([pool.idleCount, pool.totalCount]).toEqual([1, 1])
  })

  // #region generator
  async function* rowsOf(text: string, signal: AbortSignal): AsyncGenerator<Order> {
    const client = await pool.connect()
    const cursor = client.query(new Cursor<Order>(text))
    try {
      for (let rows = await cursor.read(100); rows.length > 0 && !signal.aborted; rows = await cursor.read(100))
        yield* rows
    } finally {
      await cursor.close()
      client.release()
    }
  }
  // #endregion
})
