import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type IngestionJob, JobRegistry, memoryStorage, type Target } from 'headgate'
import { iterableDatasource } from 'headgate/iterable'
import { postgresDatasource, postgresTarget } from 'headgate/postgres'
import { sqliteTarget } from 'headgate/sqlite'
import Database from 'libsql'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'

async function run(job: Partial<IngestionJob>, target: Target) {
  const registry = new JobRegistry({ storage: memoryStorage() })
  registry.define({ id: 'job', datasource: iterableDatasource([]), target, ...job })
  const { finished } = await registry.start('ingestion', 'job')
  const ended = await finished
  await registry.close()
  return ended
}

describePostgres('rows of Postgres that are unchanged', (database) => {
  let pool: pg.Pool
  beforeAll(() => {
    pool = new pg.Pool({ connectionString: database.url })
  })
  afterAll(() => pool.end())
  beforeEach(async () => {
    await pool.query(`
      drop table if exists source, t, headgate_checkpoint;
      create table source (id int primary key, name text collate "C", price numeric, data json, place point, tags text[], at timestamptz);
      insert into source values
        (1, 'a', 1.0, '{"a": 1}', '(1,2)', '{a,null}', '2024-01-31 12:00Z'), (2, null, null, null, null, null, null), (3, 'c', 3, '[]', null, '{}', 'infinity');
      create table t (like source including all, changed int not null default 0);
      create or replace function count_change() returns trigger as 'begin new.changed := old.changed + 1; return new; end' language plpgsql;
      create trigger counting before update on t for each row execute function count_change()`)
  })

  const target = (more = {}) => postgresTarget({ pool, table: 't', mode: 'upsert', key: 'id', ...more })
  const changes = async () => {
    const { rows } = await pool.query('select id, changed from t order by id')
    return rows.map(({ changed }) => Number(changed))
  }
  const difference = async () => {
    const { rows } = await pool.query(
      'select id from source s where not exists (select from t where record_image_eq(row(t.id, t.name, t.price, t.data::text, t.place::text, t.tags, t.at), row(s.id, s.name, s.price, s.data::text, s.place::text, s.tags, s.at)))',
    )
    return rows
  }
  const reads: [string, Partial<IngestionJob>][] = [
    ['raw rows', {}],
    ['objects', { transform: (record) => record }],
  ]

  test.each(reads)('are written again unless they are skipped: %s', async (_, more) => {
    const job = { datasource: postgresDatasource({ pool }), query: 'select * from source', ...more }
    for (const [skipUnchanged, expected] of [
      [undefined, [0, 0, 0]],
      [undefined, [1, 1, 1]],
      [true, [1, 1, 1]],
      [false, [2, 2, 2]],
    ] as const) {
      const options = skipUnchanged === undefined ? {} : { skipUnchanged }
      expect(await run(job, target(options))).toMatchObject({ state: 'successful', count: 3, detail: { written: 3 } })
      expect(await changes()).toEqual(expected)
    }
    expect(await difference()).toEqual([])
  })

  test.each([
    `name = 'A' where id = 1`,
    `name = '' where id = 2`,
    `price = 1.00 where id = 1`,
    `price = null where id = 3`,
    `data = '{"a":1}' where id = 1`,
    `place = '(1,3)' where id = 1`,
    `tags = '{a,b}' where id = 1`,
    `at = at + interval '1 microsecond' where id = 1`,
  ])('a row that differs by `%s` is written', async (change) => {
    const job = { datasource: postgresDatasource({ pool }), query: 'select * from source' }
    await run(job, target({ skipUnchanged: true }))
    await pool.query(`update source set ${change}`)
    expect(await run(job, target({ skipUnchanged: true }))).toMatchObject({ state: 'successful' })
    expect((await changes()).reduce((sum, count) => sum + count)).toBe(1)
    expect(await difference()).toEqual([])
  })

  test('records that lack columns compare those that they have', async () => {
    await pool.query(`insert into t (id, name, price) values (1, 'a', 1), (2, 'b', 2)`)
    const records = [{ id: 1, name: 'a' }, { id: 2, price: 3 }, { id: 3 }]
    const datasource = iterableDatasource(records)
    expect(await run({ datasource }, target({ skipUnchanged: true }))).toMatchObject({ state: 'successful', count: 3 })
    expect(await changes()).toEqual([0, 1, 0])
    const { rows } = await pool.query('select id, name, price::text from t order by id')
    expect(rows).toEqual([
      { id: 1, name: 'a', price: '1' },
      { id: 2, name: 'b', price: '3' },
      { id: 3, name: null, price: null },
    ])
  })
})

describe('rows of SQLite that are unchanged', () => {
  test('are skipped, and what its collation or its type hides is not', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'headgate-skip-'))
    const path = join(folder, 'a.db')
    const database = new Database(path)
    database.exec(`
      create table t (id integer primary key, name text collate nocase, value, changed integer not null default 0);
      create trigger counting after update of name, value on t begin update t set changed = old.changed + 1 where id = old.id; end;
      insert into t (id, name, value) values (1, 'a', 1), (2, 'b', null), (3, 'c', 3), (4, 'd', 'x'), (5, null, 5), (6, 'f ', 6)`)
    const records = [
      { id: 1, name: 'a', value: 1 },
      { id: 2, name: 'B', value: null },
      { id: 3, name: 'c', value: '3' },
      { id: 4, name: 'd', value: null },
      { id: 5, name: '', value: 5 },
      { id: 6, name: 'f', value: 6 },
      { id: 7, name: 'g', value: 7 },
    ]
    const target = (more = {}) => sqliteTarget({ path, table: 't', mode: 'upsert', key: 'id', ...more })
    const job = { datasource: iterableDatasource(records) }
    expect(await run(job, target({ skipUnchanged: true }))).toMatchObject({ state: 'successful', count: 7 })
    const rows = () => database.prepare('select id, name, value from t order by id').all()
    const changes = () => database.prepare('select changed from t order by id').pluck().all()
    expect(rows()).toEqual(records)
    expect(changes()).toEqual([0, 1, 1, 1, 1, 1, 0])
    expect(await run(job, target({ skipUnchanged: true }))).toMatchObject({ state: 'successful', count: 7 })
    expect(changes()).toEqual([0, 1, 1, 1, 1, 1, 0])
    expect(await run(job, target())).toMatchObject({ state: 'successful', count: 7 })
    expect(changes()).toEqual([1, 2, 2, 2, 2, 2, 1])
    database.close()
    await rm(folder, { recursive: true })
  })
})

test('is refused without an upsert', () => {
  expect(() => sqliteTarget({ path: 'a.db', table: 't', skipUnchanged: true })).toThrow(
    /`skipUnchanged` to be absent unless `mode` is `upsert`/,
  )
  const connectionString = 'postgres://127.0.0.1:1/none'
  expect(() => postgresTarget({ connectionString, table: 't', skipUnchanged: false })).toThrow(/`skipUnchanged`/)
})
