import { setTimeout } from 'node:timers/promises'
import {
  errorMessages,
  type IngestionJob,
  isTransient,
  JobError,
  type JobRecord,
  JobRegistry,
  type JobStorage,
  memoryStorage,
  newExecutionId,
  type OpenContext,
  RecordBatch,
  type Target,
  type TargetWriter,
  type WriteContext,
} from 'headgate'
import { postgresDatasource } from 'headgate/datasource/postgres'
import { type PostgresTargetOptions, postgresTarget } from 'headgate/target/postgres'
import { type TargetRecord, targetSuite } from 'headgate/testing'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'

describePostgres('conformance', (database) => {
  let pool: pg.Pool
  beforeAll(() => {
    pool = new pg.Pool({ connectionString: database.url })
    pool.on('error', () => undefined)
  })
  afterAll(() => pool.end())

  describe.each([{ mode: 'insert' }, { mode: 'upsert', key: 'id' }] as const)('$mode', (mode) => {
    targetSuite({
      test,
      async create() {
        await pool.query(
          'drop table if exists suite, headgate_checkpoint; create table suite (id int primary key, text text, nested json)',
        )
        return {
          target: withJsonText(postgresTarget({ pool, table: 'suite', ...mode })),
          read: async () => (await pool.query('select * from suite order by id')).rows,
        }
      },
      cannot: { replace: 'it appends only' },
    })
  })
})

