import { errorMessages, isTransient, type Target } from 'headgate'
import { RecordBatch } from 'headgate/adapter'
import { type PostgresTargetOptions, postgresDatasource, postgresTarget } from 'headgate/postgres'
import { type TargetRecord, targetSuite } from 'headgate/testing'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { WriteSession } from '../../../src/adapters/postgres/client/write-session.js'
import { findTable } from '../../../src/adapters/postgres/table/table.js'
import { describePostgres } from '../../support/describe-postgres.js'
import { context, targetTests, write, writeContext } from './target-support.js'

describePostgres('conformance', (database) => {
  let pool: pg.Pool
  beforeAll(() => {
    pool = new pg.Pool({ connectionString: database.url })
    pool.on('error', () => undefined)
  })
  afterAll(() => pool.end())

  describe.each([
    { mode: 'insert' },
    { mode: 'upsert', key: 'id' },
    { mode: 'insert', connections: 2 },
    { mode: 'upsert', key: 'id', connections: 2 },
    { strategy: 'replace' },
    { strategy: 'replace', swap: 'rename' },
  ] as const)('%j', (options) => {
    const able = 'strategy' in options ? 'replace' : 'append'
    const targetOf = (table: string) =>
      postgresTarget({
        ...{ pool, table, createTable: true, ...options },
        ...(able === 'replace' ? { maxShrink: 1 } : { onFullRefresh: 'truncate' }),
      } as PostgresTargetOptions)
    targetSuite({
      test,
      async create() {
        await pool.query(
          'drop table if exists suite, headgate_checkpoint; create table suite (id int primary key, text text, nested json)',
        )
        return {
          target: withJsonText(targetOf('suite')),
          read: async () => (await pool.query('select * from suite order by id')).rows,
          refused: (id) => ({ id, text: 'no \0 in Postgres', nested: null }),
          encoded: (records) => encodedBatch(pool, records),
          empty: async () => void (await pool.query('truncate suite')),
          drop: async () => void (await pool.query('drop table suite')),
          unrefreshable: async () => {
            await pool.query(`drop table if exists blocked cascade; create table blocked (id int primary key);
              create table if not exists refers (id int); alter table refers add foreign key (id) references blocked;
              create rule kept as on delete to blocked do instead nothing`)
            return targetOf('blocked')
          },
          unusable: () => postgresTarget({ pool, table: 'nowhere' }),
          disconnect: async () => void (await pool.query(disconnectAll)),
        }
      },
      unsupported: {
        writesIdempotently: 'it writes atomically',
        ...(able === 'append' ? { replace: 'it appends only' } : { append: 'it replaces only' }),
        ...(!('connections' in options) && { writesDuringFlush: 'it has one connection' }),
      },
    })
  })
})
describePostgres('a table of Postgres', (database) => {
  const tests = targetTests(database)
  const { target, rows, opened, complete } = tests
  beforeEach(() =>
    tests.pool.query(
      'drop table if exists t, headgate_checkpoint; create table t (id int primary key, name text, note text)',
    ),
  )
  const upsert = { mode: 'upsert', key: 'id' } as const

  describe('is told by options', () => {
    test.each([
      [{}, '`options` to be an object with either `pool` or `connectionString`'],
      [{ connectionString: 'x', pool: {} }, '`pool` to be an object with the method `connect`'],
      [{ connectionString: 'x', table: '' }, '`table` to be `name`, `schema.name` or an object with `name`'],
      [{ connectionString: 'x', table: 'a.b.c' }, '`table`'],
      [
        { connectionString: 'x', table: { name: 'ü'.repeat(32) } },
        'Expected `table.name` to be a name of 1 to 63 bytes',
      ],
      [{ connectionString: 'x', table: 'ü'.repeat(32) }, 'each a name of 1 to 63 bytes in UTF-8 without NUL'],
      [{ connectionString: 'x', table: { name: 'x'.repeat(64) } }, '`table.'],
      [{ connectionString: 'x', table: { schema: 'x'.repeat(64), name: 't' } }, '`table.'],
      [{ connectionString: 'x', table: { schema: '', name: 't' } }, '`table.'],
      [{ connectionString: 'x', table: { name: 'a\0b' } }, '`table.'],
      [{ connectionString: 'x', table: { name: '\ud800' } }, '`table.'],
      [{ connectionString: 'x', checkpoints: 'x'.repeat(64) }, '`checkpoints`'],
      [{ connectionString: 'x', mode: 'upsert', key: ['id', 'x'.repeat(64)] }, '`key`'],
      [{ connectionString: 'x', columns: { id: 'x'.repeat(64) } }, '`columns`'],
      [{ connectionString: 'x', mode: 'merge' }, '`mode` to be one of `insert`, `upsert`'],
      [
        { connectionString: 'x', mode: 'upsert' },
        "`key` to be the columns by which `upsert` finds the row of a record, such as `key: 'id'`, got nothing",
      ],
      [{ connectionString: 'x', key: 'id' }, '`key` to be absent unless `mode` is `upsert` or `createTable` is set'],
      [{ connectionString: 'x', mode: 'upsert', key: [] }, '`key` to be the name of a column, or an array'],
      [{ connectionString: 'x', columns: {} }, '`columns`'],
      [
        { connectionString: 'x', columns: { a: 'x', b: 'x' } },
        "`columns` to be an object with names of the table's columns",
      ],
      [{ connectionString: 'x', createTable: 'yes' }, '`createTable` to be true or false'],
      [{ connectionString: 'x', strategy: 'merge' }, '`strategy` to be one of `append`, `replace`'],
      [{ connectionString: 'x', strategy: 'replace', mode: 'upsert', key: 'id' }, '`mode` to be `insert` with'],
      [{ connectionString: 'x', strategy: 'replace', key: 'id' }, '`key`'],
      [{ connectionString: 'x', strategy: 'replace', swap: 'drop' }, '`swap` to be one of `rows`, `rename`'],
      [{ connectionString: 'x', strategy: 'replace', maxShrink: 1.1 }, '`maxShrink` to be a number from 0 to 1'],
      [{ connectionString: 'x', strategy: 'replace', maxShrink: Number.NaN }, '`maxShrink`'],
      [
        { connectionString: 'x', strategy: 'replace', lockTimeout: 0 },
        '`lockTimeout` to be a whole number of milliseconds from 1',
      ],
      [{ connectionString: 'x', maxShrink: 0.5 }, '`maxShrink` to be absent without the strategy `replace`, got `0.5`'],
      [{ connectionString: 'x', swap: 'rows' }, '`swap`'],
      [{ connectionString: 'x', gzip: true }, '`gzip`'],
    ])('%j is refused', (options, message) => {
      expect(() => postgresTarget({ table: 't', ...options } as PostgresTargetOptions)).toThrow(message)
    })

    test('a connection string is enough, and its connection is closed in the end', async () => {
      const url = new URL(database.url)
      url.searchParams.set('application_name', 'is-closed')
      const open = () => rows(`select from pg_stat_activity where application_name = 'is-closed'`)
      const { writer } = await postgresTarget({ connectionString: url.href, table: 'public.t' }).open(context())
      expect(await open()).toHaveLength(1)
      await write(writer, [{ id: 1 }])
      await writer.flush?.(null)
      await writer.commit?.()
      expect(await rows()).toEqual([[1, null, null]])
      await vi.waitFor(async () => expect(await open()).toEqual([]))
    })

    test('a table is found also when it is swapped for another one in that moment', async () => {
      let isSwapped = false
      const query = async (text: string) => {
        if (!isSwapped && text.includes('attrelid')) {
          isSwapped = true
          await tests.pool.query('create table other (like t); drop table t; alter table other rename to t')
        }
        return (await tests.pool.query(text)).rows
      }
      const table = await findTable({ query, queryUntimed: query } as unknown as WriteSession, { name: 't' })
      expect(isSwapped).toBe(true)
      expect([...(table?.columns.keys() ?? [])]).toContain('id')
    })

    test('names may be anything', async () => {
      await tests.pool.query(
        'drop schema if exists "a.b" cascade; create schema "a.b"; create table "a.b"."T ""x""" ("Id.""" int)',
      )
      const table = { schema: 'a.b', name: 'T "x"' }
      await complete(target({ table, checkpoints: 'public.my_checkpoints', columns: { id: 'Id."' } }), [
        { id: 1, name: 'a' },
      ])
      expect(await rows('select * from "a.b"."T ""x"""')).toEqual([[1]])
      expect(await rows('select type, id, target from my_checkpoints')).toEqual([['ingestion', 'job', 'a.b.T "x"']])
    })

    test('columns are mapped, in raw rows and in objects', async () => {
      const writer = await opened(target({ columns: { a: 'name', key: 'id' } }))
      const columns = ['key', 'left out', 'a'].map((name) => ({ name, type: 'text' }) as const)
      await writer.write(RecordBatch.fromRows(columns, [['1', 'x', 'raw']]), writeContext)
      await write(writer, [{ a: 'object', key: 2, more: 1 }, { key: 3 }])
      await write(writer, [{ key: 4 }])
      await writer.flush?.(null)
      await writer.commit?.()
      expect(await rows()).toEqual([[1, 'raw', null], [2, 'object', null], [3, null, null], [4, null, null]]) // biome-ignore format: one line
    })

    test('batches may have different columns in one transaction', async () => {
      for (const mode of [{}, upsert]) {
        await tests.pool.query(`truncate t; alter table t alter note set default 'none'`)
        await complete(target(mode), [{ id: 1, name: 'a' }], [{ id: 2, note: 'b' }, { id: 3 }], [{ id: 4, name: 'd' }])
        expect(await rows()).toEqual([[1, 'a', 'none'], [2, null, 'b'], [3, null, 'none'], [4, 'd', 'none']]) // biome-ignore format: one line
      }
    })
  })

  describe('upsert', () => {
    test('adds what is new, changes what is there, and leaves other columns alone', async () => {
      await tests.pool.query(`insert into t values (1, 'old', 'kept'), (2, 'old', 'kept')`)
      await complete(target(upsert), [
        { id: 2, name: 'new' },
        { id: 3, name: 'new' },
      ])
      expect(await rows()).toEqual([[1, 'old', 'kept'], [2, 'new', 'kept'], [3, 'new', null]]) // biome-ignore format: one line
    })

    test('the last record of a key wins, also within one batch', async () => {
      const records = Array.from({ length: 5000 }, (_, n) => ({ id: n % 7, name: String(n) }))
      await complete(target(upsert), records.slice(0, 3000), records.slice(3000))
      expect(await rows()).toEqual(records.slice(-7).map(({ id, name }) => [id, name, null]).sort()) // biome-ignore format: one line
    })

    test('of a key of several columns, none of which may be null to be the same', async () => {
      await tests.pool.query(
        'create unique index on t (name, note); alter table t alter id add generated always as identity',
      )
      const key = ['note', 'name']
      const records = [
        { name: 'a', note: 'b' },
        { name: 'a', note: null },
        { name: 'a', note: null },
        { name: 'a', note: 'b' },
      ]
      await complete(target({ mode: 'upsert', key }), records)
      expect(await rows('select name, note from t order by note')).toEqual([
        ['a', 'b'],
        ['a', null],
        ['a', null],
      ])
    })

    test('leaves no temporary table on a connection that goes back', async () => {
      await complete(target(upsert), [{ id: 1 }])
      const { rows: found } = await tests.pool.query(`select from pg_class where relname = 'headgate_staging'`)
      expect(found).toEqual([])
    })

    test('writes to a table called `excluded`', async () => {
      await tests.pool.query('drop table if exists excluded; create table excluded (id int primary key, name text)')
      await complete(target({ ...upsert, table: 'excluded' }), [{ id: 1, name: 'a' }])
      await complete(target({ ...upsert, table: 'excluded' }), [{ id: 1, name: 'b' }])
      expect(await rows('select * from excluded')).toEqual([[1, 'b']])
    })

    test.each([
      [{ key: 'name' }, [{ id: 1 }], 'a unique index on ("name")'],
      [{ key: 'late' }, [{ id: 1 }], 'a unique index on ("late") that is not deferrable'],
      [{ key: 'nmae' }, [{ id: 1 }], 'Expected `public.t` to have the column `nmae` of the key.'],
      [{ key: 'id' }, [{ name: 'x' }], 'Expected records with the column `id` of the key, got name.'],
    ])('%j with %j is an error that says why', async ({ key }, records, message) => {
      await tests.pool.query('alter table t add late int unique deferrable')
      const error = await complete(target({ mode: 'upsert', key }), records).then(undefined, (error: unknown) => error)
      expect(error).toMatchObject({ code: 'target', message: expect.stringContaining(message) })
    })
  })

  describe('errors', () => {
    test('a missing table is named', async () => {
      await expect(target({ table: 'other.t' }).open(context())).rejects.toMatchObject({
        code: 'target',
        message: 'Expected a table "other"."t" to write to, found none.',
      })
    })

    test('an unknown or generated column is named, with those that there are', async () => {
      await tests.pool.query('alter table t add twice int generated always as (id * 2) stored')
      for (const name of ['nmae', 'twice']) {
        await expect(complete(target(), [{ id: 1, [name]: 1 }])).rejects.toMatchObject({
          code: 'target',
          message: `Expected \`public.t\` to have a column \`${name}\` that can be written, got id, name, note: map the columns with \`columns\`.`,
        })
      }
    })

    test('a row that is refused is an error with its SQLSTATE and the words of the server', async () => {
      const error = await complete(target(), [{ id: 1 }, { id: 'one' }]).then(undefined, (error: unknown) => error)
      expect(errorMessages(error)).toEqual([
        'Could not write to `public.t` (SQLSTATE 22P02).',
        'invalid input syntax for type integer: "one". At COPY t, line 2, column id: "one".',
      ])
      expect(isTransient(error)).toBe(false)
      expect(await rows()).toEqual([])
    })

    test.each([[Symbol('x')], [() => 1], [new Date(Number.NaN)]])('%s is no value', async (name) => {
      await expect(complete(target(), [{ id: 1, name }])).rejects.toMatchObject({ code: 'target' })
    })

    test('a server that cannot be reached passes', async () => {
      const opening = (async () =>
        postgresTarget({ connectionString: 'postgres://localhost:1/x', table: 't' }).open(context()))()
      const error = await opening.then(undefined, (error: unknown) => error)
      expect(error).toMatchObject({ code: 'target', message: 'Could not reach the server.' })
      expect(isTransient(error)).toBe(true)
    })

    test('a connection that is lost in the middle passes, and nothing of the transaction stays', async () => {
      const writer = await opened(target())
      await write(writer, [{ id: 1 }])
      await tests.pool.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and query like 'begin%headgate_checkpoint%'`,
      )
      const failing = (async () => {
        for (let id = 2; id < 100_000; id++) await write(writer, [{ id }])
      })()
      expect(isTransient(await failing.then(undefined, (error: unknown) => error))).toBe(true)
      await writer.abort?.({ reason: 'over', leaseLost: false })
      expect(await rows()).toEqual([])
    })

    test('connections that broke while nobody used them are passed over', async () => {
      const idle = await Promise.all([1, 2, 3].map(() => tests.pool.connect()))
      for (const client of idle) client.release()
      await tests.pool.query(
        'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
      )
      await complete(target(), [{ id: 1 }])
      expect(await rows()).toHaveLength(1)
    })
  })
})

const disconnectAll =
  'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()'

/** A batch of encoded rows, as Postgres sends them. */
async function encodedBatch(pool: pg.Pool, records: readonly TargetRecord[]): Promise<RecordBatch> {
  const text = 'select * from json_to_recordset($1) as records (id int, text text, nested json)'
  const { signal } = new AbortController()
  const encoded = { accepts: () => true, keys: [] }
  const query = { text, values: [JSON.stringify(records)] }
  const batches = postgresDatasource({ pool }).read(query, { signal, batchSize: 1000, lastId: undefined, encoded })
  for await (const batch of batches) return batch
  throw new TypeError('Expected a batch')
}

/** Text for a column of JSON is JSON: the suite's objects have strings that are to be JSON strings. */
function withJsonText(target: Target): Target {
  const jsonText = (record: TargetRecord) =>
    typeof record.nested === 'string' ? { ...record, nested: JSON.stringify(record.nested) } : record
  return {
    ...target,
    async open(context) {
      const opened = await target.open(context)
      const { writer } = opened
      const write = writer.write.bind(writer)
      writer.write = (batch, context) =>
        write(batch.isRaw ? batch : RecordBatch.fromRecords((batch.records() as TargetRecord[]).map(jsonText)), context)
      return opened
    },
  }
}
