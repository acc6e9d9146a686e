import { type IngestionJob, JobRegistry, type JobStatus, type Logger, memoryStorage } from 'headgate'
import { type PostgresTargetOptions, postgresDatasource } from 'headgate/postgres'
import pg from 'pg'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { foundEmptyTests } from '../target-found-empty.js'
import { targetTests } from './target-support.js'

type Job = Partial<IngestionJob>

describePostgres('a table of several jobs that was emptied by hand', (database) => {
  const tests = targetTests(database)
  foundEmptyTests({
    datasource: () => postgresDatasource({ pool: tests.pool }),
    target: () => tests.target({ createTable: true }),
    run: async (...statements) => void (await tests.pool.query(statements.join(';'))),
    rows: (query) => tests.rows(query.replace('checkpoint from', 'checkpoint::text from')) as Promise<unknown[][]>,
  })
})

describePostgres('a table of several jobs that was emptied by hand, with what Postgres has beside it', (database) => {
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
  const marks = () =>
    tests.rows(`select id, checkpoint->'emptiedBy'->>'id' from headgate_checkpoint
      where checkpoint->'emptiedBy' is not null order by 1`)
  const successful = { state: 'successful' }
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
    define('acme')
    define('bolt')
    await run('acme')
    await run('bolt')
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
