import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { errorMessages, type IngestionJob, isTransient, JobRegistry, memoryStorage } from 'headgate'
import { type Column, newExecutionId, RecordBatch, type TargetWriter } from 'headgate/adapter'
import { type SqliteDatabase, type SqliteTargetOptions, sqliteDatasource, sqliteTarget } from 'headgate/sqlite'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { perTurn } from '../../support/event-loop.js'
import { programOf } from '../../support/program.js'
import { rejectionOf } from '../postgres/datasource-read.js'
import { drivers, newFile, ownFolder } from './file-support.js'
import { type Driver, openDatabase } from './storage-support.js'

const folder = await ownFolder()

function contextOf(overrides: object = {}) {
  const executionId = newExecutionId('values', Date.now())
  const { signal } = new AbortController()
  return {
    type: 'ingestion',
    id: 'values',
    executionId,
    signal,
    position: undefined,
    isResumed: false,
    isResumable: true,
    ...overrides,
  }
}

async function writerOf(options: SqliteTargetOptions, overrides: object = {}): Promise<TargetWriter> {
  return (await sqliteTarget(options).open(contextOf(overrides))).writer
}

async function writeAll(options: SqliteTargetOptions, ...batches: RecordBatch[]): Promise<void> {
  const writer = await writerOf(options)
  try {
    for (const batch of batches) await writer.write(batch, { ...contextOf(), idempotencyKey: 'a' })
    await writer.flush?.(null)
  } finally {
    await writer.abort?.({ reason: undefined, leaseLost: false })
  }
}

const all = (database: SqliteDatabase, sql: string) => database.prepare(sql).all() as Record<string, unknown>[]

