import { type IngestionJob, JobRegistry, memoryStorage } from 'headgate'
import { RecordBatch } from 'headgate/adapter'
import { type MysqlTargetOptions, mysqlTarget } from 'headgate/mysql'
import { postgresDatasource } from 'headgate/postgres'
import { testDatasource } from 'headgate/testing'
import callbackMysql from 'mysql2'
import mysql from 'mysql2/promise'
import pg from 'pg'
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { describeMysql, isMariadbThere, startMariadb } from '../../support/mysql.js'
import { mysqlTests, waitingQuery } from './target-support.js'

const records = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, n) => ({ id: first + n, name: `name ${first + n}` }))
const idsOf = (first: number, last: number) => records(first, last).map(({ id }) => [String(id)])

describeMysql('a job that writes to MySQL', (database) => {
  const tests = mysqlTests(database)
  const { run, rows, complete } = tests
  beforeEach(() =>
    run('drop table if exists t, headgate_checkpoint; create table t (id int primary key, name varchar(50))'),
  )

  const registryOf = (job: Partial<IngestionJob>, options: Partial<MysqlTargetOptions> = {}) => {
    const registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 5 })
    onTestFinished(() => registry.close())
    const target = mysqlTarget({ pool: tests.pool, table: 't', ...options })
    registry.define({
      id: 'job',
      datasource: testDatasource(records(1, 50)),
      cursor: 'id',
      batchSize: 5,
      target,
      ...job,
    } as IngestionJob)
    return registry
  }
  const finished = async (registry: JobRegistry, options = {}) =>
    (await registry.start('ingestion', 'job', options)).finished

  test('resumes after its last record, and loads everything again when the table was emptied', async () => {
    const people = records(1, 20)
    const registry = registryOf({ datasource: testDatasource(people), ifTargetReset: 'restart' })
    expect(await finished(registry)).toMatchObject({ count: 20 })
    people.push(...records(21, 23))
    expect(await finished(registry)).toMatchObject({ count: 3 })
    await run('truncate t')
    expect(await finished(registry)).toMatchObject({ count: 23 })
    expect(await rows('select id from t order by id')).toEqual(idsOf(1, 23))
  })

  test('fails without a word on what to do when the table was emptied', async () => {
    const people = records(1, 20)
    const registry = registryOf({ datasource: testDatasource(people) })
    await finished(registry)
    await run('delete from t')
    expect(JSON.stringify(await finished(registry))).toContain('ifTargetReset')
    expect(await rows('select id from t')).toEqual([])
  })

  test('loads everything again in a full refresh, in the transaction of the first new rows', async () => {
    const people = records(1, 20)
    const registry = registryOf({ datasource: testDatasource(people) }, { onFullRefresh: 'truncate' })
    await finished(registry)
    people.splice(0, 10)
    expect(await finished(registry, { fullRefresh: true })).toMatchObject({ state: 'successful', count: 10 })
    expect(await rows('select id from t order by id')).toEqual(idsOf(11, 20))
    await registry.reset('ingestion', 'job')
    await run('delete from t')
    expect(await finished(registry)).toMatchObject({ state: 'successful', count: 10 })
  })

  test('puts bad records aside, and writes the others', async () => {
    await run('drop table if exists letters; create table letters (record longtext, error longtext)')
    const people = records(1, 50).map((record) => (record.id % 20 === 0 ? { ...record, name: 'x'.repeat(51) } : record))
    const letters = mysqlTarget({ pool: tests.pool, table: 'letters', columns: { record: 'record', error: 'error' } })
    const registry = registryOf({ datasource: testDatasource(people), failures: { total: 2, deadLetters: letters } })
    expect(await finished(registry)).toMatchObject({ state: 'successful', count: 50, detail: { failed: 2 } })
    expect(await rows(`select json_value(record, '$.id') from letters order by 1`)).toEqual([['20'], ['40']])
    expect(await rows('select count(*) from t where id % 20 <> 0')).toEqual([['48']])
  })

  test('ends at once when it is aborted while a lock holds it up, and leaves nothing', async () => {
    await run('insert into t values (7, null)')
    const other = await tests.pool.getConnection()
    onTestFinished(() => other.destroy())
    await other.query('start transaction')
    await other.query('select * from t where id = 7 for update')
    const registry = registryOf({}, { mode: 'upsert', key: 'id' })
    const execution = await registry.start('ingestion', 'job')
    await vi.waitFor(
      async () => {
        expect(await rows(waitingQuery)).not.toEqual([])
      },
      // The server shows again what it has shown within a tenth of a second.
      { interval: 150, timeout: 10_000 },
    )
    await registry.abort('ingestion', 'job')
    expect(await execution.finished).toMatchObject({ state: 'aborted' })
    await vi.waitFor(async () => {
      const left = `select info from information_schema.processlist where db = database() and info like 'load data%' or info like 'insert into%'`
      expect(await rows(left)).toEqual([])
    })
    await other.query('rollback')
    expect(await rows('select id from t where id >= 7')).toEqual([['7']])
  })

  test('takes pools of both kinds, and connections that do not commit by themselves', async () => {
    const pool = callbackMysql.createPool({ uri: database.url, connectionLimit: 1 })
    pool.on('connection', (connection) =>
      connection.query('set autocommit = 0, completion_type = 1, foreign_key_checks = 0'),
    )
    await complete(tests.target({ pool }), RecordBatch.fromRecords(records(1, 3)))
    await complete(mysqlTarget({ connectionString: database.url, table: 't' }), RecordBatch.fromRecords(records(4, 5)))
    expect(await rows('select id from t order by id')).toEqual(idsOf(1, 5))
    await new Promise((resolve) => pool.end(resolve))
  })

  describePostgres('in partitions', (source) => {
    test('writes every row once, also when a full refresh follows', async () => {
      const client = new pg.Client({ connectionString: source.url })
      await client.connect()
      await client.query(
        `create table source as select id, 'name ' || id as name from generate_series(1, 2000) id; alter table source add primary key (id)`,
      )
      await client.end()
      const datasource = postgresDatasource({ connectionString: source.url })
      const job = { datasource, query: 'select * from source', partitions: 4, batchSize: 100 }
      const registry = registryOf(job as Partial<IngestionJob>, { onFullRefresh: 'truncate' })
      const sum = 'select count(*), count(distinct id), min(id), max(id) from t'
      expect(await finished(registry)).toMatchObject({ state: 'successful', count: 2000 })
      expect(await rows(sum)).toEqual([['2000', '2000', '1', '2000']])
      expect(await finished(registry, { fullRefresh: true })).toMatchObject({ state: 'successful', count: 2000 })
      expect(await rows(sum)).toEqual([['2000', '2000', '1', '2000']])
      expect(await rows('select count(*) from headgate_checkpoint')).toEqual([['5']])
    })
  })
})

