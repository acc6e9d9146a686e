import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type IngestionJob,
  type JobRecord,
  JobRegistry,
  type JobStorage,
  type Logger,
  memoryStorage,
  type Target,
} from 'headgate'
import { ndjsonFile } from 'headgate/ndjson'
import { type PostgresTargetOptions, postgresDatasource, postgresTarget } from 'headgate/postgres'
import { heldJob } from 'headgate/testing'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'

const template = 'select id, name from source {{#last_id}}where id > {{last_id}}{{/last_id}} order by id'
const ranges = `select id, name from source where true {{#from}}and id >= {{from}}{{/from}} {{#until}}and id < {{until}}{{/until}}
  {{#last_id}}and id > {{last_id}}{{/last_id}} order by id`

/** Ways to read. */
const reads = {
  'a cursor': { query: 'table source', cursor: 'id' },
  'a template': { query: template, pkField: 'id' },
  'partitions of a cursor': { query: 'table source', cursor: 'id', partitions: 3 },
  'partitions by bounds': { query: ranges, pkField: 'id', partitions: [30, 60] },
} satisfies Record<string, Partial<IngestionJob>>

const fullRefresh = true

/** A transform that fails at the record after that many. */
function failingAfter(count: number): (record: JobRecord) => JobRecord {
  let left = count
  return (record) => {
    if (left-- === 0) throw new Error('It is over.')
    return record
  }
}