describe.each(drivers)('what sqliteTarget stores over %s', (_, Database) => {
  const opened = (statements: string) => newFile(folder, Database, statements).database
  const write = (database: SqliteDatabase, ...records: object[]) =>
    writeAll({ database, table: 't' }, RecordBatch.fromRecords(records as Record<string, unknown>[]))

  test.each([
    ['integer', '42', '42', 'integer'],
    ['integer', '9223372036854775807', '9223372036854775807', 'integer'],
    ['integer', 9007199254740993n, '9007199254740993', 'integer'],
    ['integer', 1.5, '1.5', 'real'],
    ['integer', true, '1', 'integer'],
    ['real', '0.1', '0.1', 'real'],
    ['real', 5, '5.0', 'real'],
    ['real', 'Infinity', 'Inf', 'real'],
    ['numeric(10,2)', '1.10', '1.1', 'real'],
    ['text', 5, '5', 'text'],
    ['text', 0.1, '0.1', 'text'],
    ['text', '007', '007', 'text'],
    ['text', true, 'true', 'text'],
    ['text', { a: [1] }, '{"a":[1]}', 'text'],
    ['date', '2024-01-02', '2024-01-02', 'text'],
    ['date', new Date(0), '1970-01-01T00:00:00.000Z', 'text'],
    ['', '5', '5', 'text'],
    ['', 5, '5', 'integer'],
    ['blob', Buffer.from('ab'), 'ab', 'blob'],
    ['blob', Buffer.alloc(0), '', 'blob'],
    ['blob', null, null, 'null'],
  ])('a column %s keeps %o', async (declared, value, text, type) => {
    const database = opened(`create table t (v ${declared})`)
    await write(database, { v: value })
    expect(all(database, 'select cast(v as text) as text, typeof(v) as type from t')).toMatchObject([{ text, type }])
  })

  test.each([
    ['integer', '12abc', 'Expected a number, got another text.'],
    ['integer', '007', 'Expected a number, got another text.'],
    ['integer', '9223372036854775808', 'Expected an integer of up to 64 bits'],
    ['integer', 2n ** 63n, 'Expected an integer of up to 64 bits'],
    ['real', '9007199254740993', 'an integer with more digits than a floating point number holds'],
    ['real', '0.12345678901234567890', 'a number with more digits'],
    ['numeric', '0.12345678901234567890', 'a number with more digits'],
    ['real', Number.NaN, 'got NaN, which SQLite would store as null'],
    ['real', 'NaN', 'Expected a number, got another text.'],
    ['json', '1.10', 'a text that SQLite would store as another number'],
    ['text', '\ud800', 'half of a surrogate pair'],
    ['text', () => 5, 'Expected a value that SQLite can hold'],
    ['text check (v <> 5)', '5', 'SQLite refuses the record.'],
    ['integer not null', null, 'SQLite refuses the record.'],
  ])('a column %s refuses %o', async (declared, value, message) => {
    const database = opened(`create table t (v ${declared})`)
    const error = await rejectionOf(write(database, { v: value }))
    expect(errorMessages(error).join(' ')).toContain(message)
    expect(all(database, 'select * from t')).toEqual([])
  })

  test('a strict table refuses what is not of its type, and names the record', async () => {
    const database = opened('create table t (id integer, v int) strict')
    const error = await rejectionOf(write(database, { id: 1, v: 1 }, { id: 2, v: 1.5 }))
    expect(error).toMatchObject({ code: 'target', recordIndex: 1 })
    await write(database, { id: 1, v: 2 })
    expect(all(database, 'select * from t')).toMatchObject([{ id: 1, v: 2 }])
  })

  test('raw rows of other systems are decoded, and go where `columns` says', async () => {
    const database = opened(
      'create table t (id integer primary key, flag boolean, day text, data blob, doc text, left_out text default 7)',
    )
    const columns: Column[] = [
      { name: 'n', type: 'bigint' },
      { name: 'flag', type: 'boolean', decode: (raw) => raw === 't' },
      { name: 'day', type: 'timestamptz', decode: (raw) => raw.replace(' ', 'T') },
      { name: 'data', type: 'bytes', decode: (raw) => Buffer.from(raw.slice(2), 'hex') },
      { name: 'doc', type: 'json', decode: JSON.parse },
      { name: 'other', type: 'text' },
    ]
    const mapping = { n: 'id', flag: 'flag', day: 'day', data: 'data', doc: 'doc' }
    const rows = [['9007199254740993', 't', '2024-01-02 03:04:05Z', '\\x00ff', '{"a": 1.10}', 'x']]
    await writeAll({ database, table: 'T', columns: mapping }, RecordBatch.fromRows(columns, rows))
    expect(
      all(database, 'select cast(id as text) as id, flag, day, hex(data) as data, doc, left_out from t'),
    ).toMatchObject([
      { id: '9007199254740993', flag: 1, day: '2024-01-02T03:04:05Z', data: '00FF', doc: '{"a": 1.10}', left_out: '7' },
    ])
  })

  test('upsert leaves columns alone that the records lack, and refuses a record without a key', async () => {
    const database = opened(
      `create table t (id integer primary key, a text, b text); insert into t values (1, 'old', 'kept')`,
    )
    const options = { database, table: 't', mode: 'upsert', key: 'id' } as const
    await writeAll(
      options,
      RecordBatch.fromRecords([
        { id: 1, a: 'new' },
        { id: 2, b: 'other' },
        { id: 1, a: 'last' },
      ]),
    )
    expect(all(database, 'select * from t order by id')).toMatchObject([
      { id: 1, a: 'last', b: 'kept' },
      { id: 2, a: null, b: 'other' },
    ])
    const error = await rejectionOf(writeAll(options, RecordBatch.fromRecords([{ id: 3 }, { id: null }] as never)))
    expect(error).toMatchObject({ recordIndex: 1 })
    const other = { ...options, key: 'a' } as const
    expect(errorMessages(await rejectionOf(writeAll(other))).join(' ')).toContain('ON CONFLICT clause does not match')
  })

  test('warns once of records that a trigger or a constraint drops', async () => {
    const database = opened('create table t (id integer primary key on conflict ignore); insert into t values (1)')
    const warnings: string[] = []
    const writer = await writerOf({ database, table: 't' }, { warn: (message: string) => void warnings.push(message) })
    await writer.write(RecordBatch.fromRecords([{ id: 1 }, { id: 1 }]), { ...contextOf(), idempotencyKey: 'a' })
    await writer.abort?.({ reason: undefined, leaseLost: false })
    expect(warnings).toEqual([expect.stringContaining('drops records that are written to `t`')])
  })

  test('enforces foreign keys, and writes no generated column, view or virtual table', async () => {
    const database =
      opened(`create table p (id integer primary key); create table t (id integer references p, twice as (id * 2));
      create view v as select * from t`)
    await expect(write(database, { id: 1 })).rejects.toMatchObject({ recordIndex: 0 })
    expect(errorMessages(await rejectionOf(write(database, { twice: 1 }))).join(' ')).toContain(
      'to have a column `twice` that can be written',
    )
    expect(errorMessages(await rejectionOf(writeAll({ database, table: 'v' }))).join(' ')).toContain(
      'Expected `v` to be a table, found a view.',
    )
  })

  test('notices a table that is altered or emptied between two checkpoints', async () => {
    const database = opened('create table t (id integer)')
    const writer = await writerOf({ database, table: 't' }, { ifReset: 'fail' })
    const next = (id: number) =>
      writer.write(RecordBatch.fromRecords([{ id }]), { ...contextOf(), idempotencyKey: String(id) })
    await next(1)
    await writer.flush?.({})
    database.exec('delete from t')
    const emptied = await rejectionOf(Promise.resolve(next(2)))
    expect(errorMessages(emptied).join(' ')).toContain('`t` was emptied while the job wrote to it')
    database.exec('insert into t values (5); alter table t add column other')
    const altered = await rejectionOf(Promise.resolve(next(3)))
    expect(errorMessages(altered).join(' ')).toContain('`t` was altered, renamed or recreated')
    expect(isTransient(altered)).toBe(true)
    await writer.abort?.({ reason: undefined, leaseLost: false })
    database.exec('insert into t values (6, 7)')
    const { writer: later } = await sqliteTarget({ database, table: 't' }).open(
      contextOf({ isResumed: true, ifReset: 'fail' }),
    )
    expect(errorMessages(await rejectionOf(later.isReset?.() as Promise<unknown>)).join(' ')).toContain(
      'has records since',
    )
    await later.abort?.({ reason: undefined, leaseLost: false })
  })

  test('waits for another writer within a bound, and lets it write again after each checkpoint', async () => {
    const database = opened('create table t (id integer)')
    const options = { database, table: 't', lockTimeout: 50 }
    const writer = await writerOf(options)
    const batch = RecordBatch.fromRecords([{ id: 1 }])
    const context = { ...contextOf(), idempotencyKey: 'a' }
    database.exec('begin immediate')
    const late = await rejectionOf(Promise.resolve(writer.write(batch, context)))
    expect(isTransient(late)).toBe(true)
    expect(errorMessages(late).join(' ')).toContain('for 50 ms.')
    database.exec('commit')
    await writer.write(batch, context)
    await writer.flush?.(null)
    database.exec('insert into t values (2)')
    await writer.commit?.()
    expect(all(database, 'select id from t')).toMatchObject([{ id: 1 }, { id: 2 }])
  })

  test('does not block the event loop', async () => {
    const database = opened('create table t (id integer primary key, a text, b integer)')
    const rows = Array.from({ length: 50_000 }, (_, id) => ({ id, a: `text ${id}`, b: id * 2 }))
    const batch = RecordBatch.fromRecords(rows)
    expect(await perTurn(() => writeAll({ database, table: 't' }, batch))).toBeLessThan(20)
    expect(all(database, 'select count(*) as n from t')).toMatchObject([{ n: 50_000 }])
  })
})

