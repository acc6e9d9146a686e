import { setTimeout } from 'node:timers/promises'
import { type IngestionJob, JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource } from 'headgate/postgres'
import { collectingTarget, recordEvents } from 'headgate/testing'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { smallestOf } from '../../support/smallest-of.js'

const rowCount = 5000

describePostgres('an ingestion from Postgres', (database) => {
  let admin: pg.Client
  let registry: JobRegistry

  beforeAll(async () => {
    admin = new pg.Client(database.url)
    await admin.connect()
    await admin.query(`create table events as
      select id::bigint as id, 'event ' || id as name, id % 7 = 0 as is_rare from generate_series(1, ${rowCount}) id`)
  })
  afterAll(() => admin.end())
  beforeEach(() => {
    registry = new JobRegistry({
      storage: memoryStorage(),
      datasources: {
        postgres: postgresDatasource({ connectionString: database.url }),
        nowhere: postgresDatasource({ connectionString: 'postgres://user:s3cret@127.0.0.1:1/nowhere' }),
      },
      progressInterval: 0,
    })
  })
  afterEach(() => registry.close())

  const start = (job: Partial<IngestionJob>) => {
    registry.define({ id: 'events', datasource: 'postgres', target: () => {}, ...job } as IngestionJob)
    return registry.start('ingestion', 'events')
  }
  const finish = async (job: Partial<IngestionJob>) => (await start(job)).finished
  const activity = async (text: string) => {
    const sql = `select count(*)::int as n from pg_stat_activity where query like $1 and pid <> pg_backend_pid() and state <> 'idle'
        and datname = current_database()`
    const { rows } = await admin.query(sql, [`%${text}%`])
    return rows[0].n as number
  }
  const becomesActive = async (text: string) => {
    while ((await activity(text)) === 0);
  }

  const all = { query: 'select * from events order by id', pkField: 'id' }

  it('reads every row, and goes on with what is new', async () => {
    const target = collectingTarget()
    const query = 'select * from events {{#last_id}}where id > {{last_id}}{{/last_id}} order by id'
    const status = await finish({ query, pkField: 'id', target, batchSize: 999 })
    expect(status).toMatchObject({ state: 'successful', count: rowCount, lastId: String(rowCount) })
    expect(target.records[6]).toEqual({ id: '7', name: 'event 7', is_rare: true })
    await admin.query(`insert into events values (${rowCount + 1}, 'late', false)`)
    const next = await (await registry.start('ingestion', 'events')).finished
    await admin.query(`delete from events where id > ${rowCount}`)
    expect(next).toMatchObject({ state: 'successful', count: 1, lastId: String(rowCount + 1) })
    expect(target.records).toHaveLength(rowCount + 1)
  })

  it('is aborted in the middle of a blocked query, before any timeout, and the server runs it no more', async () => {
    registry.define({ id: 'events', datasource: 'postgres', query: 'select pg_sleep(60)', target: () => {} })
    const time = await smallestOf(500, async () => {
      await registry.start('ingestion', 'events')
      await becomesActive('pg_sleep(60)')
      const began = performance.now()
      expect(await registry.abort('ingestion', 'events')).toMatchObject({ state: 'aborted', count: 0 })
      const taken = performance.now() - began
      expect(await activity('pg_sleep(60)')).toBe(0)
      return taken
    })
    expect(time).toBeLessThan(500)
  })

  it('is aborted during a slow write, and lets the server go', async () => {
    let release = () => {}
    const writing = new Promise<void>((started) => {
      const target = () =>
        new Promise<void>((resolve) => {
          release = resolve
          started()
        })
      void start({ ...all, batchSize: 10, target })
    })
    await writing
    const aborted = registry.abort('ingestion', 'events')
    release()
    expect(await aborted).toMatchObject({ state: 'aborted', count: 10, lastId: '10' })
    expect(await activity('from events order by id')).toBe(0)
  })

  it('fails when its connection is terminated in mid-stream, and counts what was written', async () => {
    const events = recordEvents(registry)
    const { finished } = await start({
      query: 'select id, pg_sleep(0.001)::text from events order by id',
      pkField: 'id',
      batchSize: 100,
    })
    await events.waitFor('progress')
    await admin.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where query like 'select id, pg_sleep%' and datname = current_database()",
    )
    const status = await finished
    // The system may tell of the reset before the server's own words are read.
    expect(status).toMatchObject({
      state: 'error',
      error: [
        'Could not execute datasource query [postgres].',
        expect.any(String),
        expect.stringMatching(/terminat|ECONNRESET|EPIPE/),
      ],
    })
    expect(status.count % 100).toBe(0)
    expect(status.lastId).toBe(String(status.count))
  })

  it('with resume auto, survives that its connections are terminated again and again', async () => {
    const target = collectingTarget()
    const { finished } = await start({
      query: `select id, pg_sleep(0.0002)::text from events {{#last_id}}where id > {{last_id}}{{/last_id}} order by id`,
      pkField: 'id',
      batchSize: 100,
      target,
      resume: 'auto',
      retry: { delay: 20, maxDelay: 50, limit: 1000 },
    })
    let isOver = false
    void finished.then(() => {
      isOver = true
    })
    while (!isOver) {
      await setTimeout(200)
      await admin.query(
        'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
      )
    }
    expect(await finished).toMatchObject({ state: 'successful', count: rowCount, lastId: String(rowCount) })
    expect(target.records.map(({ id }) => id)).toEqual(
      Array.from({ length: rowCount }, (_, index) => String(index + 1)),
    )
  })

  it('fails when the target refuses a batch, and lets the server go', async () => {
    const target = collectingTarget({ failAt: 3, error: new Error('full') })
    const status = await finish({ ...all, batchSize: 100, target })
    expect(status).toMatchObject({
      state: 'error',
      count: 200,
      lastId: '200',
      error: ['Could not write to target [collecting].', 'Records 201 to 300 of this run.', 'full'],
    })
    expect(await activity('from events order by id')).toBe(0)
  })

  it('tells of a closed port as a chain of causes, without the password', async () => {
    const status = await finish({ datasource: 'nowhere', query: 'select 1' })
    expect(status).toMatchObject({
      state: 'error',
      count: 0,
      error: [
        'Could not execute datasource query [nowhere].',
        'Failed to initialize pool: The connection attempt failed.',
        'The connection attempt failed.',
        'connect ECONNREFUSED 127.0.0.1:1',
      ],
    })
    expect(JSON.stringify(status)).not.toContain('s3cret')
  })

  it('tells of a query that is wrong', async () => {
    const status = await finish({ query: 'select * from nothing_of_that_name' })
    expect(status).toMatchObject({ state: 'error' })
    expect(status.state === 'error' && status.error.at(-1)).toContain('relation "nothing_of_that_name" does not exist')
  })

  it('leaves no connection behind', async () => {
    await finish({ ...all, maxRecords: 10 })
    await registry.close()
    const connections = async () => {
      const { rows } = await admin.query(
        'select count(*)::int as n from pg_stat_activity where datname = current_database()',
      )
      return rows[0].n as number
    }
    while ((await connections()) > 1);
  })
})
