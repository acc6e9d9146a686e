import { createHash } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { type Datasource, type IngestionJob, type JobError, type JobRecord, JobRegistry, memoryStorage } from 'headgate'
import { iterableDatasource } from 'headgate/iterable'
import { type PostgresTargetOptions, postgresDatasource, postgresTarget } from 'headgate/postgres'
import { testDatasource } from 'headgate/testing'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'

/** Records with ids from 1; some of them changed. */
function records(length: number, changes: Record<number, JobRecord> = {}): JobRecord[] {
  return Array.from({ length }, (_, index) => ({ id: index + 1, n: index, name: 'a', ...changes[index + 1] }))
}

const idsBut = (length: number, ...poison: number[]) =>
  records(length).flatMap(({ id }) => (poison.includes(Number(id)) ? [] : [id]))

/** A datasource that knows no position within a batch. */
function withoutPositions(datasource: Datasource): Datasource {
  async function* readByCursor(...read: Parameters<NonNullable<Datasource['readByCursor']>>) {
    for await (const { positionAfter: _, ...batch } of datasource.readByCursor?.(...read) ?? []) yield batch
  }
  return { ...datasource, readByCursor }
}

describePostgres('a table of Postgres that refuses records', (database) => {
  let pool: pg.Pool
  let registry: JobRegistry
  beforeAll(() => {
    pool = new pg.Pool({ connectionString: database.url })
    pool.on('error', () => undefined)
  })
  afterAll(() => pool.end())
  beforeEach(async () => {
    await pool.query(`drop table if exists t, dead, parent, headgate_checkpoint cascade;
      create table parent (id int primary key);
      insert into parent values (1), (2);
      create table t (id int primary key, n int check (n <> 666), name text not null,
        parent int references parent deferrable initially deferred);
      create table dead (type text, id text, execution_id text, key text primary key, at timestamptz, phase text,
        error json, record json)`)
    registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 0 })
  })
  afterEach(() => registry.close())

  const target = (more: Partial<PostgresTargetOptions> = {}) => postgresTarget({ pool, table: 't', ...more })
  const columns = {
    ...{ type: 'type', id: 'id', executionId: 'execution_id', key: 'key', time: 'at' },
    ...{ phase: 'phase', error: 'error', record: 'record' },
  }
  const deadLetters = () => postgresTarget({ pool, table: 'dead', columns })
  const values = async (query: string) =>
    (await pool.query({ text: query, rowMode: 'array' })).rows.map(([value]) => value)
  /** Postgres keeps every JSON, but does not look into one that has a NUL. */
  const deadIds = async () => {
    const texts = (await values('select record::text from dead')) as string[]
    return texts.map((text) => JSON.parse(text).id as number).sort((a, b) => a - b)
  }
  const run = async (job: Omit<IngestionJob, 'id'>) => {
    registry.define({ id: 'job', ...job })
    return (await registry.start('ingestion', 'job')).finished
  }

  test('a dead letter of what `jsonb` cannot hold is written', async () => {
    await pool.query('alter table dead alter record type jsonb, alter error type jsonb')
    const datasource = iterableDatasource([{ id: 1, n: 666, name: 'a\0\ud800' }])
    expect(await run({ datasource, target: target(), failures: { deadLetters: deadLetters() } })).toMatchObject({
      state: 'successful',
      detail: { failed: 1 },
    })
    expect(await values('select record from dead')).toEqual([{ id: 1, n: 666, name: 'a\\u0000\\ud800' }])
  })

  test.each([{}, { mode: 'upsert', key: 'id' }, { strategy: 'replace' }] as const)(
    'no row of a query is to blame for a column that the table has not (%j)',
    async (options) => {
      const status = await run({
        datasource: postgresDatasource({ pool }),
        query: `select n as id, n, 'a' as name, n as more from generate_series(1, 9) n`,
        target: target(options),
        failures: { deadLetters: deadLetters() },
      })
      expect(status).toMatchObject({ state: 'error', count: 0 })
      expect(status.state === 'error' && status.error.at(-1)).toMatch('to have a column `more` that can be written')
      expect(await deadIds()).toEqual([])
    },
  )

  describe.each([{}, { connections: 2 }, { mode: 'upsert', key: 'id' }] as const)(
    'without `failures` (%j)',
    (options) => {
      test.each([
        [0, 0],
        [33, 3],
        [78, 8],
      ])('the error names the record %i by its place in its batch', async (bad, place) => {
        const places: unknown[] = []
        registry.on('error', ({ cause }) => {
          for (let link = cause as JobError; link; link = link.cause as JobError) places.push(link.recordIndex)
        })
        const records = Array.from({ length: 79 }, (_, id) => ({ id, name: 'x', n: id === bad ? 'x' : 1 }))
        const job = { datasource: iterableDatasource(records), batchSize: 10, target: target(options) }
        expect(await run(job)).toMatchObject({ state: 'error' })
        expect(places.filter((at) => at !== undefined)).toEqual([place])
      })
    },
  )

  describe.each([
    ['insert', {}],
    ['upsert', { mode: 'upsert', key: 'id' }],
  ] as const)('%s', (mode, options) => {
    describe.each([
      ['breaks a check', { n: 666 }, /violates check constraint/],
      ['is no number', { n: 'x' }, /invalid input syntax for type integer: "x"/],
      ['is null where nothing may be', { name: null }, /null value in column "name"/],
      ['refers to nothing', { parent: 3 }, /violates foreign key constraint/],
      ['holds what no text can', { name: 'a\0' }, /The column `name` cannot be written.*NUL/],
      ['cannot be encoded', { name: Symbol('no') }, /got a symbol/],
      ['has a column that is not there', { more: 1 }, /to have a column `more`/],
    ])('a record that %s', (_, change, message) => {
      test.each([
        ['first', [1]],
        ['in the middle', [5]],
        ['last', [10]],
        ['first, last and in the middle', [1, 4, 5, 10, 11, 20, 25]],
      ])('and comes %s is put aside, and the others are written', async (_, poison) => {
        const changes = Object.fromEntries(poison.map((id) => [id, change]))
        const status = await run({
          datasource: testDatasource(records(25, changes)),
          batchSize: 10,
          pkField: 'id',
          target: target(options),
          failures: { deadLetters: deadLetters() },
        })
        const detail = { read: 25, written: 25 - poison.length, failed: poison.length, skipped: 0 }
        expect(status).toMatchObject({ state: 'successful', lastId: '25', detail })
        expect(await values('select id from t order by id')).toEqual(idsBut(25, ...poison))
        expect(await deadIds()).toEqual(poison)
        const [error] = await values('select error::text from dead')
        expect(JSON.parse(error).at(-1)).toMatch(message)
      })
    })

    test('raw rows from Postgres are isolated too, and what is in the table before stays', async () => {
      await pool.query(`insert into t values (7, 1, 'old', null)`)
      const query = `select id, case id when 500 then 666 else 1 end as n, 'new' as name from generate_series(1, 1000) id`
      const datasource = postgresDatasource({ pool })
      const failures = { deadLetters: deadLetters() }
      expect(await run({ datasource, query, target: target(options), failures })).toMatchObject({
        detail: { read: 1000, failed: mode === 'insert' ? 2 : 1 },
      })
      const poison = mode === 'insert' ? [7, 500] : [500]
      expect(await deadIds()).toEqual(poison)
      expect(await values('select name from t where id = 7')).toEqual([mode === 'insert' ? 'old' : 'new'])
      expect(await values('select count(*)::int from t')).toEqual([999])
    })

    test('batches of one transaction outlive the failure of a later one', async () => {
      registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 60_000 })
      const failures = { total: 3 }
      const datasource = testDatasource(records(40, { 15: { n: 666 }, 16: { n: 'x' }, 39: { name: null } }))
      const status = await run({ datasource, batchSize: 4, target: target(options), failures })
      expect(status).toMatchObject({ state: 'successful', detail: { written: 37, failed: 3 } })
      expect(await values('select id from t order by id')).toEqual(idsBut(40, 15, 16, 39))
    })

    test('a lock that is not to be had is waited for, in smaller batches, and blames no record', async () => {
      await pool.query('insert into t values (5, 0, $1)', ['locked'])
      const locker = await pool.connect()
      await locker.query(
        `begin; ${mode === 'insert' ? 'delete from t where id = 5' : 'select from t where id = 5 for update'}`,
      )
      const unlocked = setTimeout(400).then(() => locker.query('commit'))
      const failures = { deadLetters: deadLetters() }
      const datasource = testDatasource(records(20))
      const status = await run({ datasource, target: target({ lockTimeout: 5, ...options }), failures })
      await unlocked
      locker.release()
      expect(status).toMatchObject({ state: 'successful', detail: { read: 20, written: 20, failed: 0 } })
      expect(await values('select count(*)::int from t')).toEqual([20])
    })

    test('a connection that is lost fails the try, and no record', async () => {
      const failures = { deadLetters: deadLetters() }
      const kill = async (record: JobRecord) => {
        if (record.id === 15) {
          await pool.query(`select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid() and query like '%headgate_write%' and query not like '%terminate%'`)
        }
        return record
      }
      registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 60_000 })
      const job = { datasource: testDatasource(records(20)), batchSize: 5, target: target(options), failures }
      expect(await run({ ...job, transform: kill })).toMatchObject({ state: 'error' })
      expect(await values('select count(*)::int from t')).toEqual([0])
      expect(await values('select count(*)::int from dead')).toEqual([0])
    })
  })

  test('with upsert, rows that are written are not merged again with those of the next batch', async () => {
    await pool.query(`create or replace function note() returns trigger language plpgsql as
      $$ begin new.name := coalesce(old.name, '') || 'x'; return new; end $$;
      create trigger note before insert or update on t for each row execute function note()`)
    registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 60_000 })
    const job = { datasource: testDatasource(records(12)), batchSize: 4, failures: {} }
    await run({ ...job, target: target({ mode: 'upsert', key: 'id' }) })
    expect(await values('select distinct name from t')).toEqual(['x'])
  })

  test.each([{}, { failures: {} }])(
    'records that a trigger leaves out are told once, and counted (%j)',
    async (more) => {
      await pool.query(`create or replace function skip() returns trigger language plpgsql as $$ begin return null; end $$;
      create trigger skip before insert on t for each row when (new.id in (3, 17)) execute function skip()`)
      const told: unknown[] = []
      const logger = { ...console, warn: (...parts: unknown[]) => told.push(parts.at(-1)) }
      registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 0, logger })
      const job = { datasource: testDatasource(records(20)), batchSize: 4, target: target(), ...more }
      expect(await run(job)).toMatchObject({ state: 'successful', detail: { written: 20 } })
      expect(await values('select id from t order by id')).toEqual(idsBut(20, 3, 17))
      expect(told).toEqual([expect.stringContaining('A trigger drops records that are appended to `public.t`')])
      told.length = 0
      await pool.query('drop trigger skip on t; truncate t; truncate headgate_checkpoint')
      registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 0, logger })
      expect(await run({ ...job, resume: 'restart' })).toMatchObject({ state: 'successful' })
      expect(told).toEqual([])
    },
  )

  test('a transaction that cannot begin for the moment begins later', async () => {
    const locker = await pool.connect()
    let unlocked: Promise<unknown> | undefined
    const key = createHash('sha256')
      .update(JSON.stringify(['ingestion', 'job', 'public.t']))
      .digest()
    const lock = async (record: JobRecord) => {
      if (unlocked) return record
      await locker.query('begin')
      await locker.query('select pg_advisory_xact_lock($1)', [String(key.readBigInt64BE())])
      unlocked = setTimeout(300).then(() => locker.query('commit'))
      return record
    }
    const job = { datasource: testDatasource(records(4)), target: target({ lockTimeout: 5 }), failures: {} }
    expect(await run({ ...job, transform: lock })).toMatchObject({ state: 'successful', detail: { written: 4 } })
    await unlocked
    locker.release()
  })

  test.each(['53100', '53200', 'XX001', '42501', '42883', '42703', '42601', '3F000'])(
    'an error of the server that blames no record (%s) fails the job',
    async (code) => {
      await pool.query(`create or replace function fail() returns trigger language plpgsql as
      $$ begin raise exception 'not in order' using errcode = '${code}'; end $$;
      create trigger fail before insert on t for each row when (new.id = 15) execute function fail()`)
      const failures = { deadLetters: deadLetters() }
      const job = {
        datasource: testDatasource(records(30, { 5: { n: 666 } })),
        batchSize: 10,
        target: target(),
        failures,
      }
      expect(await run(job)).toMatchObject({
        state: 'error',
        error: expect.arrayContaining([expect.stringMatching(/^not in order\. At PL\/pgSQL function fail/)]),
      })
      expect(await deadIds()).toEqual([5])
    },
  )

  test('a job beyond its budget leaves what was written before, and the dead letters, and goes on from there', async () => {
    const source = () => postgresDatasource({ pool })
    const job = {
      datasource: source(),
      query: `select id, case when id % 10 = 0 then 666 else id end as n, 'x' as name from generate_series(1, 100) id
        {{#last_id}}where id > {{last_id}}{{/last_id}} order by id`,
      pkField: 'id',
      batchSize: 25,
      target: target(),
      failures: { deadLetters: deadLetters(), total: 4 },
    }
    expect(await run(job)).toMatchObject({
      state: 'error',
      lastId: '49',
      count: 49,
      detail: { written: 45, failed: 4 },
      error: expect.arrayContaining([
        'Too many records failed: `failures.total` allows 4, and 4 of 49 were set aside before.',
        'Could not write to `public.t` (SQLSTATE 23514).',
      ]),
    })
    expect(await values('select max(id) from t')).toEqual([49])
    expect(await deadIds()).toEqual([10, 20, 30, 40])
    const { finished } = await registry.start('ingestion', 'job')
    expect(await finished).toMatchObject({ state: 'error', lastId: '89', detail: { written: 36, failed: 4 } })
    expect(await values('select count(*)::int from t')).toEqual([81])
    expect(await deadIds()).toEqual([10, 20, 30, 40, 50, 60, 70, 80])
  })

  test('COPY names the row: one bad row of 5,000 costs four writes, whatever the table is called', async () => {
    const name = 'odd, line 3 "of" x'
    const sql = `"${name.replaceAll('"', '""')}"`
    await pool.query(`drop table if exists ${sql}; create table ${sql} (id int primary key)`)
    const job = { datasource: testDatasource(records(5000, { 4321: { id: 'x' } })), batchSize: 5000 }
    const table = { schema: 'public', name }
    const status = await run({ ...job, target: target({ table, columns: { id: 'id' } }), failures: { total: 1 } })
    expect(status).toMatchObject({ state: 'successful', detail: { written: 4999, failed: 1 } })
    // What came before the bad row, and what came after it: to look for it in halves would make a dozen pieces.
    expect(await values(`select count(distinct xmin::text)::int from ${sql}`)).toEqual([2])
  })

  test.each([{}, { mode: 'upsert', key: 'id' } as const])(
    'without `failures`, the entry of a job that COPY refuses names the batch of the row, though later ones are being sent',
    async (more) => {
      const entries: Record<string, unknown>[] = []
      const nothing = () => {}
      const logger = {
        debug: nothing,
        info: nothing,
        warn: nothing,
        error: (entry: object) => entries.push({ ...entry }),
      }
      await using logging = new JobRegistry({ storage: memoryStorage(), logger })
      const query = `select n as id, case n when 70000 then 'x' else '1' end as n, 'a' as name from generate_series(1, 100000) n`
      const job = {
        datasource: postgresDatasource({ pool }),
        query,
        cursor: 'id',
        batchSize: 1000,
        target: target(more),
      }
      logging.define({ id: 'late', ...job })
      expect(await (await logging.start('ingestion', 'late')).finished).toMatchObject({
        error: expect.arrayContaining([
          expect.stringMatching(/^Batch 69, record 70,000 of this run( \(id 70000\))?\.$/),
        ]),
      })
      expect(entries).toMatchObject([{ batch: 69, recordIndex: 999, phase: 'target' }])
    },
  )

  test.each([{}, { mode: 'upsert', key: 'id' } as const])('an error that names no row names no batch', async (more) => {
    const causes: unknown[] = []
    registry.on('error', ({ cause }) => causes.push((cause as JobError).place))
    const datasource = testDatasource(records(30, { 5: { parent: 9 } }))
    expect(await run({ datasource, batchSize: 10, target: target(more) })).toMatchObject({ state: 'error' })
    expect(causes).toEqual([{ phase: 'target', text: 'Records 1 to 10 of this run.' }])
  })

  describe.each([
    ['by a cursor', {}, 1505],
    ['by a cursor that drains ties', { ties: 'drain' }, 1505],
    ['in pages', { consistency: 'pages' }, 1505],
    ['whose datasource knows no position within a batch', { isWhole: true }, 1000],
  ] as const)(
    'a job beyond its budget %s',
    (_, how: { isWhole?: true; ties?: 'drain'; consistency?: 'pages' }, count) => {
      test('commits the records and dead letters before, and the next run begins with the record', async () => {
        const { isWhole, ...more } = how
        const job = {
          datasource: isWhole ? withoutPositions(postgresDatasource({ pool })) : postgresDatasource({ pool }),
          query: `select n as id, case when n in (700, 1506) then 666 else 1 end as n, 'a' as name from generate_series(1, 2500) n`,
          cursor: { columns: 'id', ...more },
          batchSize: 1000,
          target: target(),
          failures: { deadLetters: deadLetters(), total: 1 },
        }
        await using slow = new JobRegistry({ storage: memoryStorage(), progressInterval: 60_000 })
        slow.define({ id: 'budget', ...job })
        const first = await (await slow.start('ingestion', 'budget')).finished
        expect(first).toMatchObject({
          state: 'error',
          error: expect.arrayContaining([expect.stringMatching(/^Too many records failed/)]),
        })
        const last = await values('select max(id) from t')
        expect([first.count, ...last, await deadIds()]).toEqual([count, count, [700]])
        const next = await (await slow.start('ingestion', 'budget')).finished
        expect([next.state, await deadIds()]).toEqual(['successful', [700, 1506]])
        expect(new Set(await values('select id from t')).size).toBe((await values('select id from t')).length)
      })
    },
  )
})