describe('a file that is missing', () => {
  test('is created with `createTable` only, when there is something to write', async () => {
    const path = join(folder, 'created.db')
    await expect(writeAll({ path, table: 't' })).rejects.toThrow('There is no file `')
    await sqliteTarget({ path, table: 't', createTable: true }).check?.(new AbortController().signal)
    expect(existsSync(path)).toBe(false)
    const columns: Column[] = [
      ...([
        ['id', 'bigint', 'bigint'],
        ['price', 'decimal', 'numeric(12,2)'],
        ['ratio', 'float', 'float8'],
        ['large', 'decimal', 'numeric'],
      ] as const),
      ...([
        ['flag', 'boolean', 'boolean'],
        ['day', 'date', 'date'],
        ['data', 'bytes', 'bytea'],
        ['doc', 'json', 'jsonb'],
      ] as const),
    ].map(([name, type, sqlType]) => ({ name, type, sqlType, system: 'postgres' }))
    const rows = [['1', '1.10', '0.5', '1.2345678901234567890123', null, '2024-01-02', null, '5']]
    await writeAll({ path, table: 't', createTable: true, key: 'id' }, RecordBatch.fromRows(columns, rows))
    const database = openDatabase(path)
    const types = all(
      database,
      "select lower(group_concat(name || ' ' || type, ', ')) as list from pragma_table_info('t')",
    )
    expect(types).toMatchObject([
      {
        list: 'id integer, price numeric, ratio real, large text, flag boolean, day text, data blob, doc text',
      },
    ])
    expect(all(database, 'select large, doc from t')).toMatchObject([{ large: '1.2345678901234567890123', doc: '5' }])
    database.close()
  })

  test.each<Partial<SqliteTargetOptions>>([{ key: 'id' }, { mode: 'upsert', key: 'id' }])(
    'is created by a run that reads nothing, with %j',
    async (options) => {
      const source = newFile(
        folder,
        drivers[0]?.[1] as Driver,
        'create table none (id integer primary key, name varchar(9))',
      )
      const path = join(folder, `${options.mode}-empty.db`)
      const target = sqliteTarget({ path, table: 't', createTable: true, ...options } as SqliteTargetOptions)
      const run = async (more: Partial<IngestionJob> = {}) => {
        await using registry = new JobRegistry({ storage: memoryStorage() })
        const datasource = sqliteDatasource({ path: source.path })
        registry.define({ id: 'empty', datasource, query: 'select * from none', target, ...more })
        return await (await registry.start('ingestion', 'empty')).finished
      }
      for (const more of [{}, { cursor: 'id' }]) {
        expect(await run(more)).toMatchObject({ state: 'successful', count: 0 })
        const database = openDatabase(path)
        expect(all(database, "select lower(group_concat(name || ' ' || type)) as list from pragma_table_info('t')")).toMatchObject([{ list: 'id integer,name varchar(9)' }]) // biome-ignore format: one line
        expect(all(database, 'select * from t')).toEqual([])
        database.close()
      }
      source.database.exec("insert into none values (1, 'a')")
      expect(await run()).toMatchObject({ state: 'successful', count: 1 })
      source.database.close()
    },
  )
})

