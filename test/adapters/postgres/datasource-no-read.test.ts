import { errorMessages } from 'headgate'
import { postgresDatasource } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { allRecords, cursorBy, rejectionOf } from './datasource-read.js'

describePostgres('a query that does not read', (database) => {
  let pool: pg.Pool
  beforeAll(async () => {
    pool = new pg.Pool({ connectionString: database.url })
    await pool.query(`create table source (id int); insert into source values (1), (2);
      create procedure empty() language sql as 'delete from source'`)
  })
  afterAll(() => pool.end())

  const query = (text: string) => ({ text, values: [] })
  const failureOf = async (reading: Promise<unknown>) => errorMessages(await rejectionOf(reading)).join(' ')

  test.each([
    'copy source to stdout',
    'copy (select 1) to stdout',
    'copy source from stdin',
    'create table made (id int)',
    'create table made as table source',
    'select 1 as id into made',
    'drop table source',
    'truncate source',
    'delete from source',
    'update source set id = 3',
    'insert into source values (3)',
    'set timezone to default',
    'do $$ begin delete from source; end $$',
    'call empty()',
    'commit',
    'lock table source',
    'vacuum source',
    'notify source',
    '-- nothing',
    ';',
  ])('is refused, and not run: %s', async (text) => {
    const message = await failureOf(allRecords(postgresDatasource({ pool }), query(text)))
    expect(message).toContain('Expected `query` to be a statement that gives rows, such as `select`')
    await expectUntouched()
  })

  test.each(['select 1 as id; delete from source', 'delete from source; select 1 as id'])(
    'nor are several statements run: %s',
    async (text) => {
      const message = await failureOf(allRecords(postgresDatasource({ pool }), query(text)))
      expect(message).toContain('cannot insert multiple commands into a prepared statement')
      await expectUntouched()
    },
  )

  test.each([
    'copy source to stdout',
    'create table made (id int)',
    'select 1 as id into made',
    'delete from source returning id',
    'with gone as (delete from source returning id) select * from gone',
    'set timezone to default',
    'show timezone',
  ])('is refused by a cursor: %s', async (text) => {
    const batches = postgresDatasource({ pool }).readByCursor?.(query(text), {
      ...{ signal: new AbortController().signal, batchSize: 10, cursor: cursorBy('id') },
    })
    const message = await failureOf(batches?.[Symbol.asyncIterator]().next() ?? Promise.resolve())
    expect(message).toContain('The query cannot be read by a cursor')
    expect(message).toMatch(/syntax error|not allowed here|must be at the top level/)
    await expectUntouched()
  })

  test.each([
    'table source',
    'select id from source;',
    'values (1)',
    'show timezone',
    'explain select 1',
    'delete from source where false returning id',
  ])('is none that gives rows: %s', async (text) => {
    await allRecords(postgresDatasource({ pool }), query(text))
  })

  async function expectUntouched(): Promise<void> {
    const { rows } = await pool.query(
      `select (select array_agg(id order by id) from source) as ids, to_regclass('made')::text as made`,
    )
    expect(rows).toEqual([{ ids: [1, 2], made: null }])
  }
})
