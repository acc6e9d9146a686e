import { createHash } from 'node:crypto'
import { copyFile, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { type IngestionJob, JobRegistry, type JobStorage, memoryStorage } from 'headgate'
import { ndjsonFile } from 'headgate/ndjson'
import { postgresDatasource, postgresTarget } from 'headgate/postgres'
import { sqliteStorage } from 'headgate/sqlite'
import Database from 'libsql'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'

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

    test('a table that was emptied is loaded again after a reset, which the message names', async () => {
      await pool.query('truncate t')
      const { error } = (await run(job)) as { error?: readonly string[] }
      expect(String(error)).toMatch(
        /`fullRefresh: true` \(`\?full_refresh=true`\), or call `reset` without a checkpoint/,
      )
      await registry?.reset('ingestion', 'job')
      expect(await run(job)).toMatchObject({ state: 'successful', count: 100 })
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
          update headgate_checkpoint set checkpoint = (checkpoint::jsonb - 'relation' - 'written' - 'fields')::json`)
      })

      test('the rows are known by the name of the table, and nothing comes twice', async () => {
        const { rows } = await pool.query(`select id, encode(key, 'hex') as key from headgate_checkpoint`)
        const { id } = rows[0]
        const keyOf = (...names: string[]) =>
          createHash('sha256')
            .update(JSON.stringify([...names, 'public.t']))
            .digest('hex')
        // What identifies a partition in the table is what it has always been.
        const partitions = rows.slice(1).map((_, n) => keyOf('_ingestion', `${id}#${n}`))
        expect(rows.map(({ key }) => key).sort()).toEqual([keyOf('ingestion', id), ...partitions].sort())
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

  test.each(['partitions of a cursor', 'partitions by bounds'] as const)(
    'a table that was restored with its checkpoints is loaded from there, whatever storage knows of a later cut: %s',
    async (name) => {
      const job: Partial<IngestionJob> = reads[name]
      await pool.query('delete from source where id > 50')
      expect(await run(job)).toMatchObject({ state: 'successful' })
      await pool.query(`drop table if exists saved_t, saved_checkpoint; create table saved_t as table t;
        create table saved_checkpoint as table headgate_checkpoint; insert into source select generate_series(51, 100)`)
      const transform: IngestionJob['transform'] = (record) => {
        if ((record as { id: number }).id === 100) throw new Error('refused')
        return record
      }
      expect(await run({ ...job, transform })).toMatchObject({ state: 'error' })
      await pool.query(`truncate t, headgate_checkpoint; insert into t table saved_t;
        insert into headgate_checkpoint table saved_checkpoint`)
      expect(await run(job)).toMatchObject({ state: 'successful' })
      expect(await found()).toEqual(whole)
    },
  )

  const backUp = () =>
    pool.query(`drop table if exists saved_t, saved_checkpoint; create table saved_t as table t;
      create table saved_checkpoint as table headgate_checkpoint`)
  const restore = () =>
    pool.query(`truncate t, headgate_checkpoint; insert into t table saved_t;
      insert into headgate_checkpoint table saved_checkpoint`)
  /** Refuses records, once other parts have had the time to be done. */
  const refusing = (...ids: number[]): Partial<IngestionJob> => ({
    transform: async (record) => {
      if (!ids.includes((record as { id: number }).id)) return record
      await setTimeout(100)
      throw new Error('refused')
    },
  })

  describe.each(['partitions of a cursor', 'partitions by bounds'] as const)(
    'a table that was restored to the midst of a cut is loaded from there: %s',
    (name) => {
      const job: Partial<IngestionJob> = reads[name]

      test.each([
        ['some of it', 95],
        ['all of it', 101],
      ])('storage holds %s as done', async (_, least) => {
        expect(await run({ ...job, ...refusing(15, 80) })).toMatchObject({ state: 'error' })
        await backUp()
        const state = least > 100 ? 'successful' : 'error'
        expect(await run({ ...job, ...refusing(least) })).toMatchObject({ state })
        await restore()
        expect(await run(job)).toMatchObject({ state: 'successful' })
        expect(await found()).toEqual(whole)
        expect(await run(job)).toMatchObject({ state: 'successful', count: 0 })
      })

      test('no part had written anything', async () => {
        await pool.query('delete from source where id > 50')
        expect(await run(job)).toMatchObject({ state: 'successful' })
        await pool.query('insert into source select generate_series(51, 100)')
        const all = Array.from({ length: 50 }, (_, index) => index + 51)
        expect(await run({ ...job, ...refusing(...all) })).toMatchObject({ state: 'error' })
        await backUp()
        expect(await run({ ...job, ...refusing(95) })).toMatchObject({ state: 'error' })
        await restore()
        expect(await run(job)).toMatchObject({ state: 'successful' })
        expect(await found()).toEqual(whole)
      })

      test('twice, and the parts that are done are not done again', async () => {
        expect(await run({ ...job, ...refusing(15, 80) })).toMatchObject({ state: 'error' })
        await backUp()
        for (const _ of [1, 2]) {
          expect(await run({ ...job, ...refusing(95) })).toMatchObject({ state: 'error' })
          await restore()
        }
        expect(await run({ ...job, ...refusing(95) })).toMatchObject({ state: 'error' })
        const parts = async () => {
          const { hits } = await storage.search({ includePartitions: true, state: 'successful', size: 100 })
          return hits.filter(({ partition }) => partition !== undefined).map(({ executionId }) => executionId)
        }
        const lastOf = async (n: number) => (await storage.find('ingestion', 'job', n))?.executionId
        const last = await Promise.all([0, 1, 2].map((n) => lastOf(n)))
        const done = (await parts()).filter((id) => last.includes(id))
        expect(await run(job)).toMatchObject({ state: 'successful' })
        const now = await Promise.all([0, 1, 2].map((n) => lastOf(n)))
        expect(now).toEqual(expect.arrayContaining(done))
        expect(await found()).toEqual(whole)
      })
    },
  )

  describe.each(['partitions of a cursor', 'partitions by bounds'] as const)(
    'a storage that was restored knows of fewer executions of the parts than the table: %s',
    (name) => {
      const job: Partial<IngestionJob> = reads[name]
      let folder: string
      let copies = 0
      beforeEach(async () => {
        folder = await mkdtemp(join(tmpdir(), 'headgate-reset-'))
      })
      afterEach(async () => {
        await registry?.close()
        await rm(folder, { recursive: true })
      })

      /** Runs over a copy of the storage that an earlier run has left. */
      const runOn = async (before: string | undefined, more: Partial<IngestionJob>) => {
        const path = join(folder, `jobs-${++copies}.db`)
        if (before) await copyFile(before, path)
        storage = sqliteStorage({ path })
        const ended = await run(more)
        await registry?.close()
        return { ended, path }
      }

      test.each(['before the cut', 'to the midst of the cut'])('%s', async (moment) => {
        const isMidst = moment === 'to the midst of the cut'
        if (!isMidst) await pool.query('delete from source where id > 50')
        const first = await runOn(undefined, isMidst ? { ...job, ...refusing(15, 80) } : job)
        expect(first.ended).toMatchObject({ state: isMidst ? 'error' : 'successful' })
        await pool.query('insert into source select generate_series(51, 100) on conflict do nothing')
        const lost = await runOn(first.path, { ...job, ...refusing(95) })
        expect(lost.ended).toMatchObject({ state: 'error' })
        const { ended, path } = await runOn(first.path, job)
        expect(ended).toMatchObject({ state: 'successful' })
        expect(await found()).toEqual(whole)
        expect((await runOn(path, job)).ended).toMatchObject({ state: 'successful', count: 0 })
      })
    },
  )

  test('a storage that was saved while partitions ran, and was put back, writes nothing twice', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'headgate-reset-'))
    const [path, copy] = [join(folder, 'jobs.db'), join(folder, 'copy.db')]
    const start = async (more: Partial<IngestionJob> = {}) => {
      registry = new JobRegistry({ storage: sqliteStorage({ path }), lease: 400 })
      const target = postgresTarget({ pool, table: 't' })
      const reading = { query: 'table source', cursor: 'id', partitions: 3, batchSize: 10 }
      registry.define({ id: 'job', datasource: postgresDatasource({ pool }), target, ...reading, ...more })
      for (;;) {
        const started = await registry.start('ingestion', 'job').catch(() => setTimeout(50))
        if (started) return started.finished
      }
    }
    let saved: Promise<void> | undefined
    const transform: IngestionJob['transform'] = async (record) => {
      saved ??= (async () => {
        const database = new Database(path, { readonly: true })
        database.exec(`vacuum into '${copy}'`)
        database.close()
      })()
      await setTimeout(5)
      return record
    }
    expect(await start({ transform })).toMatchObject({ state: 'successful' })
    await saved
    await registry?.close()
    for (const end of ['', '-wal', '-shm']) await rm(path + end, { force: true })
    await copyFile(copy, path)
    await pool.query('insert into source select generate_series(101, 160)')
    // The leases of the executions that ran end first.
    await setTimeout(1000)
    expect(await start()).toMatchObject({ state: 'successful' })
    expect(await found()).toEqual({ rows: 160, ids: 160 })
    await registry?.close()
    await rm(folder, { recursive: true })
  })

  test('a table whose checkpoints were deleted in the midst of a cut goes on as storage says, also later', async () => {
    const job: Partial<IngestionJob> = { ...reads['partitions of a cursor'], ifTargetReset: 'continue' }
    expect(await run({ ...job, ...refusing(50) })).toMatchObject({ state: 'error' })
    await pool.query('delete from headgate_checkpoint')
    for (const least of [95, 101]) {
      await run({ ...job, ...refusing(least) })
    }
    expect(await found()).toEqual(whole)
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
    const one = await run({ ...job, maxRecords: 60 })
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