describePostgres('a table of Postgres', (database) => {
  let pool: pg.Pool
  beforeAll(() => {
    pool = new pg.Pool({ connectionString: database.url })
    pool.on('error', () => undefined)
  })
  afterAll(() => pool.end())
  beforeEach(() =>
    pool.query(
      'drop table if exists t, headgate_checkpoint; create table t (id int primary key, name text, note text)',
    ),
  )

  const target = (more: Partial<PostgresTargetOptions> = {}) => postgresTarget({ pool, table: 't', ...more })
  const upsert = { mode: 'upsert', key: 'id' } as const

  async function rows(query = 'select * from t order by id'): Promise<unknown[]> {
    return (await pool.query({ text: query, rowMode: 'array' })).rows
  }

  /** How many transactions are open, beside the one that asks. */
  async function openTransactions(): Promise<number> {
    const { rows } = await pool.query(`select count(*)::int as count from pg_stat_activity
      where datname = current_database() and xact_start is not null and pid <> pg_backend_pid()`)
    return rows[0].count
  }

  /** Writes records in one transaction. */
  async function complete(to: Target, ...batches: JobRecord[][]): Promise<void> {
    const writer = await opened(to)
    for (const batch of batches) await write(writer, batch)
    await writer.flush?.(null)
    await writer.commit?.()
  }

  describe('is told by options', () => {
    test.each([
      [{}, '`options` to be an object with either `pool` or `connectionString`'],
      [{ connectionString: 'x', pool: {} }, '`pool` to be an object with the method `connect`'],
      [{ connectionString: 'x', table: '' }, '`table` to be `name`, `schema.name` or an object with `name`'],
      [{ connectionString: 'x', table: 'a.b.c' }, '`table`'],
      [{ connectionString: 'x', mode: 'merge' }, '`mode` to be one of `insert`, `upsert`'],
      [
        { connectionString: 'x', mode: 'upsert' },
        '`key` to be there with the mode `upsert`, and only then, got nothing',
      ],
      [{ connectionString: 'x', key: 'id' }, '`key`'],
      [{ connectionString: 'x', mode: 'upsert', key: [] }, '`key` to be the name of a column, or an array'],
      [{ connectionString: 'x', columns: {} }, '`columns`'],
      [
        { connectionString: 'x', columns: { a: 'x', b: 'x' } },
        "`columns` to be an object with names of the table's columns",
      ],
      [{ connectionString: 'x', createTable: true }, '`createTable`'],
    ])('%j is refused', (options, message) => {
      expect(() => postgresTarget({ table: 't', ...options } as PostgresTargetOptions)).toThrow(message)
    })

    test('a connection string is enough, and its connection is closed in the end', async () => {
      const before = (await rows('select from pg_stat_activity')).length
      const writer = await postgresTarget({ connectionString: database.url, table: 'public.t' }).open(context())
      await write(writer, [{ id: 1 }])
      await writer.flush?.(null)
      await writer.commit?.()
      expect(await rows()).toEqual([[1, null, null]])
      await vi.waitFor(async () => expect(await rows('select from pg_stat_activity')).toHaveLength(before))
    })

    test('names may be anything', async () => {
      await pool.query(
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
        await pool.query(`truncate t; alter table t alter note set default 'none'`)
        await complete(target(mode), [{ id: 1, name: 'a' }], [{ id: 2, note: 'b' }, { id: 3 }], [{ id: 4, name: 'd' }])
        expect(await rows()).toEqual([[1, 'a', 'none'], [2, null, 'b'], [3, null, null], [4, 'd', 'none']]) // biome-ignore format: one line
      }
    })
  })

  describe('upsert', () => {
    test('adds what is new, changes what is there, and leaves other columns alone', async () => {
      await pool.query(`insert into t values (1, 'old', 'kept'), (2, 'old', 'kept')`)
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
      await pool.query('create unique index on t (name, note); alter table t alter id add generated always as identity')
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
      const { rows: found } = await pool.query(`select from pg_class where relname = 'headgate_staging'`)
      expect(found).toEqual([])
    })

    test.each([
      [{ key: 'name' }, [{ id: 1 }], 'a unique index on ("name")'],
      [{ key: 'nmae' }, [{ id: 1 }], 'Expected `public.t` to have the column `nmae` of the key.'],
      [{ key: 'id' }, [{ name: 'x' }], 'Expected records with the column `id` of the key, got name.'],
    ])('%j with %j is an error that says why', async ({ key }, records, message) => {
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
      await pool.query('alter table t add twice int generated always as (id * 2) stored')
      for (const name of ['nmae', 'twice']) {
        await expect(complete(target(), [{ id: 1, [name]: 1 }])).rejects.toMatchObject({
          code: 'target',
          message: `Expected \`public.t\` to have a column \`${name}\` that can be written, got id, name, note: say in \`columns\` what goes where.`,
        })
      }
    })

    test('a row that is refused is an error with its SQLSTATE and the words of the server', async () => {
      const error = await complete(target(), [{ id: 1 }, { id: 'one' }]).then(undefined, (error: unknown) => error)
      expect(errorMessages(error)).toEqual([
        'Could not write to `public.t` (SQLSTATE 22P02).',
        'invalid input syntax for type integer: "one"',
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
      await pool.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where query like 'begin%copy % from stdin'`,
      )
      const failing = (async () => {
        for (let id = 2; id < 100_000; id++) await write(writer, [{ id }])
      })()
      expect(isTransient(await failing.then(undefined, (error: unknown) => error))).toBe(true)
      await writer.abort?.('over')
      expect(await rows()).toEqual([])
    })

    test('connections that broke while nobody used them are passed over', async () => {
      const idle = await Promise.all([1, 2, 3].map(() => pool.connect()))
      for (const client of idle) client.release()
      await pool.query(
        'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
      )
      await complete(target(), [{ id: 1 }])
      expect(await rows()).toHaveLength(1)
    })
  })

  describe.each([{}, upsert])('the fence (%j)', (mode) => {
    const first = context()
    const later = context()

    test('nothing shows before the flush, and all of it after', async () => {
      const writer = await opened(target(mode))
      await write(writer, [{ id: 1 }])
      expect(await rows()).toEqual([])
      await writer.flush?.({ at: 1 })
      expect(await rows()).toHaveLength(1)
      expect(await rows('select checkpoint from headgate_checkpoint')).toEqual([[{ at: 1 }]])
      await writer.commit?.()
    })

    test('an execution finds the checkpoint of the one before it', async () => {
      const writer = await opened(target(mode))
      expect(writer.checkpoint).toBeUndefined()
      await write(writer, [{ id: 1 }])
      const checkpoint = { lastId: 'é"\0\ud800', list: [1] }
      await writer.flush?.(checkpoint)
      await writer.abort?.('over')
      expect((await opened(target(mode))).checkpoint).toEqual(checkpoint)
      expect((await opened(target(mode), { id: 'another' })).checkpoint).toBeUndefined()
    })

    test('an execution that a later one has followed cannot commit what it has written', async () => {
      const zombie = await opened(target(mode), first)
      await write(zombie, [{ id: 1, name: 'zombie' }])
      const next = await opened(target(mode), later)
      // The zombie's row would be in the way of the same one, were its transaction still there.
      await write(next, [{ id: 1, name: 'next' }])
      await next.flush?.({ at: 1 })
      await expect(zombie.flush?.({ at: 9 })).rejects.toMatchObject({ code: 'target' })
      await zombie.abort?.(new JobError('lease_lost', 'lost'))
      await next.commit?.()
      expect(await rows()).toEqual([[1, 'next', null]])
      expect(await rows('select checkpoint from headgate_checkpoint')).toEqual([[{ at: 1 }]])
    })

    test('nor can one that begins its transaction later, or is not seen to have one', async () => {
      const zombies = [
        await opened(target(mode), first),
        await opened(target(mode), first),
        await opened(target(mode), first),
      ]
      const [begun, fresh, idle] = zombies as [TargetWriter, TargetWriter, TargetWriter]
      await write(begun, [{ id: 1, name: 'zombie' }])
      // As if it were done by a role that may not end it.
      await pool.query('update headgate_checkpoint set execution = $1', [later.executionId])
      const lost = { code: 'lease_lost', message: expect.stringContaining('A later execution of job [ingestion/job]') }
      await expect(begun.flush?.({ at: 9 })).rejects.toMatchObject(lost)
      await begun.abort?.('over')
      const freshRun = write(fresh, [{ id: 2 }]).then(() => fresh.flush?.({ at: 9 }))
      await expect(freshRun).rejects.toMatchObject(lost)
      await expect(idle.flush?.({ at: 9 })).rejects.toMatchObject(lost)
      await expect((async () => target(mode).open(first))()).rejects.toMatchObject(lost)
      for (const zombie of zombies) await zombie.abort?.(new JobError('lease_lost', 'lost'))
      expect(await rows()).toEqual([])
      expect(await rows('select checkpoint from headgate_checkpoint')).toEqual([[null]])
      expect(await openTransactions()).toBe(0)
    })

    test('an earlier execution ends nothing of a later one', async () => {
      const next = await opened(target(mode), later)
      await write(next, [{ id: 1 }])
      await expect((async () => target(mode).open(first))()).rejects.toMatchObject({ code: 'lease_lost' })
      await next.flush?.({ at: 1 })
      await next.commit?.()
      expect(await rows()).toHaveLength(1)
    })

    test('jobs of other ids write to the table at the same time', async () => {
      const writers = await Promise.all(['a', 'b', 'c'].map((id) => opened(target(mode), { id })))
      for (const [id, writer] of writers.entries()) await write(writer, [{ id }])
      for (const writer of writers) await writer.flush?.(null)
      for (const writer of writers) await writer.commit?.()
      expect(await rows()).toHaveLength(3)
    })
  })

  describe('a job', () => {
    const numbers = `select n as id, 'name ' || n as name from generate_series(1, 1000) n {{#last_id}}where n > {{last_id}}::int{{/last_id}} order by 1`
    const copy = (more: Partial<IngestionJob> = {}): IngestionJob => ({
      id: 'job',
      datasource: postgresDatasource({ pool }),
      query: numbers,
      pkField: 'id',
      batchSize: 50,
      target: target(),
      ...more,
    })
    let registry: JobRegistry
    let storage: JobStorage
    const reopen = async () => {
      await registry?.close()
      registry = new JobRegistry({ storage, progressInterval: 20 })
    }
    beforeEach(() => {
      storage = memoryStorage()
      return reopen()
    })
    afterEach(() => registry.close())

    const run = async (more: Partial<IngestionJob> = {}) => {
      await reopen()
      registry.define(copy(more))
      return (await registry.start('ingestion', 'job')).finished
    }

    test('goes on where the target stands when its storage is lost', async () => {
      expect(await run({ records: 300 })).toMatchObject({ state: 'successful', count: 300, lastId: '300' })
      for (const epochs of [1, 2]) {
        storage = memoryStorage()
        expect(await run({ records: 200 }), `${epochs}`).toMatchObject({ state: 'successful', count: 200 })
      }
      expect(await run()).toMatchObject({ state: 'successful', count: 300, lastId: '1000' })
      expect(await run()).toMatchObject({ state: 'successful', count: 0, lastId: '1000' })
      expect(await rows('select count(*)::int, max(id) from t')).toEqual([[1000, 1000]])
    })

    test('begins anew with `resume: restart`, which takes the checkpoint away', async () => {
      await run({ records: 300 })
      expect(await run({ resume: 'restart', target: target(upsert) })).toMatchObject({ count: 1000 })
      expect(await rows('select checkpoint from headgate_checkpoint')).toEqual([[null]])
    })

    test('leaves no transaction open while its datasource is slow', async () => {
      const query = `select n as id, case when n > 50 then pg_sleep(60)::text end as note from generate_series(1, 100) n order by 1`
      registry.define(copy({ query }))
      await registry.start('ingestion', 'job')
      await vi.waitFor(async () => expect(await rows()).toHaveLength(50))
      expect(await openTransactions()).toBe(1)
      expect(await registry.abort('ingestion', 'job')).toMatchObject({ state: 'aborted', count: 50, lastId: '50' })
      expect(await openTransactions()).toBe(0)
    })

    test.each([{}, upsert])('that waits for a lock is aborted at once, and lets the server go (%j)', async (mode) => {
      const blocker = await pool.connect()
      await blocker.query(`begin; insert into t values (500, 'in the way')`)
      registry.define(copy({ target: target(mode) }))
      const { finished } = await registry.start('ingestion', 'job')
      await vi.waitFor(async () =>
        expect(await rows(`select from pg_stat_activity where wait_event_type = 'Lock'`)).toHaveLength(1),
      )
      const began = performance.now()
      await registry.abort('ingestion', 'job')
      expect(await finished).toMatchObject({ state: 'aborted' })
      expect(performance.now() - began).toBeLessThan(300)
      await vi.waitFor(async () => expect(await openTransactions()).toBe(1))
      await blocker.query('rollback')
      blocker.release()
      const { count } = await finished
      expect(await rows('select count(*)::int from t')).toEqual([[count]])
      expect(await run({ target: target(mode) })).toMatchObject({ state: 'successful', count: 1000 - count })
      expect(await rows('select count(*)::int, max(id) from t')).toEqual([[1000, 1000]])
    })

    test.each([{}, upsert])('outlives that its connections are ended again and again (%j)', async (mode) => {
      const query = `select n as id, case when n % 50 = 0 then pg_sleep(0.005)::text end as note
        from generate_series(1, 5000) n {{#last_id}}where n > {{last_id}}::int{{/last_id}} order by 1`
      registry.define(copy({ query, target: target(mode), resume: 'auto', retry: { delay: 5, limit: 100 } }))
      const { finished } = await registry.start('ingestion', 'job')
      let isOver = false
      void finished.then(() => {
        isOver = true
      })
      const admin = new pg.Client({ connectionString: database.url })
      await admin.connect()
      let ended = 0
      while (!isOver) {
        // Ever slower: a machine that is busy must come on too.
        await setTimeout(40 + Math.random() * 60 + ended * 2)
        const { rowCount } = await admin.query(`select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and pid <> pg_backend_pid()`)
        ended += rowCount ?? 0
      }
      const { rows: found } = await admin.query('select count(*)::int, count(distinct id)::int as distinct from t')
      await admin.end()
      expect(ended).toBeGreaterThan(5)
      expect(await finished).toMatchObject({ state: 'successful', count: 5000, lastId: '5000' })
      expect(found).toEqual([{ count: 5000, distinct: 5000 }])
    })
  })

  const openWriters: TargetWriter[] = []
  afterEach(async () => {
    for (const writer of openWriters.splice(0)) await writer.abort?.('over')
  })

  async function opened(to: Target, more: Partial<OpenContext> = {}): Promise<TargetWriter> {
    const writer = await to.open({ ...context(), ...more })
    openWriters.push(writer)
    return writer
  }
})

const job = { type: 'ingestion', id: 'job' }
const writeContext: WriteContext = {
  ...job,
  executionId: 'job-0',
  signal: new AbortController().signal,
  idempotencyKey: 'job:0',
}

/** How a job opens the target: every call is another execution, later than the ones before. */
function context(): OpenContext {
  const executionId = newExecutionId('job', Date.now())
  const { signal } = new AbortController()
  return { ...job, executionId, signal, position: undefined, isResumed: false, isResumable: true }
}

async function write(writer: TargetWriter, records: JobRecord[]): Promise<void> {
  await writer.write(RecordBatch.fromRecords(records), writeContext)
}

/** Text for a column of JSON is JSON: the suite's objects have strings that are to be JSON strings. */
function withJsonText(target: Target): Target {
  const jsonText = (record: TargetRecord) =>
    typeof record.nested === 'string' ? { ...record, nested: JSON.stringify(record.nested) } : record
  return {
    ...target,
    async open(context) {
      const writer = await target.open(context)
      return {
        checkpoint: writer.checkpoint,
        write: (batch, context) =>
          writer.write(
            batch.isRaw ? batch : RecordBatch.fromRecords((batch.records() as TargetRecord[]).map(jsonText)),
            context,
          ),
        flush: async (checkpoint) => writer.flush?.(checkpoint),
        commit: async () => writer.commit?.(),
        abort: async (reason) => writer.abort?.(reason),
      }
    },
  }
}
