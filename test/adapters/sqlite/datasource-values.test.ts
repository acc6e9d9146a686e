import { renameSync } from 'node:fs'
import { join } from 'node:path'
import { errorMessages } from 'headgate'
import type { CursorReadOptions, ReadBatch } from 'headgate/adapter'
import { sqliteDatasource } from 'headgate/sqlite'
import { describe, expect, test } from 'vitest'
import { perTurn } from '../../support/event-loop.js'
import { allBatches, allRecords, batchesOf, rejectionOf } from '../postgres/datasource-read.js'
import { drivers, newFile, ownFolder } from './file-support.js'

const folder = await ownFolder()

const wholeCursor: CursorReadOptions['cursor'] = {
  columns: ['v'],
  nulls: 'fail',
  ties: 'refuse',
  lookback: 0,
  consistency: 'statement',
  position: undefined,
  limit: Number.POSITIVE_INFINITY,
  parallel: 1,
  onNullsSkipped: () => undefined,
}

describe.each(drivers)('a read from SQLite over %s', (name, Database) => {
  const opened = (statements: string) => {
    const { path, database } = newFile(folder, Database, statements)
    return { path, database, datasource: sqliteDatasource({ database }) }
  }
  const values = (text: string, ...bound: unknown[]) => allRecords(opened('').datasource, { text, values: bound })

  const readBy = async (
    { datasource }: Pick<ReturnType<typeof opened>, 'datasource'>,
    text: string,
    cursor: Partial<CursorReadOptions['cursor']> = {},
    options: Partial<CursorReadOptions> = {},
  ): Promise<ReadBatch[]> => {
    const { signal } = new AbortController()
    const all = { signal, batchSize: 1, ...options, cursor: { ...wholeCursor, ...cursor } }
    const batches: ReadBatch[] = []
    for await (const batch of datasource.readByCursor?.({ text, values: [] }, all) ?? []) batches.push(batch)
    return batches
  }
  const idsOf = (batches: readonly ReadBatch[]) => batches.flatMap(({ batch }) => batch.records().map(({ id }) => id))

  test.each(['$1', ':region', '@region', '?', '?2', '$region'])(
    'refuses a parameter without a value: %s',
    async (parameter) => {
      const source = opened('create table t (v integer, region text)')
      for (const text of [
        `select v from t where v > ${parameter}`,
        `select v from t where ${parameter} is null or region = ${parameter}`,
        `select v from t limit ${parameter}`,
      ]) {
        const refused = {
          code: 'invalid_options',
          message: expect.stringMatching(/Write `\{\{params\.name\}\}`|write `\{\{params\.name\}\}`/),
        }
        await expect(allRecords(source.datasource, { text, values: [] })).rejects.toMatchObject(refused)
        await expect(readBy(source, text)).rejects.toMatchObject(refused)
      }
      const text = `select v from t where v > ? and region = ${parameter}`
      await expect(allRecords(source.datasource, { text, values: [1] })).rejects.toThrow()
    },
  )

  test('takes characters of parameters in texts, names and comments', async () => {
    const text = `select '?:a@b$c' as "a?", 1 as [b:c], ? as \`d$e\`, '{"x":1}' ->> '$.x' as f -- :a ? $1`
    expect(await values(text, 'x')).toEqual([{ 'a?': '?:a@b$c', 'b:c': 1, d$e: 'x', f: 1 }])
  })

  test('keeps every value', async () => {
    const [record] = await values(`select 5 as five, 9007199254740991 as most, 9007199254740993 as big,
      -9223372036854775808 as least, 1.5 as half, 9e999 as infinite, 'é 日本 👩' as text, x'00ff' as bytes, '' as empty, null as none`)
    expect(record).toEqual({
      five: 5,
      most: 9007199254740991,
      big: '9007199254740993',
      least: '-9223372036854775808',
      half: 1.5,
      infinite: Number.POSITIVE_INFINITY,
      text: 'é 日本 👩',
      bytes: expect.anything(),
      empty: '',
      none: null,
    })
    expect(Buffer.from(record?.bytes as Uint8Array)).toEqual(Buffer.from('00ff', 'hex'))
  })

  test('decodes booleans and large integers, and passes on what else a column has', async () => {
    const { datasource } = opened(`create table t (id integer primary key, b boolean, i bigint, j json);
      insert into t values (1, 1, 5, '{"a":1}'), (2, 0, 9007199254740993, 7), (3, 'maybe', 'text', null)`)
    const [batch] = await allBatches(datasource, 'select * from t order by id')
    expect(batch?.records()).toEqual([
      { id: 1, b: true, i: 5, j: '{"a":1}' },
      { id: 2, b: false, i: '9007199254740993', j: 7 },
      { id: 3, b: 'maybe', i: 'text', j: null },
    ])
    expect(batch?.columns.map(({ type, sqlType }) => [type, sqlType])).toEqual(
      [
        ['bigint', 'INTEGER'],
        ['boolean', 'boolean'],
        ['bigint', 'bigint'],
        ['text', 'json'],
      ].map(([type, sqlType]) => [type, expect.stringMatching(new RegExp(sqlType as string, 'i'))]),
    )
    expect(batch?.rows[1]).toEqual([2, 0, 9007199254740993n, 7])
  })

  test.each([
    ["'; drop table t; -- ", "'; drop table t; -- "],
    [5, 5],
    [1.5, 1.5],
    [9223372036854775807n, '9223372036854775807'],
    [true, 1],
    [null, null],
    [new Date('2024-01-01T10:00:00.5Z'), '2024-01-01T10:00:00.500Z'],
    [{ a: ["it's"] }, '{"a":["it\'s"]}'],
  ])('binds the value %o', async (value, shown) => {
    expect(await values("select ? as value, '?' as other", value)).toEqual([{ value: shown, other: '?' }])
  })

  test('binds bytes, and integers as integers', async () => {
    expect(await values('select hex(?) as hex', Buffer.from('00ff', 'hex'))).toEqual([{ hex: '00FF' }])
    expect(await values('select typeof(?) as a, typeof(?) as b', 5, 5.5)).toEqual([{ a: 'integer', b: 'real' }])
  })

  test.each([[2n ** 63n], [() => 'sesame'], [Number.NaN]])('refuses the value %o', async (value) => {
    await expect(values('select ? as value', value)).rejects.toThrow('Expected value 1 of the query to be a text')
  })

  test('never cuts or repairs a text', async () => {
    const { datasource } = opened(`create table t (v); insert into t values ('plain'), ('a' || char(0) || 'b')`)
    const nul = await allRecords(datasource, 'select v from t').catch((error) => errorMessages(error)[0])
    if (typeof nul === 'string') expect(nul).toMatch(/^A text of `v` has a NUL character, at which .* would cut it: /)
    else expect(nul).toEqual([{ v: 'plain' }, { v: 'a\0b' }])
    const other = opened(`create table t (v); insert into t values ('\ufffd é'), (cast(x'ff61' as text))`)
    const invalid =
      'A text of `v` is not valid UTF-8, so that it cannot be read as text: select `cast("v" as blob) as "v"`'
    await expect(allRecords(other.datasource, 'select v from t')).rejects.toThrow(invalid)
    expect(await allRecords(other.datasource, 'select v from t limit 1')).toEqual([{ v: '\ufffd é' }])
  })

  test.each([
    'insert into t values (1) returning a',
    'delete from t',
    'drop table t',
    'select 1 as one; select 2 as two',
    'pragma journal_mode = delete',
    'create table other (a)',
    'vacuum',
  ])('does not run: %s', async (text) => {
    const { datasource, database } = opened('create table t (a); insert into t values (0)')
    const error = await rejectionOf(allBatches(datasource, text))
    expect(errorMessages(error)[0]).toMatch(
      /^(Expected `query` to be one statement that gives rows and only reads|The query failed)/,
    )
    expect(
      database.prepare('select count(*) as n, (select count(*) from sqlite_schema) as tables from t').get(),
    ).toMatchObject({ n: 1, tables: 1 })
  })

  test('fails with a chain of errors', async () => {
    const { datasource } = opened('')
    const error = await rejectionOf(allBatches(datasource, 'select * from nowhere'))
    expect(errorMessages(error)).toEqual([
      expect.stringMatching(/^The query failed( \(SQLITE_ERROR\)| \(SQLite error 1\))?\.$/),
      expect.stringContaining('no such table: nowhere'),
    ])
    await expect(allBatches(datasource, 'select 1 as a, 2 as a')).rejects.toThrow('got `a` twice')
  })

  test('names a file that is missing or none, and creates none', async () => {
    const path = join(folder, `nowhere-${name}.db`)
    for (let round = 0; round < 2; round++)
      await expect(allBatches(sqliteDatasource({ path }), 'select 1')).rejects.toThrow(`There is no file \`${path}\`.`)
    const error = await rejectionOf(allBatches(sqliteDatasource({ path: folder }), 'select 1'))
    expect(errorMessages(error)[0]).toContain(`the file \`${folder}\``)
  })

  test('reads on from what was there when the file is replaced, and fails', async () => {
    const numbers =
      'create table t (n); insert into t with recursive up (n) as (select 1 union all select n + 1 from up where n < 100) select n from up'
    const { datasource, path } = opened(numbers)
    const { path: other, database } = opened('')
    database.close()
    const batches = batchesOf(datasource, 'select n as id from t')
    await batches.next()
    renameSync(other, path)
    await expect(batches.next()).rejects.toMatchObject({
      isTransient: true,
      message: expect.stringContaining('deleted or replaced'),
    })
  })

  test('sees one moment, whatever others write', async () => {
    const { datasource, database } = opened(`create table t (n integer primary key);
      insert into t with recursive up (n) as (select 1 union all select n + 1 from up where n < 100) select n from up`)
    const batches = batchesOf(datasource, 'select n as id from t')
    let count = (await batches.next()).value.length
    database.exec('delete from t where n > 50; insert into t values (1000); alter table t add column other')
    for (let next = await batches.next(); !next.done; next = await batches.next()) count += next.value.length
    expect(count).toBe(100)
  })

  test('waits for a lock, within a bound', async () => {
    const { database, path } = opened('pragma journal_mode = delete; create table t (a); insert into t values (1)')
    const reading = () => allRecords(sqliteDatasource({ database, lockTimeout: 100 }), 'select a from t')
    const writer = new Database(path)
    writer.exec('begin exclusive')
    await expect(reading()).rejects.toMatchObject({
      isTransient: true,
      message: `Another connection has held the lock of \`${path}\` for 100 ms.`,
    })
    const late = allRecords(sqliteDatasource({ database }), 'select a from t')
    await new Promise((resolve) => setTimeout(resolve, 20))
    writer.exec('commit')
    expect(await late).toEqual([{ a: 1 }])
    writer.close()
  })

  test('does not block the event loop', async () => {
    const { datasource } = opened(`create table t (id integer primary key, a, b);
      insert into t with recursive up (n) as (select 1 union all select n + 1 from up where n < 100000) select n, 'text ' || n, n * 2 from up`)
    const query = { text: 'select * from t', values: [] }
    const { signal } = new AbortController()
    const millisecondsPerTurn = await perTurn(async () => {
      for await (const batch of datasource.read(query, { signal, batchSize: 50_000, lastId: undefined })) batch.rows
      expect(await datasource.count?.(query, { signal, lastId: undefined, isEstimate: false })).toBe(100_000)
    })
    expect(millisecondsPerTurn).toBeLessThan(20)
  })

  const mixed = `create table t (id integer primary key, v);
    insert into t (v) values (x'02'), ('b'), (9007199254740993), (1.5), ('B'), (-3), (9e999), ('5'), (x''), (9007199254740992), ('')`

  test('keeps the order of SQLite across types, and resumes after any value', async () => {
    const source = opened(mixed)
    const all = await readBy(source, 'select * from t')
    expect(idsOf(all)).toEqual([6, 4, 10, 3, 7, 11, 8, 5, 2, 9, 1])
    for (const [index, { position }] of all.entries()) {
      const kept = JSON.parse(JSON.stringify(position))
      for (const consistency of ['statement', 'pages'] as const) {
        const rest = await readBy(source, 'select * from t', { position: kept, consistency })
        expect(idsOf(rest)).toEqual(idsOf(all.slice(index + 1)))
      }
    }
  })

  test.each([
    ['nocase', ['a', 'A'], ['a', 'b']],
    ['rtrim', ['a', 'a  '], ['a', 'b']],
  ])('finds ties that the collation %s makes', async (collation, tied, others) => {
    const table = (list: string[]) =>
      opened(
        `create table t (id integer primary key, v text collate ${collation}); insert into t (v) values ${list.map((v) => `('${v}')`)}`,
      )
    await expect(readBy(table(tied), 'select * from t', {}, { batchSize: 10 })).rejects.toThrow(
      'Several records have the same `v`',
    )
    const [first, ...rest] = await readBy(table([...tied, 'b']), 'select * from t', { ties: 'drain' }, { batchSize: 2 })
    expect([idsOf([first as ReadBatch]), idsOf(rest)]).toEqual([[1, 2], [3]])
    const [first2] = await readBy(table(others), 'select * from t')
    const position = JSON.parse(JSON.stringify(first2?.position))
    await expect(readBy(table(tied), 'select * from t', { position })).rejects.toThrow(
      'Several records have the same `v`',
    )
  })

  test('refuses a value that SQLite would turn into another one to compare it', async () => {
    const source = opened('create table t (n integer, s text); insert into t values (1, 7)')
    await expect(readBy(source, "select n as v, 1 as id from t union all select '5', 2")).rejects.toThrow(
      'which SQLite would compare as a number',
    )
    await expect(readBy(source, 'select s as v, 1 as id from t union all select 5, 2')).rejects.toThrow(
      'which SQLite would compare as a text',
    )
  })

  test('uses an index on the columns of the cursor, or warns', async () => {
    const source = opened(`create table t (id integer primary key, v integer not null);
      insert into t with recursive up (n) as (select 1 union all select n + 1 from up where n < 11000) select n, n / 10 from up`)
    const warnings: string[] = []
    const warn = (message: string) => void warnings.push(message)
    const by = { columns: ['v', 'id'], consistency: 'pages', limit: 30 } as const
    await readBy(source, 'select * from t', by, { batchSize: 10, warn })
    expect(warnings).toEqual([expect.stringContaining('No index serves the order by `v`, `id`')])
    source.database.exec('create index t_v on t (v, id)')
    const [first] = await readBy(source, 'select * from t', by, { batchSize: 10, warn })
    await readBy(
      source,
      'select * from t',
      { ...by, position: JSON.parse(JSON.stringify(first?.position)) },
      { batchSize: 10, warn },
    )
    expect(warnings.length).toBe(1)
    const plan = source.database.prepare(
      'explain query plan select q.* from (select * from t) q where q.v is not null and q.id is not null and (q.v, q.id) > (5, 6) order by q.v, q.id',
    )
    expect(JSON.stringify(plan.all())).toMatch(/SEARCH t USING (COVERING )?INDEX t_v \(.*v/)
  })

  test('repeats what lies before texts of times, by lookback', async () => {
    const source = opened(`create table t (id integer primary key, v text);
      insert into t (v) values ('2024-01-01 00:00:00'), ('2024-01-01 00:00:30'), ('2024-01-01 00:01:00'), ('2024-01-01 00:02:00')`)
    const all = await readBy(source, 'select * from t')
    const position = JSON.parse(JSON.stringify(all[2]?.position))
    const again = await readBy(source, 'select * from t', { position, lookback: 45_000 })
    expect(again.map(({ batch, isReplay }) => [batch.records()[0]?.id, isReplay ?? false])).toEqual([
      [2, true],
      [3, true],
      [4, false],
    ])
    const words = opened("create table t (id integer primary key, v text); insert into t (v) values ('a'), ('b')")
    const [word] = await readBy(words, 'select * from t')
    await expect(
      readBy(words, 'select * from t', { position: JSON.parse(JSON.stringify(word?.position)), lookback: 5 }),
    ).rejects.toThrow('Expected the first column of a cursor with `lookback`')
  })

  test('reads tables without rowid, by pages, while others change the schema', async () => {
    const source = opened(
      `create table t (v text primary key, id integer) without rowid; insert into t values ('a', 1), ('b', 2), ('c', 3)`,
    )
    const pages = (await readBy(source, 'select * from t', { consistency: 'pages' })).length
    expect(pages).toBe(3)
    const { signal } = new AbortController()
    const cursor = { ...wholeCursor, consistency: 'pages' } as const
    const reading = source.datasource.readByCursor?.(
      { text: 'select * from t', values: [] },
      { signal, batchSize: 1, cursor },
    )
    const batches = reading?.[Symbol.asyncIterator]() as AsyncIterator<ReadBatch>
    await batches.next()
    source.database.exec('alter table t add column other')
    await expect(batches.next()).rejects.toThrow('The columns of the query have changed while it was read')
  })

  test.each([
    [{ after: 5 }],
    [{ after: { columns: ['v'], values: [{ blob: 'zz' }], ties: 'refuse' } }],
    [{ after: { columns: ['v'], values: [], ties: 'refuse' } }],
    [{}],
    [5],
  ])('refuses the damaged position %j', async (position) => {
    const source = opened('create table t (id integer primary key, v)')
    await expect(readBy(source, 'select * from t', { position })).rejects.toMatchObject({ code: 'checkpoint' })
  })
})

describe('options of sqliteDatasource', () => {
  test.each([
    [undefined, 'Expected `options` to be an object, got nothing'],
    [{}, 'Expected `options` to be an object with either `path` or `database`'],
    [{ path: ':memory:' }, 'Expected `path` to be a file'],
    [{ path: 'a', lockTimeout: 0 }, 'Expected `lockTimeout` to be a whole number of milliseconds from 1 to '],
    [{ database: {} }, 'Expected `database` to be an object with the methods `exec`, `prepare`, `close`'],
  ])('%j', (options, message) => {
    expect(() => sqliteDatasource(options as never)).toThrow(message)
  })

  test.each(drivers)('a database in memory of %s is refused', (_, Database) => {
    expect(() => sqliteDatasource({ database: new Database(':memory:') })).toThrow(
      'Expected `database` to be a database with a file',
    )
  })

  test('without a query there is nothing to read', async () => {
    await expect(allBatches(sqliteDatasource({ path: 'a' }), ' \n')).rejects.toThrow(
      'Expected `query` to be a statement',
    )
  })
})
