import { type IngestionJob, JobRegistry, type JobStatus, type Logger, memoryStorage } from 'headgate'
import { type PostgresTargetOptions, postgresDatasource } from 'headgate/postgres'
import pg from 'pg'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { targetTests } from './target-support.js'

type Job = Partial<IngestionJob>

describePostgres('a table of several jobs that was emptied by hand', (database) => {
  const tests = targetTests(database)
  let registry: JobRegistry
  let warnings: string[]

  beforeEach(async () => {
    warnings = []
    const ignore = () => undefined
    const warn = (_: object, text: string) => void warnings.push(text)
    const logger: Logger = { debug: ignore, info: ignore, error: ignore, warn }
    registry = new JobRegistry({ storage: memoryStorage(), logger, progressInterval: 0 })
    await tests.pool.query(`drop table if exists source, t, t1, t2, headgate_checkpoint;
      create table source (id int primary key, customer text);
      insert into source select id, case when id % 2 = 0 then 'acme' else 'bolt' end from generate_series(1, 100) id;
      create table t (id int, customer text)`)
  })
  afterEach(() => registry.close())

  const define = (customer: string, more: Job = {}, options: Partial<PostgresTargetOptions> = {}) => {
    registry.remove('ingestion', customer)
    registry.define({
      id: customer,
      datasource: postgresDatasource({ pool: tests.pool }),
      query: `select * from source where customer = '${customer}'`,
      cursor: 'id',
      batchSize: 20,
      target: tests.target(options),
      ...more,
    })
  }
  const run = async (id: string): Promise<JobStatus> => (await registry.start('ingestion', id)).finished
  const counts = () => tests.rows('select customer, count(*)::int from t group by 1 order by 1')
  const marks = () =>
    tests.rows(`select id, checkpoint->'emptiedBy'->>'id' from headgate_checkpoint
      where checkpoint->'emptiedBy' is not null order by 1`)
  const all = [
    ['acme', 50],
    ['bolt', 50],
  ]
  const successful = { state: 'successful' }
  const isLost = {
    state: 'error',
    error: expect.arrayContaining([
      expect.stringMatching(/Job \[ingestion\/acme\] has found `public.t` empty.*`reset`/),
    ]),
  }
  const load = async (more: Job = {}, options: Partial<PostgresTargetOptions> = {}) => {
    define('acme', more)
    define('bolt', more, options)
    expect(await run('acme')).toMatchObject(successful)
    expect(await run('bolt')).toMatchObject(successful)
  }

  const ways: Record<string, { more: Job; again(): Promise<JobStatus> }> = {
    'loads everything again': { more: { ifTargetReset: 'restart' }, again: () => run('acme') },
    'has failed, and was reset': {
      more: {},
      again: async () => {
        expect(await run('acme')).toMatchObject({ state: 'error' })
        await registry.reset('ingestion', 'acme')
        return run('acme')
      },
    },
    'loads only what is new': {
      more: { ifTargetReset: 'continue' },
      again: async () => {
        await tests.pool.query(`insert into source values (102, 'acme')`)
        return run('acme')
      },
    },
    'has partitions': { more: { ifTargetReset: 'restart', partitions: 2 }, again: () => run('acme') },
  }

  test.each(Object.entries(ways))('fails the other jobs once a job %s', async (_, { more, again }) => {
    define('acme', more)
    define('bolt')
    await run('acme')
    await run('bolt')
    await tests.pool.query('delete from t')
    expect(await again()).toMatchObject(successful)
    expect(await marks()).toEqual([['bolt', 'acme']])
    expect(await run('bolt')).toMatchObject(isLost)
    expect(await run('acme')).toMatchObject(successful)
    await registry.reset('ingestion', 'bolt')
    expect(await run('bolt')).toMatchObject(successful)
    expect(await counts()).toContainEqual(['bolt', 50])
  })

  test('one job after the other loads everything again, once', async () => {
    await load({ ifTargetReset: 'restart' })
    await tests.pool.query('truncate t')
    for (const id of ['acme', 'bolt', 'acme', 'bolt']) expect(await run(id)).toMatchObject(successful)
    expect(await counts()).toEqual(all)
    expect(warnings).toEqual([
      'Job [ingestion/acme]: `public.t` is empty, though 1 other job has written to it: [ingestion/bolt]. What their next runs do depends on `ifTargetReset`.',
    ])
  })

  test('two jobs that find it at once load everything again, once', async () => {
    await load({ ifTargetReset: 'restart', resume: 'auto', retry: { limit: 5, delay: 1 } })
    for (let n = 0; n < 2; n++) {
      await tests.pool.query('truncate t')
      expect(await Promise.all([run('acme'), run('bolt')])).toMatchObject([successful, successful])
      expect(await Promise.all([run('acme'), run('bolt')])).toMatchObject([successful, successful])
      expect(await counts()).toEqual(all)
    }
  })

  test('a new job lets the others know', async () => {
    await load()
    await tests.pool.query('truncate t')
    define('new', { query: 'select 1 as id' })
    expect(await run('new')).toMatchObject(successful)
    expect(await marks()).toEqual([
      ['acme', 'new'],
      ['bolt', 'new'],
    ])
  })

  test('a run that fails marks no job, so that all go on when the rows are restored', async () => {
    await load()
    await tests.pool.query('create table t1 as table t; truncate t')
    expect(await run('acme')).toMatchObject({ state: 'error' })
    await tests.pool.query('insert into t table t1')
    expect(await run('acme')).toMatchObject(successful)
    expect(await run('bolt')).toMatchObject(successful)
    expect(await counts()).toEqual(all)
  })

  test('a job is not marked whose rows are there, and one that has written none', async () => {
    await load({ ifTargetReset: 'restart' })
    define('none', { query: 'select 1 as id where false' })
    await run('none')
    await tests.pool.query(`delete from t where customer = 'acme'`)
    await registry.reset('ingestion', 'acme')
    expect(await run('acme')).toMatchObject(successful)
    expect(await marks()).toEqual([])
    await tests.pool.query('truncate t')
    expect(await run('acme')).toMatchObject(successful)
    expect(await marks()).toEqual([['bolt', 'acme']])
  })

  test('a job of a partitioned table is not marked when one partition is empty, and one of its partition is when the whole is', async () => {
    await tests.pool.query(`drop table t; create table t (id int, customer text) partition by list (customer);
      create table t1 partition of t for values in ('acme'); create table t2 partition of t for values in ('bolt')`)
    define('bolt')
    define('acme', {}, { table: 't1' })
    await run('bolt')
    await run('acme')
    await tests.pool.query('truncate t1')
    await registry.reset('ingestion', 'acme')
    expect(await run('acme')).toMatchObject(successful)
    expect(await marks()).toEqual([])
    await tests.pool.query('truncate t')
    await registry.reset('ingestion', 'bolt')
    expect(await run('bolt')).toMatchObject(successful)
    expect(await marks()).toEqual([['acme', 'bolt']])
  })

  test('row-level security that hides the checkpoints of other jobs does not fail the job', async () => {
    await load()
    await tests.pool.query(`truncate t; drop role if exists headgate_found; create role headgate_found;
      grant all on t, source, headgate_checkpoint to headgate_found;
      alter table headgate_checkpoint enable row level security;
      create policy own on headgate_checkpoint using (id = 'acme')`)
    const pool = new pg.Pool({ connectionString: database.url, options: '-c role=headgate_found' })
    onTestFinished(async () => {
      await pool.end()
      await tests.pool.query('drop owned by headgate_found; drop role headgate_found')
    })
    define('acme', { ifTargetReset: 'restart' }, { pool })
    expect(await run('acme')).toMatchObject(successful)
  })
})