describePostgres('a copy that is killed', (postgres) => {
  test.each([
    ['to-sqlite', 'insert'],
    ['to-sqlite', 'upsert'],
    ['from-sqlite', 'insert'],
  ])('%s by %s has every row once', async (direction, mode) => {
    const path = join(folder, `${direction}-${mode}.db`)
    const client = new pg.Client({ connectionString: postgres.url })
    await client.connect()
    const database = openDatabase(path)
    await client.query('drop table if exists source, copy, headgate_checkpoint')
    if (direction === 'to-sqlite')
      await client.query(`create table source as select n as id, 'text ' || n as text from generate_series(1, 6000) n`)
    else
      database.exec(`create table source (id integer primary key, text text);
        insert into source with recursive up (n) as (select 1 union all select n + 1 from up where n < 6000) select n, 'text ' || n from up`)
    const program = await programOf(new URL('copier.ts', import.meta.url))
    /** `limit` is the most blocks of 512 bytes that a file may have: it stands for the disk. */
    const run = async ({ life, limit }: { life?: number; limit?: number } = {}) => {
      const limiting = limit === undefined ? '' : `ulimit -f ${limit}; `
      const args = ['-c', `${limiting}exec "$@"`, 'sh', process.execPath, program, direction, postgres.url, path, mode]
      const child = spawn('sh', args, { stdio: ['ignore', 'pipe', 'inherit'] })
      let said = ''
      const begun = new Promise<void>((resolve) => {
        child.stdout.on('data', (data) => {
          said += data
          resolve()
        })
      })
      const closed = once(child, 'close')
      if (life !== undefined) {
        await Promise.race([begun, closed])
        await setTimeout(life)
        child.kill('SIGKILL')
      }
      await closed
      return said
    }
    for (let round = 0; round < 2; round++) await run({ life: Math.random() * 60 })
    if (direction === 'to-sqlite') expect(await run({ limit: 64 })).toMatch(/error .*Could not (write to|open) `copy`/)
    expect(await run()).toContain('successful')
    const sums = 'select count(*) as n, count(distinct id) as ids, min(text) as first, max(id) as last from copy'
    const [copied] = direction === 'to-sqlite' ? all(database, sums) : (await client.query(sums)).rows
    expect(Object.values(copied ?? {}).map(String)).toEqual(['6000', '6000', 'text 1', '6000'])
    database.close()
    await client.end()
  })
})
