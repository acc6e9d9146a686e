import { mkdir, mkdtemp, rm, rmdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { type Clock, errorMessages, JobRegistry, type JobStorage } from 'headgate'
import { type ExecutionRecord, executionOrder, type StorageChange, systemClock } from 'headgate/adapter'
import { type SqliteDatabase, type SqliteStorageOptions, sqliteStorage } from 'headgate/sqlite'
import { fakeClock, type StorageFixture, storageSuite } from 'headgate/testing'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { migrations } from '../../../src/adapters/sqlite/storage/migrations.js'
import { longestBlockDuring } from '../../support/event-loop.js'
import { smallestOf } from '../../support/smallest-of.js'
import { drivers, firstValue, openDatabase, request, run } from './storage-support.js'

let folder: string
let path: string
const opened: { close?(): unknown }[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-sqlite-'))
  path = join(folder, 'jobs.db')
})

afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close?.()
  await rm(folder, { recursive: true })
})

describe.each(drivers)('sqliteStorage over a database of %s keeps the contract of a storage', (_, Database) => {
  storageSuite({
    test,
    create: (options) => fixture(() => ({ database: database(Database) }), options),
  })
})

describe('sqliteStorage over a path keeps the contract of a storage', () => {
  storageSuite({ test, create: (options) => fixture(() => ({ path }), options) })
})

describe('options', () => {
  test.each([
    [{}, 'Expected `options` to be an object with either `path` or `database`'],
    [{ path: 'x', database: { exec() {}, prepare() {}, close() {} } }, 'either `path` or `database`'],
    [{ path: '' }, '`path` to be a string that is not empty'],
    [{ path: ':memory:' }, '`path` to be a file: memoryStorage() keeps executions in memory, got `:memory:`'],
    [{ database: {} }, '`database` to be an object with the methods `exec`, `prepare`, `close`'],
    [{ path: 'x', maxCount: 0 }, '`maxCount` to be a whole number from 1 up'],
    [{ path: 'x', maxAge: 0.5 }, '`maxAge` to be a whole number of milliseconds from 1 up'],
    [{ path: 'x', pollInterval: 0 }, '`pollInterval` to be a whole number of milliseconds from 1 up'],
    [{ path: 'x', clock: Date }, '`clock` to be an object with the methods'],
    [{ path: 'x', file: 'y' }, '`file`'],
  ])('%j is refused', (options, message) => {
    expect(() => sqliteStorage(options as SqliteStorageOptions)).toThrow(message)
  })

  test('a relative path starts at the working directory', async () => {
    await run(open({ path: relative(process.cwd(), path) }))
    expect((await open().search({})).total).toBe(1)
  })
})