describe.skipIf(!isMariadbThere())('a job that writes to a MariaDB of its own', () => {
  const people = records(1, 3000)

  const opened = async (settings: Readonly<Record<string, string>>) => {
    const server = await startMariadb(settings)
    onTestFinished(() => server.stop())
    const admin = mysql.createPool({ uri: server.url, connectionLimit: 1 })
    onTestFinished(() => admin.end())
    await admin.query('create database d')
    await admin.query('create table d.People (id int primary key, name varchar(50))')
    const registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 5 })
    onTestFinished(() => registry.close())
    const define = (options: Partial<MysqlTargetOptions> = {}, job: Partial<IngestionJob> = {}) =>
      registry.define({
        id: 'job',
        datasource: testDatasource(people),
        cursor: 'id',
        batchSize: 50,
        target: mysqlTarget({
          connectionString: `${server.url}/d`,
          table: 'People',
          mode: 'upsert',
          key: 'id',
          ...options,
        }),
        resume: 'auto',
        retry: { limit: 50, delay: 20, maxDelay: 200 },
        ...job,
      } as IngestionJob)
    const count = async () =>
      ((await admin.query('select count(*) as count from d.People'))[0] as { count: number }[])[0]?.count
    return { server, admin, registry, define, count }
  }

  test('outlives that the server is killed and started again', async () => {
    const { server, registry, define, count } = await opened({})
    let batches = 0
    let restarting: Promise<void> | undefined
    define({ mode: 'insert', key: undefined } as never, {
      transformBatch: (batch) => {
        if (++batches === 20) restarting = server.restart(100)
        return batch.records()
      },
    })
    const { finished } = await registry.start('ingestion', 'job')
    expect(await finished).toMatchObject({ state: 'successful' })
    await restarting
    expect(await count()).toBe(people.length)
  })

  test.each([
    { 'log-bin': 'log', 'binlog-format': 'STATEMENT', 'server-id': '1' },
    { 'log-bin': 'log', 'binlog-format': 'ROW', 'server-id': '1' },
    { 'lower-case-table-names': '1' },
    { 'innodb-rollback-on-timeout': '1', 'sql-mode': 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES' },
    {
      'character-set-server': 'latin1',
      'explicit-defaults-for-timestamp': '0',
      'transaction-isolation': 'SERIALIZABLE',
    },
  ] as Record<string, string>[])('with the settings %j, writes every row once', async (settings) => {
    const { registry, define, count } = await opened(settings)
    define()
    expect(await (await registry.start('ingestion', 'job')).finished).toMatchObject({
      state: 'successful',
      count: 3000,
    })
    expect(await (await registry.start('ingestion', 'job', { fullRefresh: true })).finished).toMatchObject({
      count: 3000,
    })
    expect(await count()).toBe(people.length)
  })
})
