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
  type Target,
} from 'headgate'
import type { TargetWriter } from 'headgate/adapter'
import { type PostgresTargetOptions, postgresDatasource, postgresTarget } from 'headgate/postgres'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { context, targetTests, write } from './target-support.js'

describePostgres('a table of Postgres that is replaced', (database) => {
  const tests = targetTests(database)
  const { rows, opened } = tests

  beforeEach(() =>
    tests.pool.query(`drop table if exists t, headgate_checkpoint cascade; create table t (id int primary key, name text);
      insert into t select n, 'old' from generate_series(1, 10) n`),
  )

  /** What is in the table: how many rows of each name. */
  const look = async () =>
    Object.fromEntries((await rows('select name, count(*)::int from t group by 1')) as [string, number][])
  const stagings = async () =>
    (
      await rows(
        `select relname::text from pg_class where relname like '%headgate%' and relname not like 'headgate_checkpoint%'`,
      )
    ).flat()
  const recordsOf = (name: string, from: number, to: number): JobRecord[] =>
    Array.from({ length: to - from + 1 }, (_, index) => ({ id: from + index, name }))
  const finish = async (writer: TargetWriter) => {
    await writer.flush?.({ at: 'end' })
    await writer.commit?.()
  }
  /** Commits, or aborts as a job does whose commit failed, and gives the error. */
  const failureOf = async (writer: TargetWriter) => {
    const error = await finish(writer).then(undefined, (error: unknown) => error)
    await writer.abort?.({ reason: error, leaseLost: false })
    return error
  }
  const resumed = { isResumed: true }

  describe.each(['rows', 'rename'] as const)('by the swap `%s`', (swap) => {
    const target = (more: Partial<PostgresTargetOptions> = {}): Target =>
      tests.target({ strategy: 'replace', swap, lockTimeout: 20, ...more })

    test('shows its old rows until all are there', async () => {
      const writer = await opened(target())
      await write(writer, recordsOf('new', 1, 6))
      await writer.flush?.({ at: 1 })
      await write(writer, recordsOf('new', 7, 8))
      await writer.flush?.({ at: 2 })
      expect(await look()).toEqual({ old: 10 })
      expect(await stagings()).toEqual([expect.stringMatching(/^t_headgate_[0-9a-f]{8}$/)])
      await writer.commit?.()
      expect(await look()).toEqual({ new: 8 })
      expect(await stagings()).toEqual([])
      expect(await rows('select checkpoint from headgate_checkpoint')).toEqual([[null]])
    })

    test('of any name', async () => {
      const name = `${'é'.repeat(20)} "of" . 63 bytes-------`
      await tests.pool.query(
        `drop schema if exists "a.b" cascade; create schema "a.b"; create table "a.b"."${name.replaceAll('"', '""')}" ("Id.""" int unique)`,
      )
      const table = { schema: 'a.b', name }
      for (const id of [1, 2]) await tests.complete(target({ table, columns: { id: 'Id."' } }), [{ id }])
      expect(await rows(`select "Id.""" from "a.b"."${name.replaceAll('"', '""')}"`)).toEqual([[2]])
    })

    describe('refuses', () => {
      test.each([
        [4, undefined, '`public.t` by 4: with `maxShrink` 0.5, 5 or more are expected'],
        [0, undefined, 'Refused to replace the 10 records of `public.t` by none'],
        [0, 0.99, '1 or more are expected'],
        [9, 0, '10 or more are expected'],
      ])('to leave %i of 10 with a maxShrink of %s, and then begins anew', async (count, maxShrink, message) => {
        const to = target(maxShrink === undefined ? {} : { maxShrink })
        const writer = await opened(to)
        if (count > 0) await write(writer, recordsOf('new', 1, count))
        expect(await failureOf(writer)).toMatchObject({ code: 'target', message: expect.stringContaining(message) })
        expect(await look()).toEqual({ old: 10 })
        expect(await stagings()).toEqual([])
        const next = await opened(to, resumed)
        expect(next).toMatchObject({ resume: 'restart' })
        await write(next, recordsOf('new', 1, 10))
        await finish(next)
        expect(await look()).toEqual({ new: 10 })
      })

      test.each([
        [5, 0.5],
        [1, 0.9],
        [10, 0],
      ])('but leaves %i of 10 with %d', async (count, maxShrink) => {
        // biome-ignore format: one line
        await tests.complete(target({ maxShrink }), recordsOf('new', 1, count))
        expect(await look()).toEqual({ new: count })
      })

      test('but leaves nothing when told so, or where there was nothing', async () => {
        await tests.complete(target({ maxShrink: 1 }))
        expect(await look()).toEqual({})
        await tests.complete(target())
        expect(await look()).toEqual({})
      })

      test('what was staged and is not there any more', async () => {
        const writer = await opened(target())
        await write(writer, recordsOf('new', 1, 9))
        await writer.flush?.({ at: 1 })
        await tests.pool.query(`delete from ${(await stagings())[0]} where id = 3`)
        expect(await failureOf(writer)).toMatchObject({
          message: expect.stringMatching(/^Expected 9 rows in .*, found 8/),
        })
        expect(await look()).toEqual({ old: 10 })
        expect(await stagings()).toEqual([])
      })

      test('rows that the table cannot hold, and then begins anew', async () => {
        const writer = await opened(target())
        await write(writer, [...recordsOf('new', 1, 9), { id: 9, name: 'twice' }])
        expect(errorMessages(await failureOf(writer))).toEqual([
          'Could not replace `public.t` (SQLSTATE 23505).',
          expect.any(String),
        ])
        expect(await look()).toEqual({ old: 10 })
        expect((await opened(target(), resumed)).resume).toBe('restart')
      })
    })

    describe('that stopped short', () => {
      /** Stages eight rows, of which a checkpoint covers six, and leaves them as a crash does. */
      const crash = async (to: Target) => {
        const writer = await opened(to)
        await write(writer, recordsOf('new', 1, 6))
        await writer.flush?.({ at: 1 })
        await write(writer, recordsOf('new', 7, 8))
      }

      /** What the server does when it notices a crash. */
      const endTransactions = () =>
        tests.pool.query(
          `select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and xact_start is not null and pid <> pg_backend_pid()`,
        )

      test('goes on from its checkpoint', async () => {
        await crash(target())
        const next = await opened(target(), resumed)
        expect(next).toMatchObject({ resume: { checkpoint: { at: 1 } } })
        await write(next, recordsOf('new', 7, 9))
        await finish(next)
        expect(await look()).toEqual({ new: 9 })
      })

      test('goes on after it had failed at the swap', async () => {
        const blocker = await tests.pool.connect()
        await blocker.query('begin; lock table t in row exclusive mode')
        const writer = await opened(target())
        await write(writer, recordsOf('new', 1, 9))
        const error = await failureOf(writer)
        expect(error).toMatchObject({
          message: expect.stringContaining('Could not get a lock on `t`, or on what it needs, within 200 ms'),
        })
        expect(isTransient(error)).toBe(true)
        await blocker.query('rollback')
        blocker.release()
        expect(await look()).toEqual({ old: 10 })
        const next = await opened(target(), resumed)
        expect(next).toMatchObject({ resume: { checkpoint: { at: 'end' } } })
        await finish(next)
        expect(await look()).toEqual({ new: 9 })
      })

      test('is swept by a run that begins anew', async () => {
        await crash(target())
        const next = await opened(target())
        expect(next).toMatchObject({ resume: 'position' })
        await write(next, recordsOf('newer', 1, 7))
        await finish(next)
        expect(await look()).toEqual({ newer: 7 })
        expect(await stagings()).toEqual([])
      })

      test('begins anew when what was staged is gone, or is no copy of the table any more', async () => {
        for (const change of [
          'drop table staging',
          'alter table t add more int',
          'alter table t add check (id < 100)',
        ]) {
          await crash(target())
          await endTransactions()
          await tests.pool.query(change.replace('staging', String((await stagings())[0])))
          const next = await opened(target(), resumed)
          expect([change, next.resume]).toEqual([change, 'restart'])
          await next.abort?.({ reason: 'over', leaseLost: false })
        }
      })

      test('is taken away by an abort when nobody can go on, and kept when somebody can', async () => {
        for (const isResumable of [true, false]) {
          const writer = await opened(target(), { isResumable })
          await write(writer, recordsOf('new', 1, 6))
          await writer.flush?.(null)
          await writer.abort?.({ reason: 'over', leaseLost: false })
          expect(await stagings()).toHaveLength(isResumable ? 1 : 0)
        }
        expect(await look()).toEqual({ old: 10 })
      })

      test('is taken away by an abort whose own connection is gone', async () => {
        const own = postgresTarget({ connectionString: database.url, table: 't', strategy: 'replace', swap })
        const { writer } = await own.open({ ...context(), isResumable: false })
        await write(writer, recordsOf('new', 1, 6))
        await endTransactions()
        await writer.abort?.({ reason: 'over', leaseLost: false })
        expect(await stagings()).toEqual([])
      })

      test('behind the swap begins anew', async () => {
        await tests.complete(target(), recordsOf('new', 1, 9))
        const next = await opened(target(), resumed)
        expect(next).toMatchObject({ resume: 'restart' })
        await next.abort?.({ reason: 'over', leaseLost: false })
        expect(await look()).toEqual({ new: 9 })
      })
    })

    test('an execution that a later one has followed can neither swap nor sweep', async () => {
      const [first, second, later] = [context(), context(), context()]
      const flushed = await opened(target(), first)
      await write(flushed, recordsOf('zombie', 1, 9))
      await flushed.flush?.({ at: 9 })
      const next = await opened(target(), { ...later, ...resumed })
      expect(next.resume).toEqual({ checkpoint: { at: 9 } })
      await write(next, recordsOf('next', 10, 11))
      await next.flush?.({ at: 11 })
      const error = await flushed.commit?.().then(undefined, (error: unknown) => error)
      expect(error).toMatchObject({ code: 'lease_lost' })
      await flushed.abort?.({ reason: error, leaseLost: true })
      await expect((async () => target().open(second))()).rejects.toMatchObject({ code: 'lease_lost' })
      expect(await stagings()).toHaveLength(1)
      expect(await look()).toEqual({ old: 10 })
      await next.commit?.()
      expect(await look()).toEqual({ zombie: 9, next: 2 })
    })

    test('nor can one that was followed while it waited for its lock', async () => {
      const blocker = await tests.pool.connect()
      await blocker.query('begin; lock table t in row exclusive mode')
      const waiting = await opened(target({ lockTimeout: 100 }))
      await write(waiting, recordsOf('zombie', 1, 9))
      const failing = failureOf(waiting)
      await vi.waitFor(async () =>
        expect(
          await rows(`select from pg_stat_activity where datname = current_database() and wait_event = 'relation'`),
        ).toHaveLength(1),
      )
      const next = await opened(target(), resumed)
      await blocker.query('rollback')
      blocker.release()
      expect(await failing).toMatchObject({ code: expect.stringMatching(/target|lease_lost/) })
      expect(await look()).toEqual({ old: 10 })
      await finish(next)
      expect(await look()).toEqual({ zombie: 9 })
    })

    test('waits for its lock in short turns, in which nobody waits longer behind it', async () => {
      const holder = await tests.pool.connect()
      await holder.query('begin; insert into t values (100, null)')
      const writer = await opened(target({ lockTimeout: 60 }))
      await write(writer, recordsOf('new', 1, 9))
      const swapping = finish(writer)
      // Behind one long wait for the lock, none of them would be answered.
      for (let read = 0; read < 20; read++) {
        await tests.pool.query('select count(*) from t')
        await setTimeout(15)
      }
      await holder.query('rollback')
      holder.release()
      await swapping
      expect(await look()).toEqual({ new: 9 })
    })

    test('is swapped by two jobs at once, of which the last one wins, and never a mixture', async () => {
      const size = 2000
      let isOver = false
      const seen = new Set<string>()
      const reading = (async () => {
        while (!isOver) seen.add(JSON.stringify(await look()))
      })()
      const jobs = ['a', 'b'].map(async (id) => {
        for (let round = 0; round < 4; round++) {
          const writer = await opened(target({ lockTimeout: 2000 }), { ...context(), id })
          await write(writer, recordsOf(id, 1, size))
          await finish(writer)
        }
      })
      await Promise.all(jobs)
      isOver = true
      await reading
      expect([...seen].filter((state) => !['{"old":10}', `{"a":${size}}`, `{"b":${size}}`].includes(state))).toEqual([])
      expect([{ a: size }, { b: size }]).toContainEqual(await look())
      expect(await stagings()).toEqual([])
    })

    test('is made when it is missing', async () => {
      await tests.pool.query('drop table t')
      const nothing = await opened(target({ createTable: true }))
      await finish(nothing)
      // Without the columns of the query, there is nothing to create.
      expect(await rows(`select to_regclass('t')`)).toEqual([[null]])
      for (const count of [10, 8]) {
        const done = await run({ query: `select n as id, 'new'::text as name from generate_series(1, ${count}) n`, target: target({ createTable: true, key: 'id' }) }) // biome-ignore format: one line
        expect(done).toMatchObject({ state: 'successful', count })
        expect(await look()).toEqual({ new: count })
      }
      expect(
        await rows(`select conname::text from pg_constraint where contype = 'p' and conrelid = 't'::regclass`),
      ).toEqual([['t_pkey']])
    })

    describe('a job', () => {
      const numbers = `select n as id, 'new' as name from generate_series(1, 1000) n {{#last_id}}where n > {{last_id}}::int{{/last_id}} order by 1`

      test('begins anew after every success, and goes on after an abort', async () => {
        const job = { query: numbers, pkField: 'id', batchSize: 10, target: target() }
        for (const _ of [1, 2]) expect(await run(job)).toMatchObject({ state: 'successful', count: 1000 })
        const slow = job.query.replace(`'new'`, `case when n > 500 then pg_sleep(60)::text else 'newer' end`)
        await reopen()
        registry.define({ id: 'job', datasource: postgresDatasource({ pool: tests.pool }), ...job, query: slow })
        const { finished } = await registry.start('ingestion', 'job')
        await vi.waitFor(async () => expect(await registry.status('ingestion', 'job')).toMatchObject({ count: 500 }))
        await registry.abort('ingestion', 'job')
        expect(await finished).toMatchObject({ state: 'aborted', count: 500 })
        expect(await look()).toEqual({ new: 1000 })
        expect(await run(job)).toMatchObject({ state: 'successful', count: 500 })
        expect(await look()).toEqual({ newer: 500, new: 500 })
      })

      test('that is refused begins anew next time', async () => {
        const job = { query: numbers, pkField: 'id', target: target() }
        expect(await run(job)).toMatchObject({ state: 'successful' })
        expect(await run({ ...job, maxRecords: 100 })).toMatchObject({ state: 'error', count: 100 })
        expect(await look()).toEqual({ new: 1000 })
        expect(await run(job)).toMatchObject({ state: 'successful', count: 1000 })
      })

      test('that waits for its lock is aborted at once', async () => {
        const blocker = await tests.pool.connect()
        await blocker.query('begin; lock table t in row exclusive mode')
        await reopen()
        registry.define({ id: 'job', datasource: postgresDatasource({ pool: tests.pool }), query: numbers, pkField: 'id', target: target({ lockTimeout: 60_000 }) }) // biome-ignore format: one line
        await registry.start('ingestion', 'job')
        await vi.waitFor(async () =>
          expect(
            await rows(`select from pg_stat_activity where datname = current_database() and wait_event = 'relation'`),
          ).toHaveLength(1),
        )
        // The lock is let go only after that.
        const aborted = registry.abort('ingestion', 'job', { timeout: 5000 })
        expect(await aborted).toMatchObject({ state: 'aborted', count: 1000 })
        await blocker.query('rollback')
        blocker.release()
        expect(await look()).toEqual({ old: 10 })
      })

      test('may change between append and replace', async () => {
        const append = { query: numbers, pkField: 'id', target: tests.target() }
        await tests.pool.query('truncate t')
        expect(await run({ ...append, maxRecords: 300 })).toMatchObject({ count: 300 })
        const replace = { ...append, target: target() }
        expect(await run(replace)).toMatchObject({ state: 'successful', count: 1000 })
        expect(await run({ ...replace, maxRecords: 5 })).toMatchObject({ state: 'error' })
        await crashOf(replace)
        await tests.pool.query('truncate t')
        storage = memoryStorage()
        expect(await run(append)).toMatchObject({ state: 'successful', count: 1000 })
        expect(await stagings()).toEqual([])
        expect(await run(append)).toMatchObject({ state: 'successful', count: 0 })
      })

      /** Leaves what a run of the job has staged, with its checkpoint. */
      const crashOf = async ({ target }: { target: Target }) => {
        const writer = await opened(target)
        await write(writer, recordsOf('new', 1, 6))
        await writer.flush?.({ at: 1 })
        await writer.abort?.({ reason: new JobError('lease_lost', 'crashed'), leaseLost: true })
        expect(await stagings()).toHaveLength(1)
      }
    })
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

  const run = async (more: Partial<IngestionJob> & Pick<IngestionJob, 'target'>) => {
    await reopen()
    registry.define({ id: 'job', datasource: postgresDatasource({ pool: tests.pool }), ...more })
    return (await registry.start('ingestion', 'job')).finished
  }
})