describePostgres('a full refresh', (database) => {
  let pool: pg.Pool
  let storage: JobStorage
  let registry: JobRegistry | undefined
  let logged: [level: string, details: object, message: string][] = []
  beforeAll(() => {
    pool = new pg.Pool({ connectionString: database.url })
  })
  afterAll(() => pool.end())
  beforeEach(async () => {
    storage = memoryStorage()
    logged = []
    await pool.query(`drop table if exists source, t, dead, headgate_checkpoint;
      create table source (id int primary key, name text); create table t (id int, name text);
      insert into source select id, 'old' from generate_series(1, 100) id`)
  })
  afterEach(() => registry?.close())

  const logger = Object.fromEntries(
    ['debug', 'info', 'warn', 'error'].map((level) => [
      level,
      (details: object, message: string) => void logged.push([level, details, message]),
    ]),
  ) as unknown as Logger
  const define = async (options: Partial<PostgresTargetOptions>, more: Partial<IngestionJob>) => {
    await registry?.close()
    registry = new JobRegistry({ storage, progressInterval: 5, logger })
    const target = postgresTarget({ pool, table: 't', ...options } as PostgresTargetOptions)
    registry.define({ id: 'job', datasource: postgresDatasource({ pool }), batchSize: 10, target, ...more })
    return registry
  }
  const run = async (
    options: Partial<PostgresTargetOptions>,
    more: Partial<IngestionJob>,
    start: { fullRefresh?: boolean } = {},
  ) => {
    const { finished } = await (await define(options, more)).start('ingestion', 'job', start)
    return finished
  }
  const found = async () => {
    const { rows } = await pool.query(`select count(*)::int as rows, count(distinct id)::int as ids,
      count(*) filter (where name = 'new')::int as new from t`)
    return rows[0]
  }
  const change = () =>
    pool.query(
      "update source set name = 'new'; delete from source where id <= 10; insert into source values (101, 'new')",
    )
  const announced = () => logged.filter(([level, , message]) => level === 'info' && /full refresh/.test(message))

  const { 'a cursor': byCursor, 'partitions of a cursor': inPartitions } = reads

  test.each<[keyof typeof reads, 'truncate' | 'merge', Partial<PostgresTargetOptions>]>([
    ['a cursor', 'truncate', {}],
    ['a cursor', 'truncate', { connections: 2 }],
    ['a template', 'truncate', {}],
    ['partitions of a cursor', 'truncate', {}],
    ['partitions by bounds', 'truncate', {}],
    ['a cursor', 'merge', { mode: 'upsert', key: 'id' }],
    ['partitions of a cursor', 'merge', { mode: 'upsert', key: 'id' }],
  ])('by %s %ss, and the next run goes on from its end (%j)', async (read, effect, more) => {
    const job = reads[read]
    if (effect === 'merge') await pool.query('alter table t add primary key (id)')
    const options = { ...more, ...(effect === 'truncate' && { onFullRefresh: effect }) }
    await run(options, job)
    await change()
    expect(await run(options, job, { fullRefresh })).toMatchObject({
      state: 'successful',
      count: 91,
      detail: { fullRefresh: effect, read: 91, written: 91 },
    })
    const kept = effect === 'merge' ? 10 : 0
    expect(await found()).toEqual({ rows: 91 + kept, ids: 91 + kept, new: 91 })
    expect(announced()).toEqual([['info', expect.objectContaining({ fullRefresh: effect }), expect.any(String)]])
    await pool.query("insert into source values (102, 'new')")
    const next = await run(options, job)
    expect(next).toMatchObject({ state: 'successful', count: 1 })
    expect(next.detail).not.toHaveProperty('fullRefresh')
    expect(await found()).toEqual({ rows: 92 + kept, ids: 92 + kept, new: 92 })
  })

  test.each([byCursor, inPartitions])(
    'of an empty source empties the table, and the next run goes on (%j)',
    async (job) => {
      await run({ onFullRefresh: 'truncate' }, job)
      await pool.query('delete from source')
      expect(await run({ onFullRefresh: 'truncate' }, job, { fullRefresh })).toMatchObject({ state: 'successful' })
      expect(await found()).toEqual({ rows: 0, ids: 0, new: 0 })
      await pool.query("insert into source values (1, 'new')")
      expect(await run({ onFullRefresh: 'truncate' }, job)).toMatchObject({ state: 'successful', count: 1 })
      expect(await found()).toEqual({ rows: 1, ids: 1, new: 1 })
    },
  )

  test('is refused by a target that appends, and nothing happens', async () => {
    await run({}, byCursor)
    const refused = { code: 'invalid_options', message: expect.stringContaining("`onFullRefresh: 'truncate'`") }
    await expect(run({}, byCursor, { fullRefresh })).rejects.toMatchObject(refused)
    expect(await found()).toMatchObject({ rows: 100 })
    expect(await run({}, byCursor)).toMatchObject({ state: 'successful', count: 0 })
  })

  test('that replaces drops what an interrupted run has loaded, and swaps at the end', async () => {
    const replace = { strategy: 'replace', maxShrink: 1 } as const
    const job = { ...byCursor, transform: (record: JobRecord) => record } satisfies Partial<IngestionJob>
    await run(replace, job)
    expect(await run(replace, { ...job, transform: failingAfter(50) })).toMatchObject({ state: 'error' })
    await change()
    expect(await run(replace, job, { fullRefresh })).toMatchObject({
      state: 'successful',
      count: 91,
      detail: { fullRefresh: 'replace', read: 91, split: false },
    })
    expect(await found()).toEqual({ rows: 91, ids: 91, new: 91 })
  })

  test('keeps the old rows until the first new ones, and is done by the next run when it failed before', async () => {
    const job = { ...byCursor, transform: (record: JobRecord) => record } satisfies Partial<IngestionJob>
    const options = { onFullRefresh: 'truncate' } as const
    await run(options, job)
    await change()
    const transform = failingAfter(0)
    expect(await run(options, { ...job, transform }, { fullRefresh })).toMatchObject({ state: 'error', count: 0 })
    expect(await found()).toEqual({ rows: 100, ids: 100, new: 0 })
    expect(await run(options, job)).toMatchObject({ count: 91, detail: { fullRefresh: 'truncate' } })
    expect(await found()).toEqual({ rows: 91, ids: 91, new: 91 })
  })

  test("that has not begun stays when the job is defined with `resume: 'restart'`, which cannot do it", async () => {
    const job = { ...byCursor, transform: (record: JobRecord) => record } satisfies Partial<IngestionJob>
    const options = { onFullRefresh: 'truncate' } as const
    await run(options, job)
    await change()
    const transform = failingAfter(0)
    await run(options, { ...job, transform }, { fullRefresh })
    for (let round = 0; round < 2; round++) {
      expect(await run(options, { ...job, resume: 'restart' })).toMatchObject({
        state: 'error',
        error: [
          expect.stringMatching(/^The job has yet to do a full refresh .* call `reset`/),
          expect.stringContaining("The job has `resume: 'restart'`"),
        ],
      })
      expect(await found()).toEqual({ rows: 100, ids: 100, new: 0 })
    }
    expect(await run(options, job)).toMatchObject({ count: 91, detail: { fullRefresh: 'truncate' } })
    expect(await found()).toEqual({ rows: 91, ids: 91, new: 91 })
  })

  test('that has not begun is dropped by a reset', async () => {
    const job = { ...byCursor, transform: (record: JobRecord) => record } satisfies Partial<IngestionJob>
    const options = { onFullRefresh: 'truncate' } as const
    const transform = failingAfter(0)
    await run(options, job)
    await run(options, { ...job, transform }, { fullRefresh })
    await registry?.reset('ingestion', 'job')
    const next = await run(options, job)
    expect(next).toMatchObject({ state: 'successful', count: 100 })
    expect(next.detail).not.toHaveProperty('fullRefresh')
    expect(await found()).toMatchObject({ rows: 200 })
  })

  test('that failed in the middle is gone on with, and empties nothing again', async () => {
    const job = { ...byCursor, transform: (record: JobRecord) => record } satisfies Partial<IngestionJob>
    const options = { onFullRefresh: 'truncate' } as const
    await run(options, job)
    await change()
    const transform = failingAfter(50)
    const failed = await run(options, { ...job, transform }, { fullRefresh })
    expect(failed).toMatchObject({ state: 'error', count: 50 })
    expect(await found()).toEqual({ rows: 50, ids: 50, new: 50 })
    expect(await run(options, job)).toMatchObject({ state: 'successful', count: 41 })
    expect(await found()).toEqual({ rows: 91, ids: 91, new: 91 })
  })

  test('of a job without positions empties the table in every execution until one is done', async () => {
    const job = { query: 'select * from source order by id', transform: (record: JobRecord) => record }
    const options = { onFullRefresh: 'truncate' } as const
    await run(options, job)
    await change()
    const transform = failingAfter(50)
    expect(await run(options, { ...job, transform }, { fullRefresh })).toMatchObject({ state: 'error' })
    expect(await run(options, job)).toMatchObject({ state: 'successful', count: 91 })
    expect(await found()).toEqual({ rows: 91, ids: 91, new: 91 })
    // As ever, the run of such a job begins at the beginning.
    await run(options, job)
    expect(await found()).toMatchObject({ rows: 182, ids: 91 })
  })

  test('sets bad records aside, each once, beside those of earlier runs', async () => {
    await pool.query('create table dead (key text, record json); alter table t add check (id % 10 <> 0)')
    const deadLetters = postgresTarget({ pool, table: 'dead', columns: { key: 'key', record: 'record' } })
    const job = { ...byCursor, failures: { deadLetters, consecutive: 100, total: 100 } }
    await run({ onFullRefresh: 'truncate' }, job)
    await change()
    expect(await run({ onFullRefresh: 'truncate' }, job, { fullRefresh })).toMatchObject({
      state: 'successful',
      detail: { read: 91, written: 82, failed: 9, fullRefresh: 'truncate' },
    })
    expect(await found()).toEqual({ rows: 82, ids: 82, new: 82 })
    const { rows } = await pool.query('select count(*)::int as n, count(distinct key)::int as keys from dead')
    expect(rows).toEqual([{ n: 19, keys: 19 }])
  })

  test('no earlier partition writes any more, even if its process is frozen', async () => {
    const target = postgresTarget({ pool, table: 't', onFullRefresh: 'truncate' })
    const job = { ...inPartitions }
    await run({ onFullRefresh: 'truncate' }, job)
    const signal = new AbortController().signal
    const { hits } = await storage.search({ includePartitions: true, size: 100 })
    const { executionId } = hits.find(({ partition }) => partition === 1) ?? { executionId: '' }
    const context = { type: 'ingestion', id: 'job', partition: 1, executionId, signal }
    const { writer } = await target.open({ ...context, position: undefined, isResumed: true, isResumable: true })
    await run({ onFullRefresh: 'truncate' }, { ...job, transform: () => null }, { fullRefresh })
    await expect(writer.flush?.({ at: 1 })).rejects.toMatchObject({ code: 'lease_lost' })
    await writer.abort?.({ reason: 'over', leaseLost: true })
    expect(await found()).toMatchObject({ rows: 0 })
  })

  test('is refused by functions and by files that are appended to, and by jobs that are no ingestions', async () => {
    const path = join(await mkdtemp(join(tmpdir(), 'headgate-refresh-')), 'a')
    const appends = { code: 'invalid_options', message: expect.stringContaining('appends') }
    for (const target of [() => undefined, ndjsonFile({ path, strategy: 'append' })] as Target[]) {
      await expect(run({}, { ...byCursor, target }, { fullRefresh })).rejects.toMatchObject(appends)
    }
    await rm(path, { force: true })
    const held = heldJob({ type: 'own', id: 'job' })
    registry?.define(held.job)
    await expect(registry?.start('own', 'job', { fullRefresh })).rejects.toMatchObject({
      code: 'invalid_options',
      message: expect.stringContaining('`reset`'),
    })
    const restarts = { ...byCursor, resume: 'restart' } as const
    await expect(run({ onFullRefresh: 'truncate' }, restarts, { fullRefresh })).rejects.toMatchObject({
      message: expect.stringContaining("`resume: 'restart'`"),
    })
  })

  test.each([byCursor, inPartitions])('a reset reads all again into a table that was emptied (%j)', async (job) => {
    await run({}, job)
    await pool.query('truncate t')
    expect(await registry?.reset('ingestion', 'job')).toMatchObject({ state: 'successful' })
    expect(await run({}, job)).toMatchObject({ state: 'successful', count: 100 })
    expect(await found()).toMatchObject({ rows: 100, ids: 100 })
    expect(await run({}, job)).toMatchObject({ state: 'successful', count: 0 })
  })

  test('a reset to a checkpoint lets the next run begin there', async () => {
    await run({}, reads['a template'])
    await pool.query('delete from t where id > 60')
    await registry?.reset('ingestion', 'job', { checkpoint: { lastId: '60' } })
    expect(await run({}, reads['a template'])).toMatchObject({ state: 'successful', count: 40 })
    expect(await found()).toMatchObject({ rows: 100, ids: 100 })
    for (const checkpoint of [{}, { lastId: 60.5 }, { cursor: 1 }, { lastId: '1', other: 1 }, 5]) {
      const refused = registry?.reset('ingestion', 'job', { checkpoint })
      await expect(refused).rejects.toMatchObject({ code: 'invalid_options' })
    }
  })

  test('a reset accepts a checkpoint that storage held', async () => {
    await run({}, byCursor)
    const position = Object(await storage.find('ingestion', 'job')).checkpoint
    await pool.query("insert into source values (101, 'new')")
    await run({}, byCursor)
    await pool.query('delete from t where id = 101')
    await registry?.reset('ingestion', 'job', { checkpoint: position })
    expect(await run({}, byCursor)).toMatchObject({ state: 'successful', count: 1 })
    expect(await found()).toMatchObject({ rows: 101, ids: 101 })
  })

  test('a reset that ended between storage and the target has reset nothing', async () => {
    await run({}, byCursor)
    await storage.reset?.('ingestion', 'job', { checkpoint: null })
    expect(await run({}, byCursor)).toMatchObject({ state: 'successful', count: 0 })
    expect(await found()).toMatchObject({ rows: 100, ids: 100 })
  })

  test('a reset is refused while the job is live, and by a storage without it', async () => {
    const held = heldJob({ type: 'own', id: 'job' })
    const { finished } = await (async () => {
      await define({}, byCursor)
      registry?.define(held.job)
      return (registry as JobRegistry).start('own', 'job')
    })()
    ;(await held.running).progress({ checkpoint: { at: 1 } })
    await expect(registry?.reset('own', 'job')).rejects.toMatchObject({ code: 'already_running' })
    held.finish()
    await finished
    expect((await storage.find('own', 'job'))?.checkpoint).toEqual({ at: 1 })
    await registry?.reset('own', 'job', { checkpoint: { at: 2 } })
    expect((await storage.find('own', 'job'))?.checkpoint).toEqual({ at: 2 })
    await expect(registry?.reset('own', 'other')).rejects.toMatchObject({ code: 'not_defined' })
    await registry?.close()
    storage = Object.assign(memoryStorage(), { reset: undefined })
    await define({}, byCursor)
    await expect(registry?.reset('ingestion', 'job')).rejects.toMatchObject({ code: 'not_supported' })
  })
})
