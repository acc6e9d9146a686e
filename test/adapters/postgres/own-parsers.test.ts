import { JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource, postgresStorage, postgresTarget } from 'headgate/postgres'
import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'

/** What applications set, for one type or for all. */
const parsers: Record<string, (oid: number) => (raw: string) => unknown> = {
  'booleans as text': (oid) => (oid === 16 ? (raw) => raw : pg.types.getTypeParser(oid)),
  'all values as text': () => (raw) => raw,
  'integers as bigint': (oid) => ([20, 21, 23, 26].includes(oid) ? BigInt : pg.types.getTypeParser(oid)),
  'names in upper case': (oid) => (oid === 19 ? (raw) => raw.toUpperCase() : pg.types.getTypeParser(oid)),
  'text as an object': (oid) => (oid === 25 ? (raw) => ({ raw }) : pg.types.getTypeParser(oid)),
  'JSON as text': (oid) => ([114, 3802].includes(oid) ? (raw) => raw : pg.types.getTypeParser(oid)),
}

describePostgres('a pool of the application with parsers of its own', (database) => {
  let pool: pg.Pool
  let plain: pg.Pool
  let registry: JobRegistry
  beforeEach(async () => {
    plain = new pg.Pool({ connectionString: database.url })
    await plain.query(`drop schema if exists headgate cascade; drop table if exists s, t, headgate_checkpoint;
      create table s as select generate_series(1, 10) as id, true as seen; create table t (like s)`)
  })
  afterEach(async () => {
    await registry.close()
    await pool.end()
    await plain.end()
  })

  const run = async () => (await registry.start('ingestion', 'job')).finished
  const define = (more: object = {}, storage = memoryStorage()) => {
    registry = new JobRegistry({ storage })
    const datasource = postgresDatasource({ pool })
    const target = postgresTarget({ pool, table: 't', ...more })
    registry.define({ id: 'job', datasource, query: 'select * from s', cursor: 'id', target })
  }
  const open = (name: string) => {
    pool = new pg.Pool({ connectionString: database.url, types: { getTypeParser: parsers[name] as never } })
  }

  test.each(Object.keys(parsers))('notices that the target was emptied: %s', async (name) => {
    open(name)
    define()
    expect(await run()).toMatchObject({ state: 'successful', count: 10 })
    await plain.query('truncate t; insert into s values (11, true)')
    expect(await run()).toMatchObject({
      state: 'error',
      error: expect.arrayContaining([expect.stringContaining('emptied')]),
    })
  })

  test.each(Object.keys(parsers))('keeps executions and updates rows by their key: %s', async (name) => {
    open(name)
    await plain.query('alter table t add primary key (id)')
    define({ mode: 'upsert', key: 'id' }, postgresStorage({ pool }))
    expect(await run()).toMatchObject({ state: 'successful', count: 10 })
    await plain.query('insert into s values (11, false)')
    expect(await run()).toMatchObject({ state: 'successful', count: 1, detail: { read: 1 } })
    expect((await registry.search({ id: 'job' })).total).toBe(2)
    expect((await plain.query('select count(*)::int as n from t')).rows).toEqual([{ n: 11 }])
  })
})
