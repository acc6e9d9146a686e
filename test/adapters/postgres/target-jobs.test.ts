import { setTimeout } from 'node:timers/promises'
import { type IngestionJob, JobError, JobRegistry, type JobStorage, memoryStorage } from 'headgate'
import type { TargetWriter } from 'headgate/adapter'
import { postgresDatasource } from 'headgate/postgres'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { context, targetTests, write } from './target-support.js'

describePostgres('a job that writes to Postgres', (database) => {
  const tests = targetTests(database)
  const { target, rows, opened, openTransactions } = tests
  beforeEach(() =>
    tests.pool.query(
      'drop table if exists t, headgate_checkpoint; create table t (id int primary key, name text, note text)',
    ),
  )
  const two = { connections: 2 } as const
  const upsert = { mode: 'upsert', key: 'id' } as const

  describe.each([{}, upsert, two])('the fence (%j)', (mode) => {
    const first = context()
    const later = context()

    test('nothing shows before the flush, and all of it after', async () => {
      const writer = await opened(target(mode))
      await write(writer, [{ id: 1 }])
      expect(await rows()).toEqual([])
      await writer.flush?.({ at: 1 })
      expect(await rows()).toHaveLength(1)
      expect(await rows("select checkpoint->'at' from headgate_checkpoint")).toEqual([[1]])
      await writer.commit?.()
    })

    test('an execution finds the checkpoint of the one before it', async () => {
      const writer = await opened(target(mode))
      expect(writer.resume).toEqual({ checkpoint: null })
      await write(writer, [{ id: 1 }])
      const checkpoint = { lastId: 'é"\0\ud800', list: [1] }
      await writer.flush?.({ ...checkpoint, list: [] })
      await write(writer, [{ id: 2 }])
      await writer.flush?.(checkpoint)
      await writer.abort?.({ reason: 'over', leaseLost: false })
      expect((await opened(target(mode), { isResumed: true, ifReset: 'fail' })).resume).toEqual({ checkpoint })
      expect((await opened(target(mode), { id: 'another' })).resume).toEqual({ checkpoint: null })
    })

    test('an execution that a later one has followed cannot commit what it has written', async () => {
      const zombie = await opened(target(mode), first)
      await write(zombie, [{ id: 1, name: 'zombie' }])
      const next = await opened(target(mode), later)
      // The zombie's row would be in the way of the same one, were its transaction still there.
      await write(next, [{ id: 1, name: 'next' }])
      await next.flush?.({ at: 1 })
      await expect(zombie.flush?.({ at: 9 })).rejects.toMatchObject({ code: 'target' })
      await zombie.abort?.({ reason: new JobError('lease_lost', 'lost'), leaseLost: true })
      await next.commit?.()
      expect(await rows()).toEqual([[1, 'next', null]])
      expect(await rows("select checkpoint->'at' from headgate_checkpoint")).toEqual([[1]])
    })

    test('gives its connections back outside of transactions, whatever failed before there was a table', async () => {
      const pool = new pg.Pool({ connectionString: database.url, max: 2 })
      const made = { ...mode, pool, table: 'made', createTable: true } as const
      const { writer } = await target(made).open(context())
      await tests.pool.query(`update headgate_checkpoint set execution = 'z'`)
      await expect(writer.flush?.({ at: 1 })).rejects.toMatchObject({ code: 'lease_lost' })
      await writer.abort?.({ reason: 'over', leaseLost: false })
      const found = await Promise.all([1, 2].map(() => pool.query('select txid_current_if_assigned() as xid')))
      expect(found.map(({ rows }) => rows)).toEqual([[{ xid: null }], [{ xid: null }]])
      expect(await openTransactions()).toBe(0)
      await pool.end()
    })

    test('gives no connection back whose rollback was cancelled', async () => {
      const pool = new pg.Pool({ connectionString: database.url, max: 2 })
      const cancelled: unknown[] = []
      pool.on('connect', (client) => {
        const { query } = client
        client.query = ((...call: [{ text?: string }]) => {
          const isRollback = cancelled.length === 0 && call[0].text === 'rollback'
          if (!isRollback) return Reflect.apply(query, client, call)
          cancelled.push(call)
          return Promise.reject(new Error('canceling statement due to user request'))
        }) as typeof client.query
      })
      await tests.pool.query('create table headgate_checkpoint (broken int)')
      await expect(target({ ...mode, pool }).open(context())).rejects.toMatchObject({ code: 'target' })
      expect(cancelled).toHaveLength(1)
      await Promise.all([1, 2].map(() => pool.query('select 1')))
      await vi.waitFor(async () => expect(await openTransactions()).toBe(0))
      await pool.end()
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
      await tests.pool.query('update headgate_checkpoint set execution = $1', [later.executionId])
      const lost = { code: 'lease_lost', message: expect.stringContaining('A later execution of job [ingestion/job]') }
      await expect(begun.flush?.({ at: 9 })).rejects.toMatchObject(lost)
      await begun.abort?.({ reason: 'over', leaseLost: false })
      const freshRun = write(fresh, [{ id: 2 }]).then(() => fresh.flush?.({ at: 9 }))
      await expect(freshRun).rejects.toMatchObject(lost)
      await expect(idle.flush?.({ at: 9 })).rejects.toMatchObject(lost)
      await expect((async () => target(mode).open(first))()).rejects.toMatchObject(lost)
      for (const zombie of zombies)
        await zombie.abort?.({ reason: new JobError('lease_lost', 'lost'), leaseLost: true })
      expect(await rows()).toEqual([])
      expect(await rows("select checkpoint->'at' from headgate_checkpoint")).toEqual([[null]])
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
      datasource: postgresDatasource({ pool: tests.pool }),
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
      expect(await run({ maxRecords: 300 })).toMatchObject({ state: 'successful', count: 300, lastId: '300' })
      for (const epochs of [1, 2]) {
        storage = memoryStorage()
        expect(await run({ maxRecords: 200 }), `${epochs}`).toMatchObject({ state: 'successful', count: 200 })
      }
      expect(await run()).toMatchObject({ state: 'successful', count: 300, lastId: '1000' })
      expect(await run()).toMatchObject({ state: 'successful', count: 0, lastId: '1000' })
      expect(await rows('select count(*)::int, max(id) from t')).toEqual([[1000, 1000]])
    })

    test('begins anew with `resume: restart`, and later runs resume from there', async () => {
      await run({ maxRecords: 300 })
      expect(await run({ resume: 'restart', maxRecords: 900, target: target(upsert) })).toMatchObject({ count: 900 })
      expect(await run()).toMatchObject({ state: 'successful', count: 100, lastId: '1000' })
    })

    test.each([{}, upsert, two])('ends a statement on the server that ignores its cancellation (%j)', async (mode) => {
      await tests.pool.query(`create or replace function stubborn() returns trigger language plpgsql as $$
          declare until timestamptz := clock_timestamp() + '30 s';
          begin
            while clock_timestamp() < until loop
              begin perform pg_sleep(30); exception when query_canceled then null; end;
            end loop;
            return new;
          end $$; create trigger stubborn before insert on t for each statement execute function stubborn()`)
      registry.define(copy({ target: target(mode) }))
      const { finished } = await registry.start('ingestion', 'job')
      await vi.waitFor(async () => expect(await openTransactions()).toBeGreaterThan(0), 5000)
      await vi.waitFor(async () =>
        expect(await rows(`select from pg_stat_activity where wait_event = 'PgSleep'`)).not.toEqual([]),
      )
      await registry.abort('ingestion', 'job')
      expect((await finished).state).not.toBe('successful')
      await vi.waitFor(async () => expect(await openTransactions()).toBe(0))
      await tests.pool.query('drop trigger stubborn on t')
      expect(await run({ target: target(mode) })).toMatchObject({ state: 'successful', count: 1000 })
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

    test.each([{}, upsert, two])(
      'that waits for a lock is aborted at once, and lets the server go (%j)',
      async (mode) => {
        const blocker = await tests.pool.connect()
        await blocker.query(`begin; insert into t values (500, 'in the way')`)
        registry.define(copy({ target: target(mode) }))
        const { finished } = await registry.start('ingestion', 'job')
        await vi.waitFor(async () =>
          expect(
            await rows(`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`),
          ).toHaveLength(1),
        )
        // The lock is let go only after that.
        const aborted = registry.abort('ingestion', 'job', { timeout: 5000 })
        expect(await aborted).toMatchObject({ state: 'aborted' })
        await vi.waitFor(async () => expect(await openTransactions()).toBe(1))
        await blocker.query('rollback')
        blocker.release()
        const { count } = await finished
        expect(await rows('select count(*)::int from t')).toEqual([[count]])
        expect(await run({ target: target(mode) })).toMatchObject({ state: 'successful', count: 1000 - count })
        expect(await rows('select count(*)::int, max(id) from t')).toEqual([[1000, 1000]])
      },
    )

    test.each([{}, upsert, two])(
      'outlives that its connections are ended again and again (%j)',
      async (mode) => {
        const query = `select n as id, case when n % 50 = 0 then pg_sleep(0.005)::text end as note
        from generate_series(1, 5000) n {{#last_id}}where n > {{last_id}}::int{{/last_id}} order by 1`
        registry.define(
          copy({ query, target: target(mode), resume: 'auto', retry: { delay: 5, maxDelay: 50, limit: 1000 } }),
        )
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
      },
      120_000,
    )
  })
})
