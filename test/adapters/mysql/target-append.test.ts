import { randomUUID } from 'node:crypto'
import { isTransient, type JobRecord, JobRegistry, memoryStorage } from 'headgate'
import { RecordBatch } from 'headgate/adapter'
import { type MysqlTargetOptions, mysqlTarget } from 'headgate/mysql'
import { testDatasource } from 'headgate/testing'
import mysql from 'mysql2/promise'
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { describeMysql, isMariadbThere, startMariadb } from '../../support/mysql.js'
import { context, messagesOf, mysqlTests, waitingQuery, write, writeContext } from './target-support.js'

const records = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, n) => ({ id: first + n, name: `name ${first + n}` }))

describe('a table of MySQL is told by options', () => {
  test.each([
    [{}, '`options` to be an object with either `pool` or `connectionString`'],
    [{ connectionString: 'mysql://x', pool: {} }, '`pool` to be an object with the method `getConnection`'],
    [
      { connectionString: 'postgres://x/y' },
      '`connectionString` to be a URL such as `mysql://user@host:3306/database`',
    ],
    [{ connectionString: 'mysql://x', table: '' }, '`table` to be `name`, `database.name` or an object with `name`'],
    [{ connectionString: 'mysql://x', table: 'a.b.c' }, '`table`'],
    [{ connectionString: 'mysql://x', table: 'x'.repeat(65) }, '`table`'],
    [{ connectionString: 'mysql://x', table: { name: 'a ' } }, '`table.'],
    [{ connectionString: 'mysql://x', table: { database: '', name: 't' } }, '`table.'],
    [{ connectionString: 'mysql://x', checkpoints: 'a\0' }, '`checkpoints`'],
    [{ connectionString: 'mysql://x', mode: 'merge' }, '`mode` to be one of `insert`, `upsert`'],
    [
      { connectionString: 'mysql://x', mode: 'upsert' },
      '`key` to be the columns by which `upsert` finds the row of a record',
    ],
    [{ connectionString: 'mysql://x', key: 'id' }, '`key`'],
    [{ connectionString: 'mysql://x', columns: { a: 'x', b: 'x' } }, '`columns`'],
    [{ connectionString: 'mysql://x', onFullRefresh: 'merge' }, '`onFullRefresh` to be `truncate` or `refuse`'],
    [{ connectionString: 'mysql://x', swap: 'rows' }, '`swap` to be absent without the strategy `replace`'],
    [{ connectionString: 'mysql://x', strategy: 'replace', swap: 'drop' }, '`swap` to be one of `rename`, `rows`'],
    [{ connectionString: 'mysql://x', strategy: 'replace', maxShrink: 2 }, '`maxShrink` to be a number from 0 to 1'],
    [{ connectionString: 'mysql://x', strategy: 'replace', mode: 'upsert', key: 'id' }, '`mode` to be `insert` with'],
    [{ connectionString: 'mysql://x', strategy: 'replace', onFullRefresh: 'truncate' }, '`onFullRefresh` to be absent'],
    [{ connectionString: 'mysql://x', lockTimeout: 0 }, '`lockTimeout` to be a whole number of milliseconds from 1'],
    [{ connectionString: 'mysql://x', gzip: true }, '`gzip`'],
  ])('%j is refused', (options, message) => {
    expect(() => mysqlTarget({ table: 't', ...options } as MysqlTargetOptions)).toThrow(message)
  })
})

