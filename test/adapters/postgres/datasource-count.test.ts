import { JobRegistry, memoryStorage } from 'headgate'
import type { ReadCursor } from 'headgate/adapter'
import { postgresDatasource } from 'headgate/postgres'
import { collectingTarget } from 'headgate/testing'
import pg from 'pg'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { batchesByCursor, cursorBy } from './datasource-read.js'

describePostgres('a count of a Postgres query', (database) => {
  let pool: pg.Pool
  const { signal } = new AbortController()

  beforeAll(async () => {
    pool = new pg.Pool({ connectionString: database.url })
    pool.on('error', () => undefined)
    await pool.query(`create table counted (id int primary key, day int, note text);
      insert into counted select n, nullif(n / 10, 3), 'row ' || n from generate_series(1, 2000) n; analyze counted`)
  })
  afterAll(() => pool.end())

  const count = (text: string, values: unknown[] = [], isEstimate = false) =>
    postgresDatasource({ pool }).count?.({ text, values }, { signal, lastId: undefined, isEstimate })

  test('counts the rows of a query with values, as it is', async () => {
    expect(await count('select * from counted')).toBe(2000)
    expect(await count('select id, id from counted where id > $1; -- all of them', [1990])).toBe(10)
    expect(await count('with few as (select 1 limit 3) table few')).toBe(1)
  })

  test('asks the planner for an estimate', async () => {
    expect(await count('select * from counted', [], true)).toBe(2000)
    const few = await count('select * from counted where id > $1', ['1990'], true)
    expect(few).toBeGreaterThanOrEqual(1)
    expect(few).toBeLessThanOrEqual(20)
  })

  test.each([
    ['id', {}],
    ['id', { lookback: 25 }],
    [['day', 'id'], { nulls: 'first' }],
    [['day', 'id'], { nulls: 'skip' }],
    ['day', { nulls: 'skip', ties: 'drain' }],
  ] as const)('after every batch by %j with %j, counts what is left', async (columns, options) => {
    const query = { text: 'select * from counted', values: [] }
    const datasource = postgresDatasource({ pool })
    const cursor = (position: unknown): ReadCursor =>
      cursorBy([columns].flat(), { ...options, position, isStart: position === undefined })
    const left = (position: unknown) =>
      datasource.count?.(query, { signal, lastId: undefined, isEstimate: false, cursor: cursor(position) })
    const read = async (position: unknown) => {
      let rows = 0
      const positions: unknown[] = []
      const options = { signal, batchSize: 450, cursor: cursor(position) }
      for await (const { batch, position } of datasource.readByCursor?.(query, options) ?? []) {
        rows += batch.length
        if (position !== undefined) positions.push(position)
      }
      return { rows, positions }
    }
    const { rows, positions } = await read(undefined)
    expect(await left(undefined)).toBe(rows)
    expect(positions.length).toBeGreaterThan(2)
    for (const position of positions) expect(await left(position)).toBe((await read(position)).rows)
  })

  test('of a parallel read is known from the beginning, and not in its middle', async () => {
    const datasource = postgresDatasource({ pool })
    const query = { text: 'select * from counted', values: [] }
    const cursor = cursorBy('id', { parallel: 2 })
    expect(await datasource.count?.(query, { signal, lastId: undefined, isEstimate: false, cursor })).toBe(2000)
    let middle: unknown
    for await (const batch of batchesByCursor(datasource, query, { signal, batchSize: 100, cursor })) {
      middle ??= batch.position
    }
    const from = { ...cursor, position: middle, isStart: false }
    expect(await datasource.count?.(query, { signal, lastId: undefined, isEstimate: false, cursor: from })).toBe(
      undefined,
    )
  })

  test('holds nothing, and is cancelled on the server', async () => {
    const aborting = new AbortController()
    const slow = { text: 'select pg_sleep(60), 4711 as marked', values: [] }
    const counted = postgresDatasource({ pool }).count?.(slow, {
      signal: aborting.signal,
      lastId: undefined,
      isEstimate: false,
    })
    setTimeout(() => aborting.abort(new Error('enough')), 200)
    await expect(counted).rejects.toThrow()
    const { rows } = await pool.query(
      `select 1 from pg_stat_activity where query like '%4711%' and state = 'active' and pid <> pg_backend_pid()`,
    )
    expect(rows).toEqual([])
    expect(pool.idleCount).toBe(pool.totalCount)
  })

  test('waits for the only connection of a pool without holding up the job', async () => {
    const one = new pg.Pool({ connectionString: database.url, max: 1 })
    onTestFinished(() => one.end())
    const registry = new JobRegistry({ storage: memoryStorage() })
    onTestFinished(() => registry.close())
    const target = collectingTarget()
    const query = 'select * from counted'
    registry.define({
      id: 'a',
      datasource: postgresDatasource({ pool: one }),
      query,
      cursor: 'id',
      total: 'count',
      target,
    })
    const { finished } = await registry.start('ingestion', 'a')
    expect(await finished).toMatchObject({ state: 'successful', count: 2000 })
    const again = await (await registry.start('ingestion', 'a')).finished
    expect(again).toMatchObject({ state: 'successful', count: 0 })
  })
})
