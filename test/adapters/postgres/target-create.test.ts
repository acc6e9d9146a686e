import { type IngestionJob, JobRegistry, memoryStorage } from 'headgate'
import { type Column, RecordBatch } from 'headgate/adapter'
import { type PostgresTargetOptions, postgresDatasource } from 'headgate/postgres'
import { beforeEach, describe, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { targetTests, write, writeContext } from './target-support.js'

describePostgres('a table that is made when it is missing', (database) => {
  const tests = targetTests(database)
  const { rows, opened } = tests
  const target: typeof tests.target = (more) => tests.target({ createTable: true, ...more })
  beforeEach(() => tests.pool.query('drop table if exists t, source, headgate_checkpoint'))

  /** Column by column: name, type, and whether it may be null. */
  const columnsOf = (table: string) =>
    rows(`select attname::text, format_type(atttypid, atttypmod), attnotnull from pg_attribute
      where attrelid = '${table}'::regclass and attnum > 0 order by attnum`)

  const run = async (more: Partial<IngestionJob> = {}, id = 'job') => {
    await using registry = new JobRegistry({ storage: memoryStorage() })
    const datasource = postgresDatasource({ pool: tests.pool })
    registry.define({ id, datasource, query: 'select * from source order by 1', target: target(), ...more })
    return await (await registry.start('ingestion', id)).finished
  }

  const typed: Column[] = [
    { name: 'id', type: 'bigint', sqlType: 'bigint' },
    { name: 'name', type: 'text', sqlType: 'character varying(5)' },
  ]

  test('has the types of the query, and all its values', async () => {
    await tests.pool.query(`
      drop type if exists mood, pair; create type mood as enum ('sad', 'happy'); create type pair as (a int, b text);
      create table source as select n::int8 as id, n::int2 as a, (n / 3.0)::numeric(20, 7) as b, (n / 3.0)::numeric as c, n::float4 / 3 as d,
        repeat('é', n)::varchar(9) as e, 'a'::char(3) as f, date '2024-01-01' - n as g, time '10:00' as h,
        timestamptz '2024-01-01 10:00:00.123456Z'::timestamptz(3) as i, timestamp '0044-03-15 BC' as j, interval '1 day' * n as k,
        json '{"a":  1}' as l, jsonb '[1.10]' as m, decode('00ff', 'hex') as n, array[n, null] as o, array['a"', null]::text[] as p,
        'sad'::mood as q, array['happy']::mood[] as r, row(n, 'x y')::pair as s, int4range(1, n + 1) as t, n % 2 = 0 as u,
        gen_random_uuid() as v, inet '10.0.0.0/8' as w, b'101'::bit varying(5) as "X ""x""", point '(1,2)' as y, null::text as z
      from generate_series(1, 9) n`)
    expect(await run()).toMatchObject({ state: 'successful', count: 9 })
    expect(await columnsOf('t')).toEqual(await columnsOf('source'))
    expect(await rows('select r::text from t r order by id')).toEqual(
      await rows('select r::text from source r order by id'),
    )
  })

  test('has the key as its primary key, and the columns that `columns` names', async () => {
    await tests.pool.query(`create table source as select n as a, n * 2 as b, 'x' as c from generate_series(1, 9) n`)
    const options = { mode: 'upsert', key: ['k', 'id'], columns: { a: 'id', b: 'k' } } as const
    for (const _ of ['made', 'found']) expect(await run({ target: target(options) })).toMatchObject({ count: 9 })
    expect(await columnsOf('t')).toEqual([['id', 'integer', true], ['k', 'integer', true]]) // biome-ignore format: one line
    expect(await rows(`select pg_get_constraintdef(oid) from pg_constraint where contype = 'p' and conrelid = 't'::regclass`)).toEqual([['PRIMARY KEY (k, id)']]) // biome-ignore format: one line
    expect(await rows()).toHaveLength(9)
  })

  test('has a primary key with `insert` too, and then refuses what is there', async () => {
    await tests.pool.query('create table source as select 1 as id')
    expect(await run({ target: target({ key: 'id' }) })).toMatchObject({ state: 'successful' })
    expect(await run({ target: target({ key: 'id' }) })).toMatchObject({ state: 'error' })
  })

  const strategies: Partial<PostgresTargetOptions>[] = [
    { key: 'id' },
    { mode: 'upsert', key: 'id' },
    { strategy: 'replace', swap: 'rows', key: 'id' },
    { strategy: 'replace', swap: 'rename', key: 'id' },
  ]
  const byCursor = { query: 'select * from source', cursor: 'id' }
  const readings: Partial<IngestionJob>[] = [
    {},
    byCursor,
    { query: byCursor.query, cursor: { columns: 'id', consistency: 'pages' } },
    { ...byCursor, parallel: 2 },
    { ...byCursor, failures: { total: 1 } },
  ]
  const made = strategies.flatMap((options) => readings.map((reading) => [options, reading] as const))
  test.each(made)('is made by a run that reads nothing, with %j and %j', async (options, reading) => {
    await tests.pool.query('create table source (id bigint not null, price numeric(9, 2), name text)')
    const job = { ...reading, target: target(options as Partial<PostgresTargetOptions>) } as Partial<IngestionJob>
    for (const _ of ['made', 'found']) {
      expect(await run(job)).toMatchObject({ state: 'successful', count: 0 })
      expect(await columnsOf('t')).toEqual(await columnsOf('source'))
      expect(await rows('select count(*)::int from t')).toEqual([[0]])
    }
    await tests.pool.query("insert into source values (1, 1.10, 'a')")
    expect(await run(job)).toMatchObject({ state: 'successful', count: 1 })
    expect(await rows()).toEqual([['1', '1.10', 'a']])
    expect(await rows(`select conname::text from pg_constraint where contype = 'p' and conrelid = 't'::regclass`)).toEqual([['t_pkey']]) // biome-ignore format: one line
    expect(await rows(`select relname::text from pg_class where relname like '%headgate%' and relname not like 'headgate_checkpoint%'`)).toEqual([]) // biome-ignore format: one line
  })

  test.each([
    ['of a range', [5]],
    ['of all of them', [5, 6]],
  ])('is made by the partitions of a job, also when they read nothing %s', async (_, partitions) => {
    await tests.pool.query('create table source (id bigint not null, name text)')
    if (partitions.length === 1) await tests.pool.query("insert into source values (1, 'a')")
    const job = { ...byCursor, partitions, target: target({ mode: 'upsert', key: 'id' }) }
    const count = partitions.length === 1 ? 1 : 0
    expect(await run(job)).toMatchObject({ state: 'successful', count })
    expect(await columnsOf('t')).toEqual(await columnsOf('source'))
    expect(await rows('select count(*)::int from t')).toEqual([[count]])
  })

  test('is not made by a run that reads nothing when a transform makes the records', async () => {
    await tests.pool.query('create table source as select 1 as id where false')
    expect(await run({ transform: (record) => record })).toMatchObject({ state: 'successful', count: 0 })
    expect(await rows(`select to_regclass('t')`)).toEqual([[null]])
  })

  test('has to have the key, also in a run that reads nothing', async () => {
    await tests.pool.query('create table source as select 1 as id where false')
    const status = await run({ target: target({ mode: 'upsert', key: 'name' }) })
    expect(status).toMatchObject({ state: 'error' })
    expect(JSON.stringify(status)).toContain('Expected records with the column `name` of the key, got id.')
  })

  test('is found in the schema that is named', async () => {
    await tests.pool.query(
      'drop schema if exists "a.b" cascade; create schema "a.b"; create table source as select 1 as id',
    )
    const to = target({ table: { schema: 'a.b', name: 'T "x"' } })
    for (const _ of ['made', 'found']) expect(await run({ target: to })).toMatchObject({ count: 1 })
    expect(await rows('select * from "a.b"."T ""x"""')).toEqual([[1], [1]])
  })

  test('is made once by jobs that begin at the same time', async () => {
    for (let round = 0; round < 10; round++) {
      await tests.pool.query('drop table if exists t')
      const writers = await Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map((id) => opened(target(), { id })))
      await Promise.all(writers.map(async (it) => it.write(RecordBatch.fromRows(typed, [['1', 'a']]), writeContext)))
      for (const writer of writers) {
        await writer.flush?.(null)
        await writer.commit?.()
      }
      expect(await rows('select count(*)::int from t')).toEqual([[6]])
    }
  })

  test('begins anew when the table was dropped since the checkpoint', async () => {
    await tests.pool.query('create table source as select n as id from generate_series(1, 100) n')
    await using registry = new JobRegistry({ storage: memoryStorage() })
    const query = 'select * from source {{#last_id}}where id > {{last_id}}::int{{/last_id}} order by 1'
    registry.define({
      id: 'job',
      datasource: postgresDatasource({ pool: tests.pool }),
      query,
      pkField: 'id',
      target: target(),
    })
    for (const count of [100, 0])
      expect(await (await registry.start('ingestion', 'job')).finished).toMatchObject({ count })
    await tests.pool.query('drop table t')
    expect(await (await registry.start('ingestion', 'job')).finished).toMatchObject({ count: 100 })
    expect(await rows('select count(*)::int from t')).toEqual([[100]])
  })

  describe('errors', () => {
    test('objects have no types', async () => {
      const writer = await opened(target())
      await expect(write(writer, [{ id: 1, name: 'a' }])).rejects.toMatchObject({
        code: 'target',
        message: expect.stringContaining(
          'to create `public.t` with, as the Postgres datasource gives them, got none for `id`, `name`.',
        ),
      })
      expect(await rows(`select to_regclass('t')`)).toEqual([[null]])
    })

    test('but may be written to a table that a batch with types has made', async () => {
      const writer = await opened(target())
      await writer.write(RecordBatch.fromRows(typed, [['1', 'a']]), writeContext)
      await write(writer, [{ id: 2 }])
      await writer.flush?.(null)
      await writer.commit?.()
      expect(await rows()).toEqual([['1', 'a'], ['2', null]]) // biome-ignore format: one line
    })

    test.each([
      [{ mode: 'upsert', key: 'nmae' }, 'Expected records with the column `nmae` of the key, got id, name.'],
      [{ columns: { nmae: 'name' } }, 'got none for `name`'],
      [{ table: 'nowhere.t' }, 'SQLSTATE 3F000'],
    ] as const)('%j', async (options, message) => {
      const writing = (async () => {
        const writer = await opened(target(options))
        await writer.write(RecordBatch.fromRows(typed, [['1', 'a']]), writeContext)
      })()
      await expect(writing).rejects.toMatchObject({ code: 'target', message: expect.stringContaining(message) })
    })
  })
})