describeMysql('a target in MySQL', (database) => {
  const tests = mysqlTests(database)
  const { target, run, rows, complete, opened } = tests
  const upsert = { mode: 'upsert', key: 'id' } as const
  beforeEach(() =>
    run(
      `drop table if exists t, headgate_checkpoint; create table t (id int primary key, name varchar(50), note varchar(50))`,
    ),
  )

  const openError = async (options: Partial<MysqlTargetOptions>) =>
    messagesOf(await Promise.resolve(target(options).open(context())).catch((error: unknown) => error))

  describe('opens', () => {
    test.each(['MyISAM', 'Aria'])('no table of %s', async (engine) => {
      await run(`alter table t engine = ${engine}`)
      expect(await openError({})).toContain('run "alter table')
    })

    test('no view, no missing table, and no connection in another character set', async () => {
      await run('drop view if exists v; create view v as select * from t')
      expect(await openError({ table: 'v' })).toContain('to be a table, found a view')
      expect(await openError({ table: 'missing' })).toContain('Expected a table `missing` to write to, found none')
      const pool = mysql.createPool({ uri: database.url, charset: 'latin1' })
      expect(await openError({ pool })).toContain("make the pool with `charset: 'utf8mb4'`")
      await pool.end()
    })

    test('a table without a key, and names that need quotes, in another database too', async () => {
      await run('drop database if exists `a.b`; create database `a.b`; create table `a.b`.`T ``x` (`Id ``` int)')
      const to = target({ table: { database: 'a.b', name: 'T `x' }, columns: { id: 'Id `' } })
      await complete(to, RecordBatch.fromRecords(records(1, 3)))
      expect(await rows('select * from `a.b`.`T ``x`')).toEqual([['1'], ['2'], ['3']])
      expect(await rows('select count(*) from `a.b`.headgate_checkpoint')).toEqual([['1']])
      await run('drop database `a.b`')
    })
  })

  test('a session has its own settings again, and no lock', async () => {
    const one = mysql.createPool({ uri: database.url, connectionLimit: 1 })
    const shown = `select @@sql_mode, @@time_zone, @@lock_wait_timeout, @@innodb_lock_wait_timeout, @@wait_timeout, @@sql_notes, @@autocommit`
    await one.query(`set session sql_mode = '', time_zone = '+03:00', sql_notes = 0, lock_wait_timeout = 7`)
    const [before] = await one.query(shown)
    await complete(target({ pool: one }), RecordBatch.fromRecords(records(1, 3)))
    expect((await one.query(shown))[0]).toEqual(before)
    const [[{ held }]] = (await one
      .query(`select count(*) held from information_schema.metadata_lock_info`)
      .catch(() => [[{ held: 0 }]])) as unknown as [[{ held: number }]]
    expect(held).toBe(0)
    await one.end()
  })

  test('a transaction makes no temporary table, which a kill of its session could meet', async () => {
    const one = mysql.createPool({ uri: database.url, connectionLimit: 1 })
    const made = async () => {
      const [found] = await one.query(`show session status like 'Created_tmp_%tables'`)
      return (found as { Value: string }[]).map(({ Value }) => Number(Value))
    }
    const madeBy = async (first: number, last: number) => {
      const before = await made()
      const { writer } = await target({ pool: one }).open(context())
      for (let id = first; id <= last; id++) {
        await write(writer, records(id, id))
        await writer.flush?.(null)
      }
      await writer.commit?.()
      return (await made()).map((count, n) => count - (before[n] as number))
    }
    await madeBy(1, 1)
    expect(await madeBy(2, 10)).toEqual(await madeBy(11, 11))
    await one.end()
  })

  test('a record with other columns leaves them as they are in an upsert, and a later one wins', async () => {
    await complete(
      target(upsert),
      RecordBatch.fromRecords([
        { id: 1, name: 'a', note: 'x' },
        { id: 2, name: 'b' },
      ]),
    )
    await complete(
      target(upsert),
      RecordBatch.fromRecords([
        { id: 4, name: 'a', note: 'x' },
        { id: 1, name: 'c' },
        { id: 1, note: 'y' },
        { id: 1, name: 'd' },
        { id: 4, note: 'y' },
        { id: 4, name: 'b', note: 'z' },
        { id: 2, note: null },
        { id: 3 },
      ]),
    )
    expect(await rows()).toEqual([
      ['1', 'd', 'y'],
      ['2', 'b', null],
      ['3', null, null],
      ['4', 'b', 'z'],
    ])
  })

  test.each([
    ['unique (name)', 'has another unique key, name (name), beside (id)'],
    ['unique (name(3))', 'has another unique key, name (name), beside (id)'],
    ['drop primary key', 'to have a primary or unique key of exactly (id), as the key says, got none'],
    ['drop primary key, add primary key (id, name)', 'of exactly (id), as the key says, got PRIMARY (id, name)'],
  ])('an upsert is refused with %s', async (change, message) => {
    await run(`alter table t ${change.startsWith('drop') ? change : `add ${change}`}`)
    expect(await openError(upsert)).toContain(message)
  })

  test('an upsert may have a key beside a counting one that the records leave out', async () => {
    await run(
      'drop table t; create table t (id int auto_increment primary key, name varchar(50) not null unique, note varchar(50))',
    )
    const to = target({ mode: 'upsert', key: 'name' })
    await complete(
      to,
      RecordBatch.fromRecords([
        { name: 'a', note: 'x' },
        { name: 'b', note: 'x' },
        { name: 'a', note: 'y' },
      ]),
    )
    expect(await rows('select name, note from t order by name')).toEqual([
      ['a', 'y'],
      ['b', 'x'],
    ])
    const { writer } = await to.open(context())
    const error = await Promise.resolve(write(writer, [{ id: 7, name: 'c' }])).catch((it: unknown) => it)
    expect(messagesOf(error)).toContain('another unique key, PRIMARY (id)')
    await writer.abort?.({ reason: 'over', leaseLost: false })
  })

  test('a null in the key of an upsert fails its record', async () => {
    await run('drop table t; create table t (id int unique, name varchar(50))')
    const writer = await opened(target(upsert), { toleratesFailures: true })
    await expect(write(writer, [{ id: 1 }, { id: null }])).rejects.toMatchObject({ recordIndex: 1 })
  })

  describe('exactly once', () => {
    test('an execution that another one has followed cannot commit, and its transaction is over', async () => {
      const first = await opened(target())
      await write(first, records(1, 3))
      const second = await opened(target())
      await expect(Promise.resolve(first.flush?.(null))).rejects.toThrow()
      expect(first.isBroken).toBe(true)
      await write(second, records(1, 3))
      await second.flush?.(null)
      expect(await rows('select id from t')).toEqual([['1'], ['2'], ['3']])
      await expect(Promise.resolve(target().open({ ...context(), executionId: 'job-0' }))).rejects.toMatchObject({
        code: 'lease_lost',
      })
    })

    test('so does one that only finds another execution in the row of its job', async () => {
      const writer = await opened(target())
      await write(writer, records(1, 3))
      await writer.flush?.(null)
      await run(`update headgate_checkpoint set execution = concat(execution, 'z')`)
      const error = await Promise.resolve(write(writer, records(4, 5)).then(() => writer.flush?.(null))).catch(
        (it: unknown) => it,
      )
      expect(error).toMatchObject({ code: 'lease_lost' })
      expect(await rows('select id from t')).toEqual([['1'], ['2'], ['3']])
    })

    test('rows and checkpoint come and go together', async () => {
      const writer = await opened(target(), { isResumed: true })
      await write(writer, records(1, 2))
      await writer.flush?.({ sequence: 1 })
      await write(writer, records(3, 4))
      await writer.abort?.({ reason: 'over', leaseLost: false })
      const next = await opened(target(), { isResumed: true })
      expect(next.resume).toEqual({ checkpoint: { sequence: 1 } })
      expect(await rows('select id from t')).toEqual([['1'], ['2']])
    })

    test('a job outlives that its connection is killed again and again', async () => {
      const own = mysql.createPool({ uri: database.url, connectionLimit: 3 })
      await using registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 1 })
      const people = records(1, 200)
      let batches = 0
      const killing = async () => {
        if (++batches % 10 !== 0) return
        const [found] =
          await tests.pool.query(`select id from information_schema.processlist where db = database() and id <> connection_id()
          and (info like 'insert%' or info like 'load%' or info is null) order by id desc limit 2`)
        for (const { id } of found as { id: number }[]) await tests.pool.query(`kill ${id}`).catch(() => undefined)
      }
      own.on('connection', (connection) => connection.on('error', () => undefined))
      registry.define({
        id: 'copy',
        datasource: testDatasource(people),
        cursor: 'id',
        batchSize: 5,
        transformBatch: async (batch) => {
          await killing()
          return batch.records()
        },
        target: mysqlTarget({ pool: own, table: 't' }),
        retry: { limit: 50, delay: 1, maxDelay: 1 },
      })
      expect(await (await registry.start('ingestion', 'copy')).finished).toMatchObject({ state: 'successful' })
      expect(await rows('select id, name from t order by id')).toEqual(people.map(({ id, name }) => [String(id), name]))
      await own.end()
    })
  })

  describe('locks', () => {
    test('a lock that is not granted in time fails the job with a transient error, and nothing of it stays', async () => {
      await run('insert into t values (2, null, null)')
      const other = await tests.pool.getConnection()
      onTestFinished(() => other.destroy())
      await other.query('start transaction')
      await other.query('select * from t where id = 2 for update')
      const writer = await opened(target({ ...upsert, lockTimeout: 1 }))
      await write(writer, records(1, 1)).catch(() => undefined)
      const error = await Promise.resolve(write(writer, records(2, 3)).then(() => writer.flush?.(null))).catch(
        (it: unknown) => it,
      )
      expect(messagesOf(error)).toContain('Lock wait timeout')
      expect(isTransient(error)).toBe(true)
      await writer.abort?.({ reason: error, leaseLost: false })
      await other.query('rollback')
      expect(await rows()).toEqual([['2', null, null]])
    })

    const deadlocked = async (before: JobRecord[]) => {
      await run('insert into t values (1, null, null), (2, null, null)')
      const writer = await opened(target(upsert), { toleratesFailures: true })
      if (before.length > 0) await write(writer, before)
      const other = await tests.pool.getConnection()
      onTestFinished(() => other.destroy())
      await other.query('start transaction')
      // It has written more, so the server rolls the job back.
      await other.query(`insert into t select seq, 'other', null from seq_100_to_300`)
      await other.query('update t set name = null where id = 2')
      await other.query('select * from t where id = 2 for update')
      const batch = [
        { id: 1, name: 'a' },
        { id: 2, name: 'b' },
      ]
      const writing = Promise.resolve(write(writer, batch)).catch((it: unknown) => it)
      await vi.waitFor(async () => expect(await rows(waitingQuery)).not.toEqual([]), { interval: 150, timeout: 10_000 })
      await other.query('select * from t where id = 1 for update')
      await other.query('rollback')
      const error = await writing
      expect(isTransient(error)).toBe(true)
      expect(messagesOf(error)).toContain('Deadlock')
      return { writer, batch }
    }

    test('a deadlock in a batch that comes first in its transaction lets the writer go on', async () => {
      const { writer, batch } = await deadlocked([])
      expect(writer.isBroken).toBe(false)
      await write(writer, batch)
      await writer.flush?.(null)
      expect(await rows('select id, name from t where id < 3 order by id')).toEqual([
        ['1', 'a'],
        ['2', 'b'],
      ])
    })

    test('a deadlock in a later one ends the writer, as the ones before it are lost', async () => {
      const { writer } = await deadlocked([{ id: 5 }])
      expect(writer.isBroken).toBe(true)
    })
  })

  describe('a table that changes beside the job', () => {
    test('fails it with a transient error when it was altered between two commits', async () => {
      const writer = await opened(target())
      await write(writer, records(1, 2))
      await writer.flush?.(null)
      await run('alter table t modify name varchar(60)')
      const error = await Promise.resolve(write(writer, records(3, 4))).catch((it: unknown) => it)
      expect(messagesOf(error)).toContain('was altered, renamed or recreated')
      expect(isTransient(error)).toBe(true)
    })

    test('is seen by a user with rights on its columns only', async () => {
      await complete(target(), RecordBatch.fromRecords(records(1, 1)))
      const user = `headgate_${randomUUID().slice(0, 8)}`
      await run(`create user ${user}@'%' identified by 'secret';
        grant select (id), insert (id) on t to ${user}@'%'; grant select, insert, update on headgate_checkpoint to ${user}@'%'`)
      onTestFinished(() => run(`drop user ${user}@'%'`))
      const connectionString = Object.assign(new URL(database.url), { username: user, password: 'secret' }).href
      const writer = await opened(target({ connectionString }))
      await write(writer, [{ id: 2 }])
      await writer.flush?.(null)
      await run('alter table t modify id bigint')
      const error = await Promise.resolve(write(writer, [{ id: 3 }])).catch((it: unknown) => it)
      expect(messagesOf(error)).toContain('was altered, renamed or recreated')
    })

    test('is the same when keys and checks that matter to no record were added to it', async () => {
      const writer = await opened(target())
      await write(writer, records(1, 2))
      await writer.flush?.(null)
      await run('alter table t add key (name), add constraint positive check (id > 0), auto_increment = 7')
      await write(writer, records(3, 4))
      await writer.flush?.(null)
      await run('alter table t add unique (note)')
      await expect(write(writer, records(5, 6))).rejects.toThrow('was altered, renamed or recreated')
    })

    test('waits to be altered until the transaction is over', async () => {
      const writer = await opened(target())
      await write(writer, records(1, 2))
      const altering = run('alter table t add other int')
      await vi.waitFor(async () =>
        expect(
          await rows(
            `select 1 from information_schema.processlist where db = database() and state like 'Waiting for table%'`,
          ),
        ).not.toEqual([]),
      )
      await write(writer, records(3, 4))
      await writer.flush?.(null)
      await altering
      expect(await rows('select id from t order by id')).toEqual([['1'], ['2'], ['3'], ['4']])
    })

    test.each(['delete from t', 'truncate t'])('fails the job when it has lost its rows by "%s"', async (sql) => {
      const writer = await opened(target(), { ifReset: 'fail' })
      await write(writer, records(1, 2))
      await writer.flush?.({ sequence: 1 })
      await run(sql)
      const error = await Promise.resolve(write(writer, records(3, 4))).catch((it: unknown) => it)
      expect(messagesOf(error)).toContain('was emptied while the job wrote to it')
      await writer.abort?.({ reason: error, leaseLost: false })
      await run(`insert into t (id) values (9)`)
      const next = await opened(target(), { ifReset: 'restart', isResumed: true })
      await expect(Promise.resolve(next.isReset?.())).rejects.toThrow('has records since')
    })
  })

  test('a full refresh of another job is noticed', async () => {
    const first = await opened(target(), { ifReset: 'fail' })
    await write(first, records(1, 2))
    await first.flush?.({ sequence: 1 })
    const warn = vi.fn()
    const other = await opened(target({ onFullRefresh: 'truncate' }), {
      id: 'other',
      executionId: `other${context().executionId.slice(3)}`,
      warn,
    })
    await other.truncate?.()
    await write(other, records(5, 6))
    await other.flush?.(null)
    expect(warn.mock.calls.flat()).toEqual([expect.stringContaining('removes the rows of 1 other job')])
    const error = await Promise.resolve(write(first, records(3, 4))).catch((it: unknown) => it)
    expect(messagesOf(error)).toContain('was emptied')
    await first.abort?.({ reason: error, leaseLost: false })
    const next = await opened(target(), { ifReset: 'fail', isResumed: true })
    await expect(Promise.resolve(next.isReset?.())).rejects.toThrow('Job [ingestion/other] has removed')
  })

  test('a value that only `load data` would change is inserted', async () => {
    // The default of a column that has none is a warning for `load data`, and an error for `insert`.
    await run('alter table t add needed int not null')
    const writer = await opened(target())
    await write(writer, records(1, 3))
    await expect(Promise.resolve(writer.flush?.(null))).rejects.toMatchObject({
      recordIndex: 0,
      batchKey: writeContext.idempotencyKey,
    })
  })
})

