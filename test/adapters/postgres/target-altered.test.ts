import { errorMessages, isTransient } from 'headgate'
import { type EncodedRows, RecordBatch } from 'headgate/adapter'
import pg from 'pg'
import { beforeEach, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { context, targetTests, write, writeContext } from './target-support.js'

const message = '`public.t` was altered, renamed or recreated while the job wrote to it: run the job again.'

describePostgres('a table of Postgres that is altered beside a run', (database) => {
  const tests = targetTests(database)
  const { target, opened, rows } = tests
  beforeEach(() =>
    tests.pool.query(`drop table if exists t, other, headgate_checkpoint;
      create table t (id int primary key, v float8, more int)`),
  )

  const upsert = { mode: 'upsert', key: 'id' } as const

  const changes = [
    'alter table t alter v type int8',
    'alter table t alter v type numeric(9, 2)',
    'alter table t drop more',
    'alter table t add extra int',
    'alter table t rename v to more_than_v',
    'alter table t rename v to w; alter table t rename more to v; alter table t rename w to more',
    'alter table t rename to other',
    'alter table t rename to other; create table t (like other including all)',
    'alter table t alter id add generated always as identity',
    'drop table t',
    'drop table t; create table t (id int primary key, v float8, more int)',
  ]

  test.each(changes.flatMap((change) => [{}, upsert, { connections: 2 as const }].map((mode) => ({ change, mode }))))(
    'fails the run at its next transaction: $change ($mode)',
    async ({ change, mode }) => {
      const writer = await opened(target(mode))
      await write(writer, [{ id: 1, v: 1 }])
      await writer.flush?.({ at: 1 })
      await tests.pool.query(change)
      const failing = (async () => {
        for (let id = 2; id < 6; id++) {
          await write(writer, [{ id, v: id }])
          await writer.flush?.({ at: id })
        }
      })()
      const error = await failing.then(undefined, (error: unknown) => error)
      expect(errorMessages(error)[0]).toBe(message)
      expect(isTransient(error)).toBe(true)
    },
  )

  test.each(
    ['drop table t', 'alter table t rename to other', 'alter table t rename v to w', 'alter table t drop v'].flatMap(
      (change) => (['rows', 'rename'] as const).map((swap) => ({ change, swap })),
    ),
  )('fails a replacement with an error that passes: $change ($swap)', async ({ change, swap }) => {
    const writer = await opened(target({ strategy: 'replace', swap }))
    await write(writer, [{ id: 1, v: 1 }])
    await writer.flush?.({ at: 1 })
    await tests.pool.query(change)
    const error = await writer.commit?.().then(undefined, (error: unknown) => error)
    expect(errorMessages(error)[0]).toMatch(/was altered.*: run the job again/)
    expect(isTransient(error)).toBe(true)
  })

  test.each([{}, upsert, { connections: 2 as const }])(
    'moves no checkpoint once it was made anew behind the last record (%j)',
    async (mode) => {
      const writer = await opened(target(mode))
      await write(writer, [{ id: 1, v: 1 }])
      await writer.flush?.({ at: 1 })
      await tests.pool.query('drop table t; create table t (id int primary key, v float8, more int)')
      const ending = (async () => {
        await writer.flush?.({ at: 'end' })
        await writer.flush?.({ at: 'end' })
      })()
      const error = await ending.then(undefined, (error: unknown) => error)
      expect(errorMessages(error)[0]).toBe(message)
      expect(isTransient(error)).toBe(true)
      expect(await rows('select checkpoint from headgate_checkpoint')).toMatchObject([[{ at: 1 }]])
    },
  )

  test.each(['pair', 'pair[]', 'known_pair', 'pair_of_pairs'])(
    'is altered, too, when a composite type in it is: values of a column of the type %s are read by place',
    async (type) => {
      await tests.pool.query(`drop type if exists pair, pair_of_pairs cascade; create type pair as (a text, b text);
        create domain known_pair as pair; create type pair_of_pairs as (one pair); alter table t add c ${type}`)
      const writer = await opened(target())
      await write(writer, [{ id: 1, v: 1 }])
      await writer.flush?.({ at: 1 })
      await tests.pool.query('alter type pair drop attribute a, add attribute c text')
      const failing = (async () => {
        await write(writer, [{ id: 2, v: 2 }])
        await writer.flush?.({ at: 2 })
      })()
      await expect(failing).rejects.toMatchObject({ message })
    },
  )

  test.each([
    { options: {}, more: {} },
    { options: upsert, more: {} },
    { options: {}, more: { toleratesFailures: true } },
    { options: upsert, more: { toleratesFailures: true } },
    { options: { strategy: 'replace' as const }, more: { toleratesFailures: true } },
  ])('is not told from a record that does not fit: $options, $more', async ({ options, more }) => {
    const writer = await opened(target(options), more)
    await write(writer, [{ id: 1, v: 1 }])
    await writer.flush?.({ at: 1 })
    await tests.pool.query('alter table t add extra int')
    const error = await write(writer, [{ id: 2, v: 2, extra: 7 }]).then(undefined, (error: unknown) => error)
    expect(errorMessages(error)[0]).toBe(message)
    expect([isTransient(error), writer.isBroken]).toEqual([true, true])
  })

  test('takes values for the columns that it has now, or none', async () => {
    const writer = await opened(target(), { toleratesFailures: true })
    await write(writer, [{ id: 1, v: 1 }])
    await writer.flush?.({ at: 1 })
    await tests.pool.query('alter table t alter v type jsonb using null')
    await expect(write(writer, [{ id: 2, v: { a: 1 } }])).rejects.toMatchObject({ message })
    expect(writer.isBroken).toBe(true)
  })

  test('is a matter of another try', async () => {
    const writer = await opened(target())
    await tests.pool.query('alter table t alter v type int8')
    const failing = write(writer, [{ id: 1, v: 1 }]).then(() => writer.flush?.(null))
    expect(isTransient(await failing.then(undefined, (error: unknown) => error))).toBe(true)
  })

  test('never takes the bytes of one type for those of another', async () => {
    const columns = [{ name: 'v', type: 'float', sqlType: 'double precision' }] as const
    const writer = await opened(target())
    expect(writer.acceptsEncoded?.('postgres-binary', columns)).toBe(true)
    await tests.pool.query(
      'alter table t alter v type int8, drop constraint t_pkey; alter table t alter id drop not null',
    )
    const row = Buffer.from('0001000000083ff0000000000000', 'hex')
    const encoded: EncodedRows = {
      format: 'postgres-binary',
      length: 1,
      chunks: [row],
      rows: () => [[1]],
      values: () => [1],
      lastValue: () => 1,
      slice: () => encoded,
    }
    const failing = (async () => {
      await writer.write(RecordBatch.fromEncoded(columns, encoded), writeContext)
      await writer.flush?.(null)
    })()
    await expect(failing).rejects.toMatchObject({ message })
    expect(await rows('select v from t')).toEqual([])
  })

  test('waits until the transaction ends', async () => {
    const writer = await opened(target())
    await write(writer, [{ id: 1, v: 1 }])
    await expect.poll(() => rows(`select from pg_locks where relation = 't'::regclass and granted`)).not.toEqual([])
    let isAltered = false
    const altering = tests.pool.query('alter table t alter v type int8').then(() => {
      isAltered = true
    })
    await write(writer, [{ id: 2, v: 2 }])
    expect(isAltered).toBe(false)
    await writer.flush?.(null)
    await altering
    expect(await rows('select id, v from t order by id')).toEqual([[1, '1'], [2, '2']]) // biome-ignore format: one line
  })

  test.each([
    'analyze t',
    'vacuum full t',
    'create index on t (v)',
    'alter table t alter more set default 5',
    `comment on table t is 'x'`,
    'alter table t alter v set statistics 500',
    'alter table t set (fillfactor = 50)',
  ])('does not mind: %s', async (change) => {
    const writer = await opened(target())
    await write(writer, [{ id: 1, v: 1 }])
    await writer.flush?.({ at: 1 })
    await tests.pool.query(change)
    await write(writer, [{ id: 2, v: 2 }])
    await writer.flush?.(null)
    await writer.commit?.()
    expect(await rows('select id from t order by id')).toEqual([[1], [2]])
  })

  test('is written by a role that may write columns alone, which may not lock it', async () => {
    await tests.pool.query(`drop role if exists headgate_columns; create role headgate_columns;
      grant create, usage on schema public to headgate_columns; grant insert (id, v) on t to headgate_columns`)
    const pool = new pg.Pool({ connectionString: database.url, options: '-c role=headgate_columns' })
    try {
      await tests.complete(target({ pool }), [{ id: 1, v: 1 }])
      expect(await rows('select id from t')).toEqual([[1]])
    } finally {
      await pool.end()
      await tests.pool.query('drop owned by headgate_columns; drop role headgate_columns')
    }
  })

  test('a temporary table that comes before it is refused', async () => {
    const pool = new pg.Pool({ connectionString: database.url, max: 1 })
    try {
      await pool.query('create temporary table t (id int)')
      for (const more of [{}, upsert, { strategy: 'replace' as const }, { table: 'pg_temp.t' }]) {
        await expect(target({ pool, ...more }).open(context())).rejects.toMatchObject({
          code: 'target',
          message: expect.stringMatching(/^Expected `pg_temp_\d+\.t` to be a permanent table, found a temporary one/),
        })
      }
      await tests.complete(target({ pool, table: 'public.t' }), [{ id: 1, v: 1 }])
      expect(await rows('select id from public.t')).toEqual([[1]])
    } finally {
      await pool.end()
    }
  })

  test('what is no table is refused', async () => {
    await tests.pool.query(`drop materialized view if exists seen; drop sequence if exists counted;
      create materialized view seen as select 1 as id; create sequence counted`)
    for (const [
      table,
      kind,
    ] of [['seen', 'a materialized view'], ['counted', 'a sequence'], ['t_pkey', 'an index']] as const) // biome-ignore format: one line
      await expect(target({ table }).open(context())).rejects.toMatchObject({
        code: 'target',
        message: `Expected \`public.${table}\` to be a table, found ${kind}.`,
      })
  })
})
