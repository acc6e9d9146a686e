import { type IngestionJob, JobRegistry, type JobStatus, type Logger, memoryStorage } from 'headgate'
import { newExecutionId, type OpenContext, type TargetWriter } from 'headgate/adapter'
import { type PostgresTargetOptions, postgresDatasource } from 'headgate/postgres'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { targetTests, write } from './target-support.js'

type Options = Partial<PostgresTargetOptions>

describePostgres('a job that writes while another one removes its rows', (database) => {
  const tests = targetTests(database)
  let registry: JobRegistry
  let warnings: string[]

  beforeEach(async () => {
    warnings = []
    const ignore = () => undefined
    const warn = (_: object, text: string) => void warnings.push(text)
    const logger: Logger = { debug: ignore, info: ignore, error: ignore, warn }
    registry = new JobRegistry({ storage: memoryStorage(), logger, progressInterval: 0 })
    await tests.pool.query(`drop table if exists source, t, headgate_checkpoint;
      create table source (id int primary key, customer text);
      insert into source select id, case when id % 2 = 0 then 'acme' else 'bolt' end from generate_series(1, 100) id;
      create table t (id int primary key, customer text)`)
  })
  afterEach(() => registry.close())

  const define = (customer: string, options: Options, more: Partial<IngestionJob> = {}) =>
    registry.define({
      id: customer,
      datasource: postgresDatasource({ pool: tests.pool }),
      query: `select * from source where customer = '${customer}'`,
      cursor: 'id',
      batchSize: 20,
      target: tests.target(options),
      ...more,
    })
  const run = async (id: string, fullRefresh = false): Promise<JobStatus> =>
    (await registry.start('ingestion', id, { fullRefresh })).finished
  const counts = () => tests.rows('select customer, count(*)::int from t group by 1 order by 1')
  const marks = () =>
    tests.rows(`select id, checkpoint->'emptiedBy'->>'id' from headgate_checkpoint
    where checkpoint->'emptiedBy' is not null`)

  const open = (options: Options = {}, more: Partial<OpenContext> = {}) =>
    tests.opened(tests.target(options), { id: 'bolt', ifReset: 'fail', ...more })
  const record = (id: number) => [{ id, customer: 'bolt' }]
  const commit = async (writer: TargetWriter, id: number, checkpoint: object | null = {}) => {
    await write(writer, record(id))
    await writer.flush?.(checkpoint)
  }

  /** Keeps all jobs from the table while `work` makes them wait for it, as many as it says. */
  const inLine = async (count: number, work: () => Promise<unknown>[]): Promise<PromiseSettledResult<unknown>[]> => {
    const holder = await tests.pool.connect()
    try {
      await holder.query('begin; lock table t in row exclusive mode')
      const settled: Promise<PromiseSettledResult<unknown>[]>[] = []
      const waiting = () =>
        tests.rows(`select from pg_locks join pg_class on relation = oid where relname = 't' and not granted`)
      for (let n = 1; n <= count; n++) {
        settled.push(Promise.allSettled(work()))
        await expect.poll(waiting, { timeout: 10_000 }).toHaveLength(n)
      }
      await holder.query('rollback')
      return (await Promise.all(settled)).flat()
    } finally {
      holder.release()
    }
  }

  const removals: Record<string, () => Promise<JobStatus>> = {
    'a full refresh that truncates': async () => {
      define('acme', { onFullRefresh: 'truncate' })
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
  const remove = removals['a swap of rows'] as () => Promise<JobStatus>

  /** As a role that may insert, and lock nothing. */
  const openUnprivileged = async () => {
    await tests.pool.query(`create role headgate_inserts;
      grant select, insert (id, customer) on t to headgate_inserts; grant create, usage on schema public to headgate_inserts`)
    const pool = new pg.Pool({ connectionString: database.url, options: '-c role=headgate_inserts' })
    onTestFinished(async () => {
      await pool.end()
      await tests.pool.query('drop owned by headgate_inserts; drop role headgate_inserts')
    })
    const writer = await open({ pool })
    await tests.pool.query('alter table headgate_checkpoint owner to current_user')
    await tests.pool.query('grant all on headgate_checkpoint to headgate_inserts')
    return writer
  }

  const jobs: Record<string, { open(): Promise<TargetWriter>; checkpoint?: null }> = {
    'that appends': { open },
    'that merges': { open: () => open({ mode: 'upsert', key: 'id' }) },
    'over two connections': { open: () => open({ connections: 2 }) },
    'with `failures`': { open: () => open({}, { toleratesFailures: true }) },
    'that never resumes': { open: () => open({}, { isResumable: false }), checkpoint: null },
    'whose role may not lock the table': { open: openUnprivileged },
  }

  describe.each(Object.entries(removals))('%s', (_, removal) => {
    test.each(Object.entries(jobs))('fails a job %s that has waited for it', async (_, { open, checkpoint }) => {
      const writer = await open()
      await commit(writer, 1, checkpoint)
      const works = [removal, () => commit(writer, 3, checkpoint)]
      const [removed, written] = await inLine(2, () => [(works.shift() as () => Promise<unknown>)()])
      expect(removed).toMatchObject({ status: 'fulfilled', value: { state: 'successful' } })
      const reason = expect.objectContaining({ code: 'target' })
      expect(written).toEqual({ status: 'rejected', reason })
      expect(String(Object(written).reason)).toMatch('was emptied while the job wrote')
      expect(await counts()).toEqual([['acme', 50]])
      expect(await marks()).toEqual([['bolt', 'acme']])
      expect(warnings).toEqual([expect.stringContaining('1 other job that appends to `public.t`: [ingestion/bolt]')])
    })
  })

  test('a job that has written nothing goes on', async () => {
    const writer = await open()
    await writer.flush?.({})
    expect(await remove()).toMatchObject({ state: 'successful' })
    await commit(writer, 1)
    expect(await marks()).toEqual([])
    expect(await counts()).toEqual([
      ['acme', 50],
      ['bolt', 1],
    ])
    expect(await run('acme')).toMatchObject({ state: 'successful' })
    expect(await marks()).toEqual([['bolt', 'acme']])
  })

  describe('with partitions', () => {
    const scheme = newExecutionId('bolt', 0)
    const openPartition = (partition: number, more: Partial<OpenContext> = {}) =>
      open({}, { partition, scheme, ...more })
    const checkpoint = { scheme }
    const begin = async () => {
      const parent = await open()
      await parent.flush?.({ scheme: { id: scheme } })
      return parent
    }

    test.each([
      ['that resume', checkpoint],
      ['that never resume', null],
    ])('none of those %s commits until the job begins again', async (_, checkpoint) => {
      await begin()
      const first = await openPartition(0)
      await commit(first, 1, checkpoint)
      expect(await remove()).toMatchObject({ state: 'successful' })
      const second = await openPartition(1)
      await expect(commit(second, 3, checkpoint)).rejects.toThrow('was emptied while the job wrote')
      await expect(commit(first, 5, checkpoint)).rejects.toThrow('was emptied while the job wrote')
      expect(await counts()).toEqual([['acme', 50]])

      const late = await openPartition(2, { ifReset: 'continue' })
      const parent = await open({}, { isResumed: true, ifReset: 'restart' })
      expect(await parent.isReset?.()).toBe(true)
      const again = newExecutionId('bolt', 1)
      await parent.flush?.({ scheme: { id: again } })
      await expect(commit(late, 7, checkpoint)).rejects.toMatchObject({ code: 'lease_lost' })
      await commit(await openPartition(0, { scheme: again }), 1, checkpoint && { scheme: again })
      expect(await counts()).toEqual([
        ['acme', 50],
        ['bolt', 1],
      ])
    })

    test('all go on that have written nothing, also while the job takes over', async () => {
      await begin()
      const first = await openPartition(0)
      await first.flush?.(checkpoint)
      expect(await remove()).toMatchObject({ state: 'successful' })
      expect(await marks()).toEqual([])
      const parent = await open({}, { isResumed: true })
      await commit(first, 1, checkpoint)
      // The job read before that it has no rows.
      await parent.flush?.({ scheme: { id: scheme } })
      expect(await run('acme')).toMatchObject({ state: 'successful' })
      expect(await marks()).toEqual([['bolt', 'acme']])
    })

    test('the job counts on their rows once they are done', async () => {
      await begin()
      await commit(await openPartition(0), 1, checkpoint)
      await (await open()).flush?.({ sequence: 1 })
      await (await open()).flush?.({ scheme: { id: newExecutionId('bolt', 1) } })
      expect(await remove()).toMatchObject({ state: 'successful' })
      expect(await marks()).toEqual([['bolt', 'acme']])
    })
  })

  test('two jobs that truncate at once wait for each other without a deadlock, and load everything', async () => {
    for (const id of ['acme', 'bolt']) {
      const more = { resume: 'auto', retry: { limit: 5, delay: 1 }, ifTargetReset: 'restart' } as const
      define(id, { onFullRefresh: 'truncate' }, more)
      await run(id)
    }
    const works = ['acme', 'bolt']
    const refreshed = await inLine(2, () => [run(works.shift() as string, true)])
    const successful = { status: 'fulfilled', value: expect.objectContaining({ state: 'successful' }) }
    expect(refreshed).toEqual([successful, successful])
    expect(warnings.filter((text) => text.includes('deadlock'))).toEqual([])
    await run('acme')
    await run('bolt')
    expect(await counts()).toEqual([
      ['acme', 50],
      ['bolt', 50],
    ])
  })
})