describe.skipIf(!isMariadbThere())('a server with small packets', () => {
  const large = 'raise `max_allowed_packet` of the server'

  test.each([
    ['by `load data`, which has no limit', { takesFiles: true, others: [], failures: [] }],
    [
      'unless another record makes it insert them',
      { takesFiles: true, others: [{ id: 4 }], failures: [large, large, 'Duplicate'] },
    ],
    ['unless it takes no files', { takesFiles: false, others: [], failures: [large, large] }],
  ])('takes records of any length %s', async (_, { takesFiles, others, failures }) => {
    const server = await startMariadb({ 'max-allowed-packet': '16384', 'local-infile': takesFiles ? '1' : '0' })
    onTestFinished(() => server.stop())
    const admin = await mysql.createConnection(server.url)
    await admin.query('create database d')
    await admin.query('create table d.t (id int primary key, name longtext)')
    await using registry = new JobRegistry({ storage: memoryStorage() })
    const letters: string[] = []
    // The line of a record has two characters for a backslash.
    const names: Record<number, string> = { 3: 'x'.repeat(20_000), 5: '\\'.repeat(10_000) }
    const people = records(1, 3000).map(({ id }) => ({ id, name: names[id] ?? 'x'.repeat(50) }))
    registry.define({
      id: 'large',
      datasource: testDatasource([...others, ...people]),
      target: mysqlTarget({ connectionString: `${server.url}/d`, table: 't' }),
      failures: {
        total: 3,
        deadLetters: async (batch) => void letters.push(...batch.records().map(({ error }) => JSON.stringify(error))),
      },
    })
    expect(await (await registry.start('ingestion', 'large')).finished).toMatchObject({ state: 'successful' })
    const kinds = letters.map((text) => [large, 'Duplicate'].find((kind) => text.includes(kind)) ?? text)
    expect(kinds.sort()).toEqual([...failures].sort())
    const lost = failures.filter((text) => text === large).length
    const sizes = 'select count(*) as count, sum(length(name) > 9999) as large from d.t'
    expect((await admin.query(sizes))[0]).toEqual([{ count: 3000 - lost, large: String(2 - lost) }])
    await admin.end()
  })
})