describe('opening', () => {
  test('waits for the first call', async () => {
    path = join(folder, 'missing', 'jobs.db')
    const storage = open()
    await mkdir(join(folder, 'missing'))
    await run(storage)
  })

  test('that failed is tried again by the next call', async () => {
    await mkdir(path)
    const storage = open()
    const error = await failureOf(storage.find('test', 'a'))
    expect(error).toMatchObject({ code: 'storage', message: `Could not open the SQLite storage \`${path}\`.` })
    expect(errorMessages(error)[1]).toMatch(/unable to open/i)
    await rmdir(path)
    expect(await storage.find('test', 'a')).toBeUndefined()
  })

  test('refuses a file that is no database, and leaves it alone', async () => {
    await writeFile(path, 'no database, '.repeat(1000))
    expect(errorMessages(await failureOf(open().find('test', 'a')))).toEqual([
      `Could not open the SQLite storage \`${path}\`.`,
      'file is not a database',
    ])
  })

  test('refuses the file of a newer version, and leaves it alone', async () => {
    await run(open())
    const other = database()
    other.exec(`update headgate_schema set version = ${migrations.length + 1}`)
    expect(errorMessages(await failureOf(open().find('test', 'a')))).toEqual([
      `Could not open the SQLite storage \`${path}\`.`,
      `Its tables have version ${migrations.length + 1}, but this headgate supports versions up to ${migrations.length}: use a newer headgate.`,
    ])
    expect(firstValue(other, 'select version from headgate_schema')).toBe(migrations.length + 1)
  })

  test.each([1, 2, 3, 4])('brings a file of version %i up to date, with its rows', async (version) => {
    const old = database()
    old.exec(migrations.slice(0, version).join('\n'))
    old.exec(`create table headgate_schema (version integer); insert into headgate_schema values (${version})`)
    const uuid = '0197a1b2-0000-7000-8000-000000000000'
    for (const table of ['headgate_job', 'headgate_log']) {
      old.exec(`insert into ${table} (type, id, execution_id, position, state, epoch, node, start_time, end_time,
        lease_until, count, last_id, checkpoint) values ('test', 'a', 'a${uuid}', '${uuid}', 'successful', 7, '"n"', 1000,
        2000, 1500, 3, '"c"', '{"at":3}')`)
    }
    const storage = open()
    const before = await storage.find('test', 'a')
    expect(before).toMatchObject({ epoch: 7, node: 'n', endTime: 2000, lastId: 'c', checkpoint: { at: 3 } })
    expect(await storage.search({ type: 'test' })).toEqual({ total: 1, hits: [before] })
    expect(before).not.toHaveProperty('scheduledFor')
    const { execution } = await storage.begin(request({ scheduledFor: 5000 }))
    expect(execution).toMatchObject({ epoch: 8, checkpoint: { at: 3 }, scheduledFor: 5000 })
    expect(firstValue(old, 'select version from headgate_schema')).toBe(migrations.length)
  })

  test('brings a file of version 4 up to date, whose unclaimed executions have neither a node nor a lease then', async () => {
    const old = database()
    old.exec(migrations.slice(0, 4).join('\n'))
    old.exec('create table headgate_schema (version integer); insert into headgate_schema values (4)')
    const rows = [
      ['waits', 'queued', '""', 'null'],
      ['aborted', 'aborting', '""', 'null'],
      ['held', 'running', '"n"', 'null'],
      ['ended', 'aborted', '""', '5'],
    ] as const
    for (const [n, [id, state, node, endTime]] of rows.entries()) {
      const uuid = `0197a1b2-000${n}-7000-8000-000000000000`
      for (const table of endTime === 'null' ? ['headgate_job'] : ['headgate_job', 'headgate_log']) {
        old.exec(`insert into ${table} (type, id, execution_id, position, state, epoch, node, start_time, end_time,
          lease_until, count) values ('test', '${id}', '${id}${uuid}', '${uuid}', '${state}', 7, '${node}', 1, ${endTime},
          ${8e15}, 0)`)
      }
    }
    const storage = open()
    const { hits } = await storage.live({ type: 'test' })
    expect(hits.map(({ id, state, node, leaseUntil }) => [id, state, node, leaseUntil])).toEqual([
      ['waits', 'queued', null, null],
      ['aborted', 'aborting', null, null],
      ['held', 'running', 'n', 8e15],
    ])
    const [waits, aborted, held] = hits as [ExecutionRecord, ExecutionRecord, ExecutionRecord]
    expect((await storage.search({})).hits).toMatchObject([{ id: 'ended', node: null, leaseUntil: null }])
    expect(await storage.claim(waits, { node: 'n', lease: 1000 })).toMatchObject({
      state: 'running',
      node: 'n',
      epoch: 8,
    })
    expect(await storage.finish(aborted, { state: 'aborted' })).toMatchObject({ state: 'aborted', node: null })
    expect(await storage.renew(held, { lease: 60_000, count: 3 })).toMatchObject({ count: 3, node: 'n' })
    // What older processes ask, which must not pass.
    expect(() => old.prepare('select node from headgate_job').all()).toThrow('no such column: node')
  })

  test.each([1, 2, 3, 4, 5])(
    'brings a file of version %i up to date, whose partitions had packed names',
    async (version) => {
      const old = database()
      old.exec(migrations.slice(0, version).join('\n'))
      old.exec(`create table headgate_schema (version integer); insert into headgate_schema values (${version})`)
      const node = version < 5 ? 'node' : 'claimed_by'
      const rows = [
        ['ingestion', 'co#py', 'running', 'null', 1],
        ['_ingestion', 'co#py#0', 'running', 'null', 2],
        ['_ingestion', 'co#py#12', 'queued', 'null', 3],
        ['_ingestion', 'co#py#3', 'successful', '9', 4],
        ['_ingestion', 'co#py#04', 'successful', '9', 5],
      ] as const
      for (const [type, id, state, end, n] of rows) {
        const uuid = `0190000${n}-0000-7000-8000-000000000000`
        for (const table of end === 'null' ? ['headgate_job'] : ['headgate_job', 'headgate_log']) {
          old.exec(`insert into ${table} (type, id, execution_id, position, state, epoch, ${node}, start_time, end_time,
          lease_until, count, resumed_from, checkpoint) values ('${type}', '${id}', '${id}${uuid}', '${uuid}', '${state}', 7,
          '"n"', 1, ${end}, ${8e15}, 3, '${id}01900000-0000-7000-8000-000000000000', '{"at":${n}}')`)
        }
      }
      const storage = open()
      const { hits } = await storage.live({ type: 'ingestion', includePartitions: true })
      expect(hits.map(({ id, partition, checkpoint }) => [id, partition, checkpoint])).toEqual([
        ['co#py', undefined, { at: 1 }],
        ['co#py', 0, { at: 2 }],
        ['co#py', 12, { at: 3 }],
      ])
      expect((await storage.live({ type: 'ingestion' })).hits).toEqual(hits.slice(0, 1))
      const [parent, held] = hits as [ExecutionRecord, ExecutionRecord]
      for (const hit of hits) {
        expect(await storage.find('ingestion', 'co#py', hit.partition)).toEqual(hit)
        expect(hit.executionId).toMatch(/^co#py0190000/)
        expect(hit.resumedFrom).toBe('co#py01900000-0000-7000-8000-000000000000')
      }
      expect(await storage.renew(held, { lease: 1000, count: 9 })).toMatchObject({ count: 9, partition: 0 })
      expect(await storage.find('ingestion', 'co#py')).toEqual(parent)
      const done = await storage.find('ingestion', 'co#py', 3)
      expect(done).toMatchObject({ state: 'successful', partition: 3, checkpoint: { at: 4 } })
      expect(await storage.search({ type: 'ingestion', partition: 3 })).toEqual({ total: 1, hits: [done] })
      expect((await storage.search({ type: 'ingestion' })).total).toBe(0)
      expect((await storage.search({ includePartitions: true })).total).toBe(2)
      const next = await storage.begin(request({ type: 'ingestion', id: 'co#py', partition: 3 }))
      expect(next).toMatchObject({ started: true, execution: { epoch: 8, partition: 3, checkpoint: { at: 4 } } })
      // Nothing of headgate wrote a number with a 0 before it.
      expect(await storage.find('_ingestion', 'co#py#04')).toMatchObject({ state: 'successful' })
    },
  )

  test('brings a file of version 6 up to date, with its rows, and manages jobs from then on', async () => {
    const old = database()
    old.exec(migrations.slice(0, 6).join('\n'))
    old.exec('create table headgate_schema (version integer); insert into headgate_schema values (6)')
    for (const [n, [id, state, end]] of [
      ['live', 'running', null] as const,
      ['old', 'successful', 9] as const,
    ].entries()) {
      const uuid = `0197a1b2-000${n}-7000-8000-000000000000`
      for (const table of end === null ? ['headgate_job'] : ['headgate_job', 'headgate_log']) {
        old.exec(`insert into ${table} (type, id, execution_id, position, state, epoch, claimed_by, start_time, end_time,
          lease_until, count, checkpoint) values ('test', '${id}', '${id}${uuid}', '${uuid}', '${state}', 7, '"n"', 1, ${end},
          ${8e15}, 3, '{"at":3}')`)
      }
    }
    const storage = open()
    const live = (await storage.find('test', 'live')) as ExecutionRecord
    const ended = (await storage.find('test', 'old')) as ExecutionRecord
    for (const record of [live, ended, ...(await storage.search({})).hits]) {
      for (const field of ['params', 'abortReason', 'logTail', 'notifiesEnd', 'isEndNotified']) {
        expect(record).not.toHaveProperty(field)
      }
    }
    expect(await storage.latest?.([live, ended])).toHaveLength(2)
    expect(await storage.ends?.claim({ node: 'n', lease: 1000, size: 10 })).toEqual([])
    expect(await storage.pauses?.list()).toEqual([])
    expect(await storage.renew(live, { lease: 1000, logTail: ['a'] })).toMatchObject({ count: 3, logTail: ['a'] })
    expect(await storage.reset?.('test', 'live', { checkpoint: 1 })).toMatchObject({ reset: false })
    expect(await storage.reset?.('test', 'old', { checkpoint: 1 })).toMatchObject({ reset: true })
    const { execution } = await storage.begin(request({ id: 'old', params: { of: 1 }, notifiesEnd: true }))
    expect(execution).toMatchObject({ epoch: 8, checkpoint: 1, params: { of: 1 } })
    const last = await storage.finish(execution, { state: 'successful' })
    expect(await storage.ends?.claim({ node: 'n', lease: 1000, size: 10 })).toEqual([last])
    expect(firstValue(old, 'select version from headgate_schema')).toBe(migrations.length)
  })

  test('of ten storages at once makes the tables once', async () => {
    const storages = Array.from({ length: 10 }, () => open())
    await Promise.all(storages.map((storage, n) => run(storage, `job-${n}`)))
    expect((await open().search({})).total).toBe(10)
  })

  test('leaves the tables of the caller alone', async () => {
    const own = database()
    own.exec('create table job (a integer); create table log (a integer); pragma user_version = 42')
    await run(open({ database: own }))
    expect(firstValue(own, 'pragma user_version')).toBe(42)
    expect(firstValue(own, 'select count(*) from job')).toBe(0)
  })

  test('without any driver says what to install', async () => {
    vi.spyOn(process, 'getBuiltinModule').mockReturnValue(undefined)
    vi.doMock('libsql', () => ({
      get default() {
        throw new TypeError('gone')
      },
    }))
    try {
      expect(errorMessages(await failureOf(open().find('test', 'a'))).slice(0, 2)).toEqual([
        `Could not open the SQLite storage \`${path}\`.`,
        'No SQLite found: use Node 22.13 or newer, or run `npm install libsql`.',
      ])
    } finally {
      vi.doUnmock('libsql')
      vi.restoreAllMocks()
    }
  })

  test('without node:sqlite takes libsql', async () => {
    vi.spyOn(process, 'getBuiltinModule').mockReturnValue(undefined)
    try {
      await run(open())
    } finally {
      vi.restoreAllMocks()
    }
  })
})

describe('a lock that another connection holds', () => {
  test('is waited for, and the process goes on meanwhile', async () => {
    const storage = open()
    await run(storage)
    const other = database()
    let round = 0
    const lockedWork = async () => {
      other.exec('begin immediate')
      const prefix = `job-${round++}-`
      const waiting = Array.from({ length: 20 }, (_, n) => storage.begin(request({ id: `${prefix}${n}` })))
      await setTimeout(300)
      expect((await storage.search({})).total).toBe(1)
      other.exec('commit')
      for (const { started } of await Promise.all(waiting)) expect(started).toBe(true)
    }
    // Twenty tries, each on its own, would hold up the process for a second.
    expect(await smallestOf(500, () => longestBlockDuring(lockedWork))).toBeLessThan(500)
  })

  test('for ever is an error in bounded time', async () => {
    const clock = fakeClock()
    const own = database()
    const storage = open({ database: own, clock })
    await run(storage)
    own.exec('pragma busy_timeout = 0')
    database().exec('begin immediate')
    const failing = [
      storage.begin(request()),
      storage.begin(request()),
      storage.requestAbort({ type: 'test', id: 'a' }),
    ].map(failureOf)
    await clock.advance(15_000)
    const [error, ...others] = await Promise.all(failing)
    for (const other of others) expect(other).toEqual(error)
    expect(error).toMatchObject({ code: 'storage', message: 'The SQLite storage is locked by another connection.' })
    expect(errorMessages(error)[1]).toBe('database is locked')
    expect(clock.pending).toBe(0)
  })

  test('lets leases hold that ran out meanwhile', async () => {
    const clock = fakeClock()
    const [own, other] = [database(), database()]
    own.exec('pragma busy_timeout = 0')
    const storage = open({ database: own, clock })
    const { execution } = await storage.begin(request({ lease: 3000 }))
    other.exec('begin immediate')
    const saving = storage.renew(execution, { lease: 3000, count: 1 })
    await clock.advance(5000)
    other.exec('commit')
    await clock.advance(1000)
    expect(await saving).toMatchObject({ state: 'running', count: 1 })
  })

  test('is given up when the storage is closed', async () => {
    const storage = open()
    await run(storage)
    database().exec('begin immediate')
    const failing = failureOf(storage.begin(request()))
    await storage.close?.()
    expect(await failing).toMatchObject({ code: 'storage', message: `The SQLite storage \`${path}\` is closed.` })
  })
})

test('is writable unless the database may only be read', async () => {
  const own = database()
  const storage = open({ database: own })
  expect(await storage.isWritable?.()).toBe(true)
  own.exec('pragma query_only = 1')
  expect(await storage.isWritable?.()).toBe(false)
  own.exec('pragma query_only = 0')
  expect(await storage.isWritable?.()).toBe(true)
})

describe('a write that fails', () => {
  test.each([
    ['for a database that may not be written', 'pragma query_only = 1', 'pragma query_only = 0', /readonly/],
    ['for a full disk', 'pragma max_page_count = 1', 'pragma max_page_count = 100000', /full/],
    [
      'in the middle',
      "create trigger broken before insert on headgate_log begin select raise(abort, 'broken'); end",
      'drop trigger broken',
      /broken/,
    ],
  ])('%s leaves nothing half written', async (_, spoil, mend, cause) => {
    const own = database()
    const storage = open({ database: own })
    const { execution } = await storage.begin(request())
    own.exec(spoil)
    const checkpoint = 'x'.repeat(100_000)
    const error = await failureOf(storage.finish(execution, { state: 'successful', checkpoint }))
    expect(error).toMatchObject({ code: 'storage', message: 'The SQLite storage failed.' })
    expect(errorMessages(error)[1]).toMatch(cause)
    expect(await storage.find('test', 'a')).toEqual(execution)
    own.exec(mend)
    expect(await storage.finish(execution, { state: 'successful', checkpoint })).toMatchObject({ checkpoint })
    expect(firstValue(own, 'pragma integrity_check')).toBe('ok')
  })

  test('in a transaction of the caller leaves that one alone', async () => {
    const own = database()
    const storage = open({ database: own })
    await run(storage)
    own.exec('create table own (a integer); begin; insert into own values (1)')
    expect(await failureOf(storage.begin(request()))).toMatchObject({ code: 'storage' })
    own.exec('commit')
    expect(firstValue(own, 'select count(*) from own')).toBe(1)
    await run(storage)
  })
})

describe('values', () => {
  const hostile = ['a\0b', '\0', 'lone \ud800 surrogate', '\udfff', '"', '💧', '']

  test.each(drivers)('of any text come back from %s as they were', async (_, Database) => {
    const storage = open({ database: database(Database) })
    for (const text of hostile) {
      const { execution } = await storage.begin(request({ node: text }))
      const checkpoint = { [text]: [text] }
      await storage.finish(execution, { state: 'error', error: [text, text], lastId: text, checkpoint })
      expect(await storage.find('test', 'a')).toMatchObject({
        node: text,
        error: [text, text],
        lastId: text,
        checkpoint,
      })
    }
  })

  test('are numbers, also when the database gives bigints', async () => {
    const own = database()
    const bigints = {
      exec: (sql: string) => own.exec(sql),
      close: () => own.close(),
      prepare(sql: string) {
        const { run, get, all } = bound(own.prepare(sql))
        return {
          run,
          get: (...values: never[]) => big(get(...values)),
          all: (...values: never[]) => all(...values).map(big),
        }
      },
    }
    const storage = open({ database: bigints })
    const { execution } = await storage.begin(request())
    expect(await storage.find('test', 'a')).toEqual(execution)
  })
})

describe('time', () => {
  test('that is put back keeps the order of the log, and of start and end', async () => {
    let now = Date.now()
    const storage = open({ clock: { ...systemClock, now: () => now } })
    const first = await storage.begin(request())
    now -= 3_600_000
    await storage.finish(first.execution, { state: 'successful' })
    const second = await run(storage)
    const { hits } = await storage.search({})
    expect(hits.map(({ executionId }) => executionId)).toEqual([second, first.execution.executionId])
    for (const { startTime, endTime = 0 } of hits) expect(endTime).toBeGreaterThanOrEqual(startTime)
  })

  test('that stands still keeps the order of ids, whoever makes them', async () => {
    const clock = fakeClock()
    const before = open({ clock })
    // The id of another process, whose sequence is ahead.
    const far = `a${executionOrder(await run(before))?.replace(/^(.{13}-7)...-..../, '$1fff-bfff')}`
    database().exec(`update headgate_job set execution_id = '${far}', position = '${far.slice(1)}'`)
    expect(executionOrder(await run(open({ clock })))).toSatisfy((order: string) => order > far.slice(1))
  })
})

describe('the log', () => {
  test('keeps the newest executions up to maxCount', async () => {
    const storage = open({ maxCount: 3 })
    const ids: string[] = []
    for (let n = 0; n < 5; n++) ids.unshift(await run(storage))
    expect(await idsOf(storage)).toEqual(ids.slice(0, 3))
    expect(firstValue(database(), 'select count(*) from headgate_log')).toBe(3)
  })

  test('shows no more than maxCount, and goes in steps of 100, when that was higher before', async () => {
    const before = open()
    for (let n = 0; n < 250; n++) await run(before)
    const storage = open({ maxCount: 10 })
    expect((await storage.search({ size: 1000 })).hits).toHaveLength(10)
    const counts: unknown[] = []
    for (let n = 0; n < 4; n++) {
      await run(storage)
      expect((await storage.search({ size: 0 })).total).toBe(10)
      counts.push(firstValue(database(), 'select count(*) from headgate_log'))
    }
    expect(counts).toEqual([151, 52, 10, 10])
  })

  test('keeps executions for maxAge, from their end', async () => {
    const clock = fakeClock()
    const storage = open({ maxAge: 1000, clock })
    const { execution } = await storage.begin(request({ id: 'slow' }))
    await clock.advance(5000)
    await storage.finish(execution, { state: 'successful' })
    await clock.advance(600)
    const young = await run(storage)
    await clock.advance(400)
    expect(await idsOf(storage)).toEqual([young, execution.executionId])
    await clock.advance(1)
    expect(await idsOf(storage)).toEqual([young])
    await clock.advance(600)
    expect(await idsOf(storage)).toEqual([])
    expect((await storage.find('test', 'a'))?.executionId).toBe(young)
    await run(storage)
    expect(firstValue(database(), 'select count(*) from headgate_log')).toBe(1)
  })
})

test('every statement finds its rows by an index', async () => {
  const own = database()
  const statements = new Set<string>()
  const spied = {
    exec: (sql: string) => own.exec(sql),
    close: () => own.close(),
    prepare(sql: string) {
      statements.add(sql)
      return own.prepare(sql)
    },
  }
  const storage = open({ database: spied, maxAge: 1000 })
  storage.watch?.(() => undefined)
  await run(storage)
  await storage.orphans()
  await storage.live({ type: 'test' })
  await storage.requestAbort({ type: 'test', id: 'a' })
  const filter = { type: 'test', id: 'a', state: 'error', startTimeFrom: 1, startTimeTo: 2, searchAfter: 'x' } as const
  for (let bits = 0; bits < 64; bits++) {
    const chosen = Object.fromEntries(Object.entries(filter).filter((_, index) => bits & (1 << index)))
    await storage.search(chosen)
    await storage.search({ ...chosen, state: 'running' })
  }
  const planned = [...statements].filter((sql) => sql.includes('headgate_') && !sql.includes('sqlite_master'))
  expect(planned.length).toBeGreaterThan(64)
  // Looked at once per watching: what changed before the first look.
  const others = planned.filter((sql) => !sql.includes('start_time >= ? or'))
  expect(stepsOf(own, others, /^SCAN headgate_\w+$/)).toEqual([])
  const searches = planned.filter((sql) => /^select .* from headgate_log .* order by position/s.test(sql))
  expect(searches.length).toBeGreaterThan(32)
  expect(stepsOf(own, searches, /TEMP B-TREE/)).toEqual([])
  const counts = planned.filter((sql) => sql.startsWith('select count(*) n from headgate_log'))
  expect(stepsOf(own, counts, /^(SCAN|SEARCH) headgate_log (?!USING COVERING INDEX)/)).toEqual([])
})

describe('a file that is not there any more', () => {
  const wipe = (path: string) => Promise.all(['', '-wal', '-shm'].map((end) => rm(`${path}${end}`, { force: true })))

  test.each(['deleted', 'replaced'])('when it was %s, is no longer written: one job runs once', async (how) => {
    const [mine, theirs] = [open(), open()]
    await run(mine)
    await wipe(path)
    if (how === 'replaced') await theirs.begin(request())
    const gone = { code: 'storage', isTransient: true, message: expect.stringContaining('was deleted or replaced') }
    await expect(mine.begin(request())).rejects.toMatchObject(gone)
    expect(await mine.begin(request())).toMatchObject({ started: how === 'deleted' })
    expect(await theirs.begin(request())).toMatchObject({ started: false })
    expect(await mine.find('test', 'a')).toEqual(await theirs.find('test', 'a'))
  })

  test.each(['-wal', '-shm'])('when its %s was deleted, is opened again and has lost nothing', async (ending) => {
    const [mine, theirs] = [open(), open()]
    await run(mine)
    await rm(`${path}${ending}`)
    const gone = { code: 'storage', isTransient: true, message: expect.stringContaining(`${ending}\` was deleted`) }
    await expect(mine.begin(request())).rejects.toMatchObject(gone)
    expect(await mine.begin(request())).toMatchObject({ started: true })
    expect(await theirs.begin(request())).toMatchObject({ started: false })
    expect((await theirs.search({})).total).toBe(1)
  })

  test.each(['deleted', 'replaced'])('when it was %s, is named in the error of a job that runs', async (how) => {
    const clock = fakeClock()
    const warn = vi.fn()
    const logger = { debug() {}, info() {}, warn, error() {} }
    const registry = new JobRegistry({ storage: open(), progressInterval: 0, logger, clock, lease: 30_000 })
    let report: (() => void) | undefined
    registry.define({
      type: 'test',
      id: 'a',
      run: async ({ progress, signal }) => {
        report = () => progress({ count: 1 })
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      },
    })
    const { finished } = await registry.start('test', 'a')
    await vi.waitFor(() => expect(report).toBeDefined())
    await wipe(path)
    if (how === 'replaced') await open().begin(request())
    report?.()
    await vi.waitFor(() => expect(warn).toHaveBeenCalled())
    // The file is opened again by the next renewal.
    await clock.advance(10_000)
    expect(await finished).toMatchObject({
      state: 'error',
      error: [
        'The storage does not have this execution any more.',
        `The file \`${path}\` was deleted or replaced while it was open.`,
      ],
    })
    await registry.close()
  })

  test('tells so to who reads, though somebody watches', async () => {
    const storage = open({ pollInterval: 1 })
    let polls = 0
    storage.watch?.(() => polls++)
    await run(storage)
    await wipe(path)
    await expect(storage.search({})).rejects.toMatchObject({ code: 'storage' })
    expect(await storage.search({})).toEqual({ total: 0, hits: [] })
  })
})

describe('watching', () => {
  test('tells every change once, own ones at once', async () => {
    const [storage, peer] = [open(), open()]
    await run(peer, 'before')
    // What happened in the millisecond in which the watching began may be told.
    await setTimeout(5)
    const changes = watched(storage)
    const mine = await run(storage)
    expect(changes.map(({ state }) => state)).toEqual(['running', 'successful'])
    const theirs = await run(peer)
    await eventually(() => expect(changes.at(-1)).toMatchObject({ executionId: theirs, state: 'successful' }))
    await run(storage, 'b')
    await setTimeout(50)
    const told = changes.map(({ executionId, state }) => `${executionId} ${state}`)
    expect(told).toEqual([...new Set(told)])
    expect(changes.filter(({ executionId }) => executionId === mine)).toHaveLength(2)
    expect(changes.filter(({ id }) => id === 'before')).toEqual([])
  })

  test('tells of an execution that ended and was followed between two looks', async () => {
    const [storage, peer] = [open({ pollInterval: 100 }), open()]
    const changes = watched(storage)
    await run(storage, 'b')
    const first = await run(peer)
    const { execution } = await peer.begin(request())
    await eventually(() =>
      expect(changes.filter(({ id }) => id === 'a')).toEqual([
        { type: 'test', id: 'a', executionId: first, state: 'successful' },
        { type: 'test', id: 'a', executionId: execution.executionId, state: 'running' },
      ]),
    )
  })

  test('goes on when the file could not be opened at first', async () => {
    await mkdir(path)
    const storage = open()
    const changes = watched(storage)
    await setTimeout(30)
    await rmdir(path)
    await run(open())
    await eventually(() => expect(changes.at(-1)).toMatchObject({ state: 'successful' }))
  })

  test('a listener that throws hurts nobody', async () => {
    const storage = open()
    storage.watch?.(() => {
      throw new TypeError('broken')
    })
    const changes = watched(storage)
    await run(storage)
    expect(changes.map(({ state }) => state)).toEqual(['running', 'successful'])
  })

  test('tells of changes by another storage over the same connection', async () => {
    const own = database()
    const [storage, peer] = [open({ database: own }), open({ database: own })]
    const changes = watched(storage)
    await run(peer)
    await eventually(() => expect(changes.at(-1)).toMatchObject({ id: 'a', state: 'successful' }))
  })
})

describe('close', () => {
  test('refuses calls that come later, and may be called again', async () => {
    const storage = open()
    await run(storage)
    await Promise.all([storage.close?.(), storage.close?.()])
    for (const call of [storage.find('test', 'a'), storage.begin(request()), storage.search({})]) {
      expect(await failureOf(call)).toMatchObject({
        code: 'storage',
        message: `The SQLite storage \`${path}\` is closed.`,
      })
    }
  })

  test('of a storage that was never used opens nothing', async () => {
    path = join(folder, 'missing', 'jobs.db')
    await open().close?.()
  })

  test('leaves the database of the caller open', async () => {
    const own = database()
    const storage = open({ database: own })
    await run(storage)
    await storage.close?.()
    expect(firstValue(own, 'select count(*) from headgate_log')).toBe(1)
  })

  test('tells listeners nothing more', async () => {
    const [storage, peer] = [open(), open()]
    const changes = watched(storage)
    await run(storage)
    await storage.close?.()
    await run(peer)
    await setTimeout(30)
    expect(changes).toHaveLength(2)
  })
})

/** A storage over the file of the test, which is closed after it. */
function open(options: Partial<SqliteStorageOptions> = {}): JobStorage {
  const storage = sqliteStorage({ ...(options.database ? {} : { path }), pollInterval: 5, ...options })
  opened.push(storage)
  return storage
}

/** A connection to the file of the test, which is closed after it. */
function database(Database?: (typeof drivers)[number][1]): SqliteDatabase {
  const own = openDatabase(path, Database)
  opened.push(own)
  return own
}

/** Two storages over the file of the test, whose time passes at once and whose timers are real. */
function fixture(where: () => Partial<SqliteStorageOptions>, options: { maxCount?: number }): StorageFixture {
  let ahead = 0
  const clock: Clock = { ...systemClock, now: () => Date.now() + ahead }
  return {
    storage: open({ ...where(), clock, ...options }),
    peer: open({ ...where(), clock, ...options }),
    async pass(ms) {
      ahead += ms
    },
  }
}

/** Resolves once `check` throws no more. */
function eventually(check: () => void): Promise<void> {
  return vi.waitFor(check, { timeout: 5000 })
}

function watched(storage: JobStorage): StorageChange[] {
  const changes: StorageChange[] = []
  storage.watch?.((change) => changes.push(change))
  return changes
}

async function failureOf(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    (value) => expect.unreachable(`Expected a failure, got ${JSON.stringify(value)}`),
    (error: unknown) => error,
  )
}

async function idsOf(storage: JobStorage): Promise<string[]> {
  return (await storage.search({ size: 1000 })).hits.map(({ executionId }) => executionId)
}

/** The steps of the statements' plans that look like `pattern`. */
function stepsOf(own: SqliteDatabase, statements: string[], pattern: RegExp): string[] {
  return statements.flatMap((sql) => {
    const values = Array.from(sql.matchAll(/\?/g), () => 1)
    const plan = own.prepare(`explain query plan ${sql}`).all(...values) as { detail: string }[]
    return plan.filter(({ detail }) => pattern.test(detail)).map(({ detail }) => `${detail}: ${sql}`)
  })
}

function bound(statement: ReturnType<SqliteDatabase['prepare']>) {
  return {
    run: statement.run.bind(statement),
    get: statement.get.bind(statement),
    all: statement.all.bind(statement),
  }
}

/** A row with its integers as bigints. */
function big(row: unknown): unknown {
  if (!row) return row
  const entries = Object.entries(row).map(([name, value]) => [name, Number.isInteger(value) ? BigInt(value) : value])
  return Object.fromEntries(entries)
}
