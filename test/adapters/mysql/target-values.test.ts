import fc from 'fast-check'
import { type JobError, JobRegistry, memoryStorage } from 'headgate'
import { type Column, RecordBatch } from 'headgate/adapter'
import { mysqlTarget } from 'headgate/mysql'
import { postgresDatasource } from 'headgate/postgres'
import pg from 'pg'
import { beforeEach, describe, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { describeMysql } from '../../support/mysql.js'
import { messagesOf, mysqlTests } from './target-support.js'

describeMysql('values in MySQL', (database) => {
  const tests = mysqlTests(database)
  const { target, run, rows, complete, opened } = tests

  describe.each(['load data', 'insert'] as const)('by %s', (how) => {
    const own = (more = {}) => target({ pool: how === 'insert' ? tests.withoutFiles : tests.pool, ...more })

    beforeEach(() =>
      run(`drop table if exists t; create table t (id int primary key, whole bigint unsigned, price decimal(12,2), ratio double, flag boolean,
        name varchar(200) character set utf8mb4, body longtext, raw varbinary(40), mask bit(8), day date, at datetime(6), spent time(3), made year,
        kind enum('a','7','ü'), marks set('a','b'), touched timestamp(3) null, place point, data json)`),
    )

    test('come from objects without loss', async () => {
      const record = {
        id: 1,
        whole: 18446744073709551615n,
        price: '1234567890.10',
        ratio: 0.1,
        flag: true,
        name: `tab\t feed\n return\r nul\0 back\\ quote' "double" \\N 🦫`,
        body: { n: [1, '2'], text: "it's" },
        raw: Uint8Array.from([0, 9, 10, 13, 39, 92, 255]),
        mask: 129,
        day: '2024-02-29',
        at: new Date('2024-01-01T10:00:00.123Z'),
        spent: '-838:59:58.999',
        made: 0,
        kind: '7',
        marks: 'a,b',
        touched: '2024-01-01T12:00:00.5+02:00',
        place: Buffer.from('0101000000000000000000f03f0000000000000040', 'hex'),
        data: { text: 'a\nb', list: [null] },
      }
      await complete(own(), RecordBatch.fromRecords([record, { id: 2, name: '' }, { id: 3, whole: null, kind: 'ü' }]))
      const shown = `select id, whole, price, ratio, flag, hex(name), body, hex(raw), mask + 0, day, at, spent, made + 0, kind, marks, touched,
        st_astext(place), data from t order by id`
      const [first, second, third] = await rows(shown)
      expect(first).toEqual([
        ...['1', '18446744073709551615', '1234567890.10', '0.1', '1'],
        Buffer.from(record.name).toString('hex').toUpperCase(),
        `{"n":[1,"2"],"text":"it's"}`,
        '00090A0D275CFF',
        ...['129', '2024-02-29', '2024-01-01 10:00:00.123000', '-838:59:58.999', '0', '7', 'a,b'],
        ...['2024-01-01 10:00:00.500', 'POINT(1 2)'],
        '{"text":"a\\nb","list":[null]}',
      ])
      expect(second?.slice(0, 8)).toEqual(['2', null, null, null, null, '', null, null])
      expect(third?.[13]).toBe('ü')
    })

    test.each([
      [{ name: 'x'.repeat(201) }, 'Data too long'],
      [{ name: `${'x'.repeat(200)}  ` }, 'The server would store another value than it was given'],
      [{ name: 'half \ud800' }, 'half of a surrogate pair'],
      [{ whole: 1.5 }, 'a whole number for `bigint'],
      [{ whole: -1 }, 'Out of range'],
      [{ whole: 'many' }, 'a whole number'],
      [{ price: '1.239' }, 'The server would store another value'],
      [{ price: 'NaN' }, 'a number for `decimal'],
      [{ ratio: Number.NaN }, 'a finite number'],
      [{ mask: 256 }, 'Data too long'],
      [{ mask: 'x' }, 'a whole number from 0 up'],
      [{ day: '2024-02-30' }, 'Incorrect date value'],
      [{ day: '2024-02-01T10:00:00' }, 'whose time of day it would lose'],
      [{ at: 'infinity' }, 'a time as 2024-01-31 12:30:00'],
      [{ at: new Date(Number.NaN) }, 'a date, got one that is invalid'],
      [{ spent: '10:00:00.1234' }, 'up to 3 digits of a second'],
      [{ touched: '2024-01-01 10:00:00.0004' }, 'up to 3 digits of a second'],
      [{ touched: '1066-01-01 00:00:00' }, 'Incorrect datetime value'],
      [{ kind: '2' }, 'a label of `enum'],
      [{ kind: 'z' }, 'Data truncated'],
      [{ raw: new Uint8Array(41) }, 'Data too long'],
      [{ place: 'POINT(1 2)' }, 'Expected WKB'],
      [{ place: Buffer.alloc(21) }, 'Cannot get geometry object'],
      [{ body: new Map() }, 'a value that JSON can hold'],
      [{ ratio: { a: 1 } }, 'give its text'],
      [{ nothing: 1 }, 'to have a column `nothing`'],
      [{ id: 1 }, 'Duplicate entry'],
      [{ id: null }, 'cannot be null'],
      [{ data: '{' }, 'CONSTRAINT `t.data` failed'],
    ])('that cannot be stored as they are fail the record: %#', async (values, message) => {
      const writer = await opened(own(), { toleratesFailures: true })
      const records = [1, 2, 3, 4, 5].map((id) => ({ id, ...(id === 4 && values) }))
      const error = await Promise.resolve(writer.write(RecordBatch.fromRecords(records), {} as never)).catch((it) => it)
      expect(messagesOf(error)).toContain(message)
      if (!message.includes('column `nothing`')) expect(error).toMatchObject({ recordIndex: 3 })
      await writer.write(RecordBatch.fromRecords([{ id: 9 }]), {} as never)
      await writer.flush?.(null)
      expect(await rows('select id from t')).toEqual([['9']])
    })

    test('in another form than the usual one of the type fail the record', async () => {
      const loose: Record<string, readonly unknown[]> = {
        "enum('x','y')": ['+1', '-1', '\t1', '1\n', '1.'],
        "set('a','b','c')": ['+3', ' 3', '+0'],
        year: ['2024.6', 2024.6, 24, '70', '0024', true, '2024-01-01'],
        time: [12.5, '12', '1234', '1 02:03:04.9', '123045.9', true, new Date(0)],
        date: ['20240102', '2024-1-2', '2024/01/02', '2024-01-02 03', 20240102],
        datetime: [
          '20240102030405.9',
          20240102030405,
          '2024-01-02 03-04-05.9',
          '2024-01-02 03:04.5',
          '2024.01.02 03.04.05',
        ],
        'datetime(3)': ['20240102030405.1234', '2024-02-30T10:00:00+02:00', '9999-12-31T23:59:59-02:00'],
        timestamp: ['20240102030405.9', '2024-01-02 03:04:05,9'],
        'double(8,2)': ['1.005', '1005e-3', 0.001],
        'float(7,4)': ['1.00005'],
        double: ['9007199254740993', 9007199254740993n, '-9007199254740993.0', '1e-400', '0x10', ''],
        float: ['1e-46'],
        'decimal(5,2)': [' 1', '1.5x', ''],
      }
      const types = Object.keys(loose)
      const columns = types.map((type, index) => `c${index} ${type} null`)
      await run(`drop table t; create table t (id int primary key, ${columns.join(', ')})`)
      const writer = await opened(own(), { toleratesFailures: true })
      for (const [index, type] of types.entries()) {
        for (const value of loose[type] ?? []) {
          const batch = RecordBatch.fromRecords([{ id: 1 }, { id: 2, [`c${index}`]: value }])
          const error = await Promise.resolve(writer.write(batch, {} as never)).catch((it) => it)
          expect([type, value, messagesOf(error)]).toEqual([type, value, expect.stringContaining(`\`c${index}\``)])
          expect(messagesOf(error)).toContain(`\`${type}`)
          expect(error).toMatchObject({ recordIndex: 1 })
        }
      }
      await writer.flush?.(null)
      expect(await rows()).toEqual([])
    })

    test('in the usual form of the type arrive as they are', async () => {
      const usual: Record<string, readonly (readonly [unknown, string])[]> = {
        "enum('1','y')": [
          ['1', '1'],
          ['y', 'y'],
        ],
        year: [
          [0, '0000'],
          ['0000', '0000'],
          [2024, '2024'],
          ['1901', '1901'],
        ],
        time: [
          ['12:34', '12:34:00'],
          ['-838:59:59', '-838:59:59'],
          ['12:34:56.000', '12:34:56'],
        ],
        datetime: [
          ['2024-01-02', '2024-01-02 00:00:00'],
          ['2024-01-02T03:04', '2024-01-02 03:04:00'],
          ['2024-01-02 03:04:05+0530', '2024-01-01 21:34:05'],
        ],
        'double(8,2)': [
          ['1.230', '1.23'],
          ['123e-2', '1.23'],
          [1e3, '1000.00'],
        ],
        double: [
          ['9007199254740994', '9.007199254740994e15'],
          [2 ** 66, '7.378697629483821e19'],
          [5e-324, '5e-324'],
          ['0e-400', '0'],
        ],
        float: [
          [0.5, '0.5'],
          ['16777216', '16777200'],
        ],
      }
      const cases = Object.entries(usual).flatMap(([type, values], index) =>
        values.map((value) => ({ type, index, value })),
      )
      await run(
        `drop table t; create table t (id int primary key, ${Object.keys(usual)
          .map((type, index) => `c${index} ${type} null`)
          .join(', ')})`,
      )
      await complete(
        own(),
        RecordBatch.fromRecords(cases.map(({ index, value: [value] }, id) => ({ id, [`c${index}`]: value }))),
      )
      for (const [
        id,
        {
          type,
          index,
          value: [value, stored],
        },
      ] of cases.entries()) {
        expect([type, value, ...(await rows(`select cast(c${index} as char) from t where id = ${id}`))]).toEqual([
          type,
          value,
          [stored],
        ])
      }
    })

    test('a null in a column that would take the current time fails the record', async () => {
      await run('drop table t; create table t (id int primary key, at timestamp not null default current_timestamp)')
      const writer = await opened(own(), { toleratesFailures: true })
      const batch = RecordBatch.fromRecords([{ id: 1 }, { id: 2, at: null }])
      await expect(writer.write(batch, {} as never)).rejects.toMatchObject({ recordIndex: 1 })
    })
  })

  test('any text and bytes arrive alike by both ways', async () => {
    await run(`drop table if exists t, u; create table t (id int primary key, name longtext, raw longblob);
      create table u like t`)
    const columns: Column[] = [
      { name: 'id', type: 'integer' },
      { name: 'name', type: 'text' },
      { name: 'raw', type: 'bytes' },
    ]
    const unit = fc.oneof(
      fc.constantFrom('\\', '\t', '\n', '\0', "'", '"', 'N', '\\N', '\r', '%', '\x1a'),
      fc.string({ unit: 'binary' }),
    )
    const text = fc.array(unit, { maxLength: 8 }).map((units) => units.join(''))
    const value = fc.tuple(fc.option(text), fc.option(fc.uint8Array({ maxLength: 8 })))
    await fc.assert(
      fc.asyncProperty(fc.array(value, { minLength: 1, maxLength: 20 }), async (values) => {
        await run('truncate t; truncate u')
        const hexOf = (bytes: Uint8Array | null) => bytes && `\\x${Buffer.from(bytes).toString('hex')}`
        const batch = RecordBatch.fromRows(
          columns,
          values.map(([name, raw], id) => [String(id), name, hexOf(raw)]),
        )
        await complete(target(), batch)
        await complete(target({ table: 'u', pool: tests.withoutFiles }), batch)
        const given = values.map(([name, raw], id) => [
          String(id),
          name === null ? null : Buffer.from(name).toString('hex').toUpperCase(),
          raw === null ? null : Buffer.from(raw).toString('hex').toUpperCase(),
        ])
        for (const table of ['t', 'u']) {
          expect(await rows(`select id, hex(name), hex(raw) from ${table} order by id`)).toEqual(given)
        }
      }),
      { numRuns: 12 },
    )
  })

  describePostgres('rows of Postgres', (source) => {
    test('arrive as they are, in columns that differ from theirs too', async () => {
      const client = new pg.Client({ connectionString: source.url })
      await client.connect()
      await client.query(`create table mixed (id bigint primary key, small smallint, price numeric(12,2), ratio double precision, flag boolean,
        name text, raw bytea, day date, at timestamp, touched timestamptz, spent time, data jsonb, tags text[], tag uuid, span interval)`)
      await client.query(`insert into mixed values (9007199254740993, -32768, 1.10, 0.1, true, E'tab\\t feed\\n back\\\\ quote'' 🦫',
        '\\x00090a275cff', '2024-02-29', '2024-01-01 00:00:00.000001', '2024-01-01 02:00:00.5+02', '23:59:59.999999', '{"n": [1, "a\\\\b"]}',
        array['a,b', null], '00000000-0000-4000-8000-000000000001', '1 day 2 hours'),
        (2, null, null, null, null, null, null, null, null, null, null, null, null, null, null)`)
      await client.end()
      await run(`drop table if exists mixed; create table mixed (id bigint primary key, small int, price decimal(20,4), ratio double, flag boolean,
        name text, raw blob, day date, at datetime(6), touched timestamp(6) null, spent time(6), data json, tags json, tag char(36), span varchar(30))`)
      await using registry = new JobRegistry({
        storage: memoryStorage(),
        datasources: { shop: postgresDatasource({ connectionString: source.url }) },
      })
      const writes = mysqlTarget({ connectionString: database.url, table: 'mixed' })
      registry.define({ id: 'mixed', datasource: 'shop', query: 'select * from mixed order by id', target: writes })
      expect(await (await registry.start('ingestion', 'mixed')).finished).toMatchObject({
        state: 'successful',
        count: 2,
      })
      const found =
        await rows(`select id, small, price, ratio, flag, hex(name), hex(raw), day, at, convert_tz(touched, @@time_zone, '+00:00'), spent, data, tags,
        tag, span from mixed order by id desc`)
      expect(found).toEqual([
        [
          ...['9007199254740993', '-32768', '1.1000', '0.1', '1'],
          Buffer.from("tab\t feed\n back\\ quote' 🦫").toString('hex').toUpperCase(),
          ...['00090A275CFF', '2024-02-29', '2024-01-01 00:00:00.000001', expect.stringMatching(/00:00\.500000$/)],
          ...['23:59:59.999999', '{"n": [1, "a\\\\b"]}', '["a,b",null]', '00000000-0000-4000-8000-000000000001'],
          'P1DT2H',
        ],
        ['2', ...Array(14).fill(null)],
      ])
    })

    test.each([
      [`'infinity'::timestamptz`, 'datetime(6)', 'a time as 2024-01-31 12:30:00'],
      [`'0044-03-15 BC'::date`, 'date', 'a date as 2024-01-31'],
      [`'20000-01-01'::timestamp`, 'datetime(6)', 'a time as 2024-01-31 12:30:00'],
      [`'2024-01-01 00:00:00.25'::timestamp`, 'datetime(1)', 'up to 1 digits of a second'],
      [`'10:00:00+02'::timetz`, 'time(6)', 'a time as 12:30:00'],
      [`'NaN'::numeric`, 'decimal(10,2)', 'Incorrect decimal value'],
      [`'Infinity'::float8`, 'double', 'Incorrect double value'],
      ['9007199254740993::bigint', 'double', 'which would become 9007199254740992'],
      [`'1e-400'::numeric`, 'double', 'which would become 0'],
      [`'1e-300'::float8`, 'float', 'which would become 0'],
      ['1.005::float8', 'double(8,2)', 'up to 2 digits behind the point'],
      ['1.5::numeric', 'int', 'a whole number'],
      ['3000000000::bigint', 'int', 'Out of range'],
      [`'abc'::text`, 'varchar(2)', 'Data too long'],
      ['-1', 'int, constraint positive check (v > 0)', 'CONSTRAINT `positive` failed'],
      ['-1', 'int check (v > 0)', '(ER_CONSTRAINT_FAILED, 4025)'],
    ])('%s in a column %s fails, and names the record', async (value, type, message) => {
      await run(`drop table if exists t; create table t (id int primary key, v ${type})`)
      await using registry = new JobRegistry({
        storage: memoryStorage(),
        datasources: { shop: postgresDatasource({ connectionString: source.url }) },
      })
      const query = `select i as id, case when i = 7 then ${value} end as v from generate_series(1, 20) i`
      registry.define({ id: 'odd', datasource: 'shop', query, target: target() })
      const places: unknown[] = []
      registry.on('error', ({ cause }) => places.push((cause as JobError).place))
      const status = await (await registry.start('ingestion', 'odd')).finished
      expect(places).toMatchObject([{ batch: 0, recordIndex: 6, text: 'Batch 0, record 7 of this run.' }])
      expect(JSON.stringify(status)).toContain(message)
      expect(await rows()).toEqual([])
    })
  })
})
