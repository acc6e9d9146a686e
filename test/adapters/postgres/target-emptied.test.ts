import { setTimeout } from 'node:timers/promises'
import { type IngestionJob, type JobRecord, JobRegistry, memoryStorage } from 'headgate'
import { iterableDatasource } from 'headgate/iterable'
import { type PostgresTargetOptions, postgresDatasource, postgresTarget } from 'headgate/postgres'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { targetTests } from './target-support.js'

/** How often a job commits, in milliseconds, that loses rows while a transaction is open: seldom enough for it to be open. */
const progressInterval = 300

describePostgres('a table that loses all its rows while a job writes to it', (database) => {
  const tests = targetTests(database)
  const { target, rows } = tests
  beforeEach(() =>
    tests.pool.query(`drop table if exists t, t1, headgate_checkpoint; create table t (id int primary key, seen bool)`),
  )

  const committed = async () => {
    while ((await rows('select from t where id = 1')).length === 0) await setTimeout(5)
  }

  /** When the rows are lost. The first of three batches is committed by then. */
  type Moment = 'between two commits' | 'while a transaction is open'

  async function* source(moment: Moment, change: () => Promise<unknown>): AsyncGenerator<JobRecord> {
    yield { id: 1 }
    yield { id: 2 }
    await committed()
    while ((await tests.openTransactions()) > 0) await setTimeout(5)
    if (moment === 'between two commits') await change()
    yield { id: 3 }
    yield { id: 4 }
    if (moment === 'while a transaction is open') {
      while ((await tests.openTransactions()) === 0) await setTimeout(2)
      await change()
    }
    yield { id: 5 }
    yield { id: 6 }
  }

  async function run(
    moment: Moment,
    change: string,
    options: Partial<PostgresTargetOptions> = {},
    job: Partial<IngestionJob> = {},
  ) {
    await using registry = new JobRegistry({
      storage: memoryStorage(),
      progressInterval: moment === 'between two commits' ? 0 : progressInterval,
    })
    let isFirst = true
    const once = async () => {
      if (isFirst) for (const statement of change.split('\n')) await tests.pool.query(statement)
      isFirst = false
    }
    registry.define({
      id: 'job',
      datasource: iterableDatasource(() => source(moment, once)),
      batchSize: 2,
      target: target(options),
      ...job,
    })
    return await (await registry.start('ingestion', 'job')).finished
  }

  const isRefused = {
    state: 'error',
    error: expect.arrayContaining([
      expect.stringMatching(/`public.t` was emptied while .* `ifTargetReset: 'restart'`/),
    ]),
  }

  const ways: Record<string, [Partial<PostgresTargetOptions>, Partial<IngestionJob>]> = {
    append: [{}, {}],
    'two connections': [{ connections: 2 }, {}],
    upsert: [{ mode: 'upsert', key: 'id' }, {}],
    'records that may fail': [{}, { failures: { total: 5 } }],
  }

  describe.each(Object.entries(ways))('by %s', (name, way) => {
    test.each(['truncate t', 'delete from t'])('between two commits: `%s` fails the job', async (change) => {
      expect(await run('between two commits', change, ...way)).toMatchObject({ ...isRefused, count: 2 })
    })

    test.skipIf(name === 'records that may fail')('while a transaction is open: `delete` fails the job', async () => {
      expect(await run('while a transaction is open', 'delete from t', ...way)).toMatchObject({
        ...isRefused,
        count: 2,
      })
    })

    test('between two commits: a truncate fails the job, though another session writes rows', async () => {
      const change = 'truncate t; insert into t values (8), (9)'
      expect(await run('between two commits', change, ...way)).toMatchObject({ ...isRefused, count: 2 })
    })

    test.each([
      'vacuum full t',
      'cluster t using t_pkey',
      'update t set seen = true',
      'delete from t where id = 1',
      `delete from t; insert into t values (9)`,
      'alter table t set unlogged',
    ])('between two commits: `%s` does not', async (change) => {
      expect(await run('between two commits', change, ...way)).toMatchObject({ state: 'successful', count: 6 })
    })

    test.each(['alter table t alter seen type text', 'alter table t add more uuid default gen_random_uuid()'])(
      'between two commits: `%s`, which writes all rows again, is told as what it is',
      async (change) => {
        const { state, ...end } = await run('between two commits', change, ...way)
        expect([state, JSON.stringify(end)]).toEqual(['error', expect.stringContaining('was altered')])
      },
    )

    test('while a transaction is open: an update of all rows does not', async () => {
      const status = await run('while a transaction is open', 'update t set seen = true', ...way)
      expect(status).toMatchObject({ state: 'successful', count: 6 })
    })

    test('a job whose table is emptied on purpose goes on', async () => {
      const [options, job] = way
      const status = await run('between two commits', 'delete from t', options, { ...job, ifTargetReset: 'continue' })
      expect(status).toMatchObject({ state: 'successful', count: 6 })
      expect(await rows('select id from t order by id')).toEqual([[3], [4], [5], [6]])
    })
  })

  test('an upsert that changes every row is no loss', async () => {
    await tests.pool.query('insert into t values (3), (4)')
    const status = await run('between two commits', 'delete from t where id < 3', { mode: 'upsert', key: 'id' })
    expect(status).toMatchObject({ state: 'successful', count: 6 })
  })

  describe.each(Object.entries(ways))('that has partitions, by %s', (_, [options, job]) => {
    beforeEach(() =>
      tests.pool.query(`drop table if exists t, t1; create table t (id int primary key, seen bool) partition by range (id);
        create table t1 partition of t for values from (0) to (2); create table t2 partition of t for values from (2) to (10)`),
    )

    test.each([
      'truncate t',
      'delete from t',
      'truncate t; insert into t values (0)',
      'truncate t; insert into t values (8), (9)',
      'drop table t1, t2; create table t3 partition of t for values from (0) to (10); insert into t values (8)',
    ])('is noticed: `%s`', async (change) => {
      expect(await run('between two commits', change, options, job)).toMatchObject({ ...isRefused, count: 2 })
    })

    test.each([
      'truncate t1',
      'truncate t2',
      'drop table t1',
      'alter table t detach partition t1',
      'vacuum full t1; vacuum full t2',
      'update t set seen = true',
      'delete from t where id = 1; insert into t values (0)',
    ])('has not lost all rows after `%s`', async (changes) => {
      // Several statements at once are a transaction, in which no vacuum can run.
      const change = changes.replace('; vacuum', ';\nvacuum')
      expect(await run('between two commits', change, options, job)).toMatchObject({ state: 'successful', count: 6 })
    })

    test.each(['truncate t1', 'drop table t1'])(
      'has not lost all rows after `%s`, when the first row was in it and the others are newer',
      async (change) => {
        const records = [{ id: 1 }, { id: 2 }, { id: 3 }, { id: 4 }]
        await using registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 0 })
        async function* read() {
          yield records[0] as JobRecord
          await committed()
          yield* records.slice(1, 3)
          while ((await rows('select from t where id = 3')).length === 0) await setTimeout(5)
          await tests.pool.query(change)
          yield records[3] as JobRecord
        }
        registry.define({
          id: 'job',
          datasource: iterableDatasource(read),
          batchSize: 1,
          target: target(options),
          ...job,
        })
        expect(await (await registry.start('ingestion', 'job')).finished).toMatchObject({
          state: 'successful',
          count: 4,
        })
      },
    )
  })

  test('need not have rows where a trigger drops them, nor where the role may not see them', async () => {
    await tests.pool.query(`create or replace function nothing() returns trigger language plpgsql as 'begin return null; end';
      create trigger nothing before insert on t for each row execute function nothing()`)
    await using registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 0 })
    registry.define({
      id: 'job',
      datasource: iterableDatasource([{ id: 1 }, { id: 2 }, { id: 3 }]),
      batchSize: 1,
      target: target(),
    })
    expect(await (await registry.start('ingestion', 'job')).finished).toMatchObject({ state: 'successful', count: 3 })
  })

  describe.each(Object.entries(ways))(
    'whose triggers leave only rows of the open transaction, by %s',
    (_, [options, job]) => {
      const changes = {
        'keeps the newest row': 'delete from t where id < (select max(id) from t)',
        'changes every row': 'update t set seen = true where seen is null or id < (select max(id) from t)',
      }

      test.each(Object.entries(changes))('has lost nothing where it %s', async (_, change) => {
        await tests.pool.query(`create or replace function change() returns trigger language plpgsql as $$ begin ${change}; return null; end $$;
        create trigger change after insert on t for each statement execute function change()`)
        const records = [1, 2, 3, 4, 5, 6].map((id) => ({ id }))
        await using registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 0 })
        registry.define({
          id: 'job',
          datasource: iterableDatasource(records),
          batchSize: 2,
          target: target(options),
          ...job,
        })
        expect(await (await registry.start('ingestion', 'job')).finished).toMatchObject({
          state: 'successful',
          count: 6,
        })
      })

      test.each(['truncate t', 'delete from t'])('is noticed all the same: `%s`', async (change) => {
        await tests.pool.query(`create or replace function change() returns trigger language plpgsql as 'begin return new; end';
        create trigger change before insert on t for each row execute function change()`)
        expect(await run('between two commits', change, options, job)).toMatchObject({ ...isRefused, count: 2 })
      })
    },
  )

  test('has lost nothing where a trigger of its partition leaves only rows of the open transaction', async () => {
    await tests.pool.query(`drop table t; create table t (id int, seen bool) partition by range (id);
      create table t1 partition of t for values from (0) to (9);
      create or replace function change() returns trigger language plpgsql as 'begin delete from t where id < new.id; return null; end';
      create trigger change after insert on t1 for each row execute function change()`)
    await using registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 0 })
    const datasource = iterableDatasource([{ id: 1 }, { id: 2 }, { id: 3 }])
    registry.define({ id: 'job', datasource, batchSize: 1, target: target() })
    expect(await (await registry.start('ingestion', 'job')).finished).toMatchObject({ state: 'successful', count: 3 })
    expect(await rows()).toEqual([[3, null]])
    await tests.pool.query('drop table t')
  })

  describe('that is the copy of another table', () => {
    beforeEach(() =>
      tests.pool.query(`drop table if exists s; create table s (id int primary key);
        insert into s select generate_series(1, 60)`),
    )
    afterAll(() => tests.pool.query('drop table if exists s'))

    /** Runs a job, which calls `act` before it takes a record. It copies its partitions one after the other unless told. */
    async function copy(
      act: (record: JobRecord) => unknown,
      job: Partial<IngestionJob>,
      { storage = memoryStorage(), concurrency = 1 } = {},
    ) {
      await using registry = new JobRegistry({ storage, progressInterval: 0, concurrency })
      registry.define({
        id: 'job',
        datasource: postgresDatasource({ pool: tests.pool }),
        query: 'select id from s',
        cursor: 'id',
        batchSize: 5,
        transform: async (record) => {
          await act(record)
          return record
        },
        target: target(),
        ...job,
      })
      return await (await registry.start('ingestion', 'job')).finished
    }

    /** Changes the table once, when the job has written some rows and takes the 15th. */
    function changedOnce(change: string) {
      let isFirst = true
      return async (record: JobRecord) => {
        if (!isFirst || record.id !== 15) return
        isFirst = false
        while ((await rows('select from t')).length < 5) await setTimeout(5)
        await tests.pool.query(change)
      }
    }

    const isLate = expect.arrayContaining([expect.stringContaining('after the job wrote to it, and has records since')])

    test.each([1, 3])('loads everything again in %i partitions where the job says so', async (partitions) => {
      // One partition after the other: what another one wrote since would come twice, and the job would fail.
      const job = { partitions, ifTargetReset: 'restart', resume: 'auto', retry: { delay: 1 } } as const
      expect(await copy(changedOnce('truncate t'), job)).toMatchObject({ state: 'successful', count: 60 })
      expect((await rows('select id from t')).length).toBe(60)
    })

    test.each([
      ['truncate t', isLate],
      [
        'begin; drop table t; create table t (id int primary key, seen bool); commit',
        expect.arrayContaining([expect.stringMatching(/created again|recreated/)]),
      ],
    ])('after a partition was done: `%s` fails the job', async (change, error) => {
      const storage = memoryStorage()
      let count = 0
      // The first record of the second partition.
      const act = async () => ++count === 31 && (await tests.pool.query(change))
      for (let run = 0; run < 2; run++) {
        expect(await copy(act, { partitions: 2 }, { storage })).toMatchObject({ state: 'error', error })
      }
    })

    test.each([1, 5])(
      'while no partition has committed yet: a truncate fails the job, %i at once',
      async (concurrency) => {
        const storage = memoryStorage()
        const act = async ({ id }: JobRecord) => id === 61 && (await tests.pool.query('truncate t'))
        const run = () => copy(act, { partitions: 2 }, { storage, concurrency })
        expect(await run()).toMatchObject({ state: 'successful', count: 60 })
        await tests.pool.query('insert into s select generate_series(61, 120)')
        expect(await run()).toMatchObject({ state: 'error' })
        expect(await run()).toMatchObject({ state: 'error' })
      },
    )

    test.each([1, 3])('that other rows hide in %i partitions fails all runs until it is empty', async (partitions) => {
      const storage = memoryStorage()
      const act = changedOnce('truncate t; insert into t values (1000)')
      const runWith = (ifTargetReset: 'fail' | 'restart') => copy(act, { partitions, ifTargetReset }, { storage })

      expect(await runWith('fail')).toMatchObject({ state: 'error' })
      expect(await runWith('fail')).toMatchObject({ state: 'error', error: isLate })
      expect(await runWith('restart')).toMatchObject({ state: 'error', error: isLate })
      await tests.pool.query('truncate t')
      expect(await runWith('restart')).toMatchObject({ state: 'successful' })
      expect((await rows('select id from t')).length).toBe(60)
      expect(await runWith('restart')).toMatchObject({ state: 'successful', count: 0 })
    })
  })

  test('loads everything again where the job says so', async () => {
    const job = { ifTargetReset: 'restart', resume: 'auto', retry: { delay: 1 } } as const
    const status = await run('between two commits', 'truncate t', {}, job)
    expect(status).toMatchObject({ state: 'successful' })
    expect(await rows('select id from t order by id')).toEqual([[1], [2], [3], [4], [5], [6]])
  })

  test('reads no more of the catalog for each other job that shares the table of checkpoints', async () => {
    const read = async () => {
      const counts = "select seq_tup_read + idx_tup_fetch as n from pg_stat_sys_tables where relname = 'pg_class'"
      return Number((await tests.pool.query(counts)).rows[0].n)
    }
    const runAlone = async () => {
      const before = await read()
      await tests.pool.query('drop table if exists t; create table t (id int primary key, seen bool)')
      const registry = new JobRegistry({ storage: memoryStorage() })
      const table = postgresTarget({ connectionString: `${database.url}?application_name=alone`, table: 't' })
      registry.define({ id: 'job', datasource: iterableDatasource([{ id: 1 }]), target: table })
      expect(await (await registry.start('ingestion', 'job')).finished).toMatchObject({ state: 'successful' })
      // A session counts what it has read when it ends.
      await registry.close()
      return (await read()) - before
    }
    await runAlone()
    const few = await runAlone()
    await tests.pool.query(`insert into headgate_checkpoint
      select decode(md5(n::text), 'hex'), type, 'other' || n, 'public.other' || n, execution, checkpoint
      from headgate_checkpoint, generate_series(1, 200) n`)
    expect(await runAlone()).toBeLessThan(few * 5 + 1000)
  })
})
