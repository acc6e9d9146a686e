import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type IngestionJob, JobRegistry, type JobStorage, memoryStorage } from 'headgate'
import { postgresDatasource } from 'headgate/datasource/postgres'
import { ndjsonFile } from 'headgate/target/ndjson-file'
import { postgresTarget } from 'headgate/target/postgres'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'

const template = 'select id from source {{#last_id}}where id > {{last_id}}{{/last_id}} order by id'
const ranges = `select id from source where true {{#from}}and id >= {{from}}{{/from}} {{#until}}and id < {{until}}{{/until}}
  {{#last_id}}and id > {{last_id}}{{/last_id}} order by id`

/** Ways to read. */
const reads = {
  'a cursor': { query: 'table source', cursor: 'id' },
  'a template': { query: template, pkField: 'id' },
  'partitions of a cursor': { query: 'table source', cursor: 'id', partitions: 3 },
  'partitions by bounds': { query: ranges, pkField: 'id', partitions: [30, 60] },
} satisfies Record<string, Partial<IngestionJob>>

const resetError = { state: 'error', count: 0, error: expect.arrayContaining([expect.stringMatching(/ifTargetReset/)]) }

describePostgres('a target that lost what the checkpoint counts on', (database) => {
  let pool: pg.Pool
  let storage: JobStorage
  let registry: JobRegistry | undefined
  beforeAll(() => {
    pool = new pg.Pool({ connectionString: database.url })
  })
  afterAll(() => pool.end())
  beforeEach(async () => {
    storage = memoryStorage()
    await pool.query(`drop table if exists source, t, headgate_checkpoint; create table source (id int primary key);
      create table t (id int); insert into source select generate_series(1, 100)`)
  })
  afterEach(() => registry?.close())

  const define = async (more: Partial<IngestionJob>) => {
    await registry?.close()
    registry = new JobRegistry({ storage, progressInterval: 5 })
    const target = postgresTarget({ pool, table: 't' })
    registry.define({ id: 'job', datasource: postgresDatasource({ pool }), batchSize: 10, target, ...more })
    return registry
  }
  const run = async (more: Partial<IngestionJob>) => (await (await define(more)).start('ingestion', 'job')).finished
  const found = async () => {
    const { rows } = await pool.query('select count(*)::int as rows, count(distinct id)::int as ids from t')
    return rows[0]
  }
  const whole = { rows: 100, ids: 100 }

  describe.each(Object.entries(reads))('read by %s', (_, job) => {
    beforeEach(async () => {
      expect(await run(job)).toMatchObject({ state: 'successful', count: 100 })
    })

    test('a full refresh is there once: emptied, restarted, and run as usual', async () => {
      await pool.query('truncate t')
      expect(await run({ ...job, resume: 'restart' })).toMatchObject({ state: 'successful', count: 100 })
      expect(await run(job)).toMatchObject({ state: 'successful', count: 0 })
      expect(await found()).toEqual(whole)
    })

    test.each(['truncate t', 'delete from t', 'drop table t; create table t (id int)'])(
      'after `%s`, the job fails, or does what it says',
      async (change) => {
        await pool.query(change)
        expect(await run(job)).toMatchObject(resetError)
        expect(await run(job)).toMatchObject(resetError)
        expect(await run({ ...job, ifTargetReset: 'restart' })).toMatchObject({ state: 'successful', count: 100 })
        expect(await run(job)).toMatchObject({ state: 'successful', count: 0 })
        expect(await found()).toEqual(whole)
        await pool.query(`${change}; insert into source values (101)`)
        expect(await run({ ...job, ifTargetReset: 'continue' })).toMatchObject({ state: 'successful', count: 1 })
        expect(await found()).toEqual({ rows: 1, ids: 1 })
      },
    )

    test('a table that was made anew is refused also when it has rows', async () => {
      await pool.query('drop table t; create table t as select 7 as id')
      expect(await run(job)).toMatchObject(resetError)
    })

    test('an emptied table whose checkpoint was deleted is loaded again', async () => {
      await pool.query('truncate t; delete from headgate_checkpoint')
      expect(await run(job)).toMatchObject({ state: 'successful', count: 100 })
      expect(await run(job)).toMatchObject({ state: 'successful', count: 0 })
      expect(await found()).toEqual(whole)
    })

    test('rows whose checkpoint was deleted are neither doubled nor missed', async () => {
      await pool.query('delete from headgate_checkpoint; insert into source values (101)')
      expect(await run(job)).toMatchObject(resetError)
      expect(await run({ ...job, ifTargetReset: 'continue' })).toMatchObject({ state: 'successful', count: 1 })
      expect(await found()).toEqual({ rows: 101, ids: 101 })
    })

    test('a storage that was lost is made up for by the target', async () => {
      storage = memoryStorage()
      await pool.query('insert into source values (101)')
      expect(await run(job)).toMatchObject({ state: 'successful', count: 1 })
      expect(await found()).toEqual({ rows: 101, ids: 101 })
    })

    describe('with a checkpoint as an earlier version kept it', () => {
      beforeEach(async () => {
        storage = memoryStorage()
        await pool.query(`insert into source values (101);
          update headgate_checkpoint set checkpoint = (checkpoint::jsonb - 'relation' - 'written')::json`)
      })

      test('the rows are known by the name of the table, and nothing comes twice', async () => {
        const { rows } = await pool.query(`select type || '/' || id as job, key from headgate_checkpoint`)
        const keyOf = (type: string, id: string) => createHash('sha256').update(JSON.stringify([type, id, 'public.t']))
        for (const { job: name, key } of rows) {
          const [type, id] = name.split('/')
          expect(key).toEqual(keyOf(type, id).digest())
        }
        expect(await run(job)).toMatchObject({ state: 'successful', count: 1 })
        expect(await found()).toEqual({ rows: 101, ids: 101 })
      })

      test('a table that was emptied meanwhile is noticed', async () => {
        await pool.query('truncate t')
        expect(await run(job)).toMatchObject(resetError)
      })
    })

    test('a table that was restored together with its checkpoint resumes from there', async () => {
      await pool.query(`create table backup as table t; create table kept as table headgate_checkpoint;
        insert into source values (101)`)
      await run(job)
      await pool.query(`drop table t, headgate_checkpoint; alter table backup rename to t;
        alter table kept rename to headgate_checkpoint; alter table headgate_checkpoint add primary key (key)`)
      expect(await run(job)).toMatchObject({ state: 'successful', count: 1 })
      expect(await found()).toEqual({ rows: 101, ids: 101 })
    })

    test('a checkpoint of another target is none', async () => {
      await pool.query('drop table if exists other; create table other (id int)')
      const target = postgresTarget({ pool, table: 'other' })
      expect(await run({ ...job, target })).toMatchObject({ state: 'successful', count: 100 })
      await pool.query('delete from headgate_checkpoint')
      expect(await run({ ...job, target })).toMatchObject(resetError)
    })
  })

  describe.each(['partitions of a cursor', 'partitions by bounds'] as const)('%s that are not all done', (name) => {
    const job: Partial<IngestionJob> = reads[name]
    const failing: IngestionJob['transform'] = (record) => {
      if ((record as { id: number }).id === 95) throw new Error('refused')
      return record
    }
    beforeEach(async () => {
      expect(await run({ ...job, transform: failing })).toMatchObject({ state: 'error' })
      expect((await found())?.rows).toBeGreaterThan(0)
    })

    test('fail when the table was emptied', async () => {
      await pool.query('truncate t')
      expect(await run(job)).toMatchObject(resetError)
      expect(await run({ ...job, ifTargetReset: 'restart' })).toMatchObject({ state: 'successful' })
      expect(await found()).toEqual(whole)
    })

    test('resume when the storage was lost', async () => {
      storage = memoryStorage()
      expect(await run(job)).toMatchObject({ state: 'successful' })
      expect(await found()).toEqual(whole)
    })

    test('are refused without partitions when the storage was lost', async () => {
      storage = memoryStorage()
      const { partitions: _, ...uncut } = job
      const query = name === 'partitions by bounds' ? template : 'table source'
      for (const _ of [1, 2]) expect(await run({ ...uncut, query })).toMatchObject({ state: 'error', count: 0 })
      expect(await run(job)).toMatchObject({ state: 'successful' })
      expect(await found()).toEqual(whole)
    })
  })

  test('a table that is empty as nothing was written is none that was emptied', async () => {
    const job = { query: 'table source', cursor: 'id', transform: () => null }
    expect(await run(job)).toMatchObject({ state: 'successful', count: 100 })
    expect(await run(job)).toMatchObject({ state: 'successful', count: 0 })
  })

  test('a role that may not read the table writes to it', async () => {
    await pool.query(
      'drop role if exists writer_only; create role writer_only login; grant create, usage on schema public to writer_only',
    )
    const url = new URL(database.url)
    url.searchParams.set('options', '-c role=writer_only')
    await pool.query('grant insert on t to writer_only; grant select on source to writer_only')
    const target = postgresTarget({ connectionString: url.href, table: 't' })
    const job = { query: 'table source', cursor: 'id', target }
    const one = await run({ ...job, records: 60 })
    expect(one).toMatchObject({ state: 'successful', count: 60 })
    expect(await run(job)).toMatchObject({ state: 'successful', count: 40 })
    await pool.query('drop owned by writer_only; drop role writer_only')
  })

  test('tries of one execution resume from what it has saved, although it started over', async () => {
    let failures = 1
    const transform: IngestionJob['transform'] = async (record) => {
      if ((record as { id: number }).id === 75 && failures-- > 0)
        throw Object.assign(new Error(), { code: 'ECONNRESET' })
      return record
    }
    const retry = { limit: 1, delay: 1 }
    const job = { query: 'table source', cursor: 'id', transform, retry, resume: 'restart' } as const
    expect(await run(job)).toMatchObject({ state: 'successful', count: 100 })
    expect(await found()).toEqual(whole)
  })

  describe('a file that is appended to', () => {
    let folder: string
    let path: string
    const lines = async () => (await readFile(path, 'utf8')).split('\n').length - 1
    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'headgate-'))
      path = join(folder, 'out.ndjson')
    })
    afterEach(() => rm(folder, { recursive: true }))

    test.each<[string, () => Promise<void>]>([
      ['deleted', () => rm(path)],
      ['emptied', () => truncate(path, 0)],
    ])('and that was %s fails the job, or does what it says', async (_, change) => {
      const job = { ...reads['a cursor'], target: ndjsonFile({ path, strategy: 'append' }) }
      await run(job)
      await change()
      expect(await run(job)).toMatchObject(resetError)
      expect(await run({ ...job, ifTargetReset: 'restart' })).toMatchObject({ state: 'successful', count: 100 })
      expect(await lines()).toBe(100)
      await change()
      await pool.query('insert into source values (101)')
      expect(await run({ ...job, ifTargetReset: 'continue' })).toMatchObject({ state: 'successful', count: 1 })
      expect(await lines()).toBe(1)
    })

    test('and that was cut short or changed stays as it is', async () => {
      const job = { ...reads['a cursor'], target: ndjsonFile({ path, strategy: 'append' }) }
      await run(job)
      for (const content of ['{"id":1}\n', 'x'.repeat(5000)]) {
        await writeFile(path, content)
        expect(await run(job)).toMatchObject({ state: 'error', count: 0 })
        expect(await readFile(path, 'utf8')).toBe(content)
      }
    })
  })
})
