import { type IngestionJob, JobRegistry, type JobStatus, type JobStorage, type Logger, memoryStorage } from 'headgate'
import { type PostgresTargetOptions, postgresDatasource } from 'headgate/postgres'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { targetTests } from './target-support.js'

type Options = Partial<PostgresTargetOptions>

describePostgres('a table that several jobs write to', (database) => {
  const tests = targetTests(database)
  let storage: JobStorage
  let registry: JobRegistry
  let warnings: string[]

  beforeEach(async () => {
    storage = memoryStorage()
    warnings = []
    const ignore = () => undefined
    const logger: Logger = {
      debug: ignore,
      info: ignore,
      error: ignore,
      warn: (_: object, text: string) => void warnings.push(text),
    }
    registry = new JobRegistry({ storage, logger, progressInterval: 0 })
    await tests.pool.query(`drop table if exists source, t, t_old, headgate_checkpoint;
      create table source (id int primary key, customer text);
      insert into source select id, case when id % 2 = 0 then 'acme' else 'bolt' end from generate_series(1, 100) id;
      create table t (id int primary key, customer text)`)
  })
  afterEach(() => registry.close())

  const define = (customer: string, options: Options = {}, more: Partial<IngestionJob> = {}) => {
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
  const run = async (id: string, fullRefresh = false): Promise<JobStatus> => {
    const { finished } = await registry.start('ingestion', id, { fullRefresh })
    return await finished
  }
  const counts = () => tests.rows('select customer, count(*)::int from t group by 1 order by 1')

  const emptiedBy = (id: string) =>
    tests.rows(`select checkpoint->'emptiedBy'->>'id' from headgate_checkpoint where id = '${id}'`)

  const successful = { state: 'successful' }
  const isLost = {
    state: 'error',
    error: expect.arrayContaining([
      expect.stringMatching(/Job \[ingestion\/acme\] has removed the records of this job from `public.t`.*`reset`/),
    ]),
  }

  /** How the job of one customer removes the records of another one. */
  const ways: Record<string, () => Promise<JobStatus>> = {
    'a full refresh that truncates': async () => {
      define('acme', { onFullRefresh: 'truncate' })
      await run('acme')
      return await run('acme', true)
    },
    'a full refresh with partitions': async () => {
      define('acme', { onFullRefresh: 'truncate' }, { partitions: 2 })
      await run('acme')
      return await run('acme', true)
    },
    'a swap of rows': async () => {
      define('acme', { strategy: 'replace', maxShrink: 1 })
      return await run('acme')
    },
    'a swap by renaming': async () => {
      define('acme', { strategy: 'replace', maxShrink: 1, swap: 'rename' })
      return await run('acme')
    },
  }

  describe.each(Object.entries(ways))('%s', (_, remove) => {
    test.each<[string, Options, Partial<IngestionJob>]>([
      ['appends', {}, {}],
      ['merges', { mode: 'upsert', key: 'id' }, {}],
      ['has partitions', {}, { partitions: 2 }],
    ])('fails the next run of a job that %s, and loads its records again after a reset', async (_, options, more) => {
      define('bolt', options, more)
      expect(await run('bolt')).toMatchObject(successful)
      expect(await remove()).toMatchObject(successful)
      expect(warnings.filter((text) => text.includes('removes the rows of 1 other job'))).toEqual([
        expect.stringContaining('[ingestion/bolt]'),
      ])
      await tests.pool.query(`insert into source values (101, 'bolt')`)
      expect(await run('bolt')).toMatchObject(isLost)
      expect(await run('bolt')).toMatchObject(isLost)
      await registry.reset('ingestion', 'bolt')
      expect(await run('bolt')).toMatchObject(successful)
      expect(await counts()).toEqual([
        ['acme', 50],
        ['bolt', 51],
      ])
      expect(await run('bolt')).toMatchObject(successful)
    })
  })

  test.each([
    ['restart', 51],
    ['continue', 1],
  ] as const)('a job with `ifTargetReset: %s` goes on, once', async (ifTargetReset, count) => {
    define('bolt', {}, { ifTargetReset })
    await run('bolt')
    await ways['a full refresh that truncates']?.()
    await tests.pool.query(`insert into source values (101, 'bolt')`)
    expect(await run('bolt')).toMatchObject(successful)
    expect(await run('bolt')).toMatchObject(successful)
    expect(await counts()).toEqual([
      ['acme', 50],
      ['bolt', count],
    ])
  })

  test('a job is found that wrote to the table under another name, or to a partition of it', async () => {
    await tests.pool.query('alter table t rename to t_old')
    define('bolt', { table: 't_old' })
    await run('bolt')
    await tests.pool.query(`create table whole (id int primary key, customer text) partition by range (id);
      alter table t_old rename to t; alter table whole attach partition t for values from (0) to (1000)`)
    try {
      define('acme', { table: 'whole', onFullRefresh: 'truncate' })
      await run('acme')
      await run('acme', true)
      define('bolt')
      expect(await emptiedBy('bolt')).toEqual([['acme']])
    } finally {
      await tests.pool.query('drop table whole')
    }
  })

  test('a job that writes at that moment commits nothing more', async () => {
    define('bolt')
    await run('bolt')
    const open = await tests.opened(tests.target(), { id: 'bolt', isResumed: true, ifReset: 'fail' })
    expect(await ways['a full refresh that truncates']?.()).toMatchObject(successful)
    await expect(open.flush?.({})).rejects.toThrow('was emptied while the job wrote to it')
    expect(await emptiedBy('bolt')).toEqual([['acme']])
  })

  test('row-level security that hides the checkpoints of other jobs refuses the truncate', async () => {
    define('acme', { onFullRefresh: 'truncate' })
    await run('acme')
    await tests.pool.query(`drop role if exists headgate_hidden; create role headgate_hidden;
      grant all on t, source, headgate_checkpoint to headgate_hidden;
      alter table headgate_checkpoint enable row level security;
      create policy own on headgate_checkpoint using (id = 'acme')`)
    const pool = new pg.Pool({ connectionString: database.url, options: '-c role=headgate_hidden' })
    try {
      define('acme', { onFullRefresh: 'truncate', pool })
      await expect(run('acme', true)).rejects.toThrow('Grant the role `bypassrls`')
      expect(await counts()).toEqual([['acme', 50]])
    } finally {
      await pool.end()
      await tests.pool.query('drop owned by headgate_hidden; drop role headgate_hidden')
    }
  })
})
