import fc from 'fast-check'
import type { ColumnType } from 'headgate/adapter'
import { postgresDatasource } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { allBatches, allRecords } from './datasource-read.js'

/** An expression of Postgres, its type in headgate, and the value that records show. */
const table: [expression: string, type: ColumnType, value: unknown][] = [
  ['true', 'boolean', true],
  ['false', 'boolean', false],
  [`'-32768'::int2`, 'integer', -32768],
  [`'2147483647'::int4`, 'integer', 2147483647],
  [`'4294967295'::oid`, 'integer', 4294967295],
  [`'9223372036854775807'::int8`, 'bigint', '9223372036854775807'],
  [`'-9223372036854775808'::int8`, 'bigint', '-9223372036854775808'],
  [`'12345678901234567890.123456789'::numeric`, 'decimal', '12345678901234567890.123456789'],
  [`'1.10'::numeric(6, 2)`, 'decimal', '1.10'],
  [`'NaN'::numeric`, 'decimal', 'NaN'],
  [`'-Infinity'::numeric`, 'decimal', '-Infinity'],
  [`'0.1'::float4`, 'float', 0.1],
  [`'0.1'::float8 + '0.2'::float8`, 'float', 0.1 + 0.2],
  [`'5e-324'::float8`, 'float', 5e-324],
  [`'-0'::float8`, 'float', -0],
  [`'NaN'::float8`, 'float', Number.NaN],
  [`'-Infinity'::float8`, 'float', Number.NEGATIVE_INFINITY],
  [`date '2024-02-29'`, 'date', '2024-02-29'],
  [`date '0044-03-15 BC'`, 'date', '0044-03-15 BC'],
  [`'infinity'::date`, 'date', 'infinity'],
  [`time '23:59:59.999999'`, 'time', '23:59:59.999999'],
  [`timetz '10:00:00+05:30'`, 'time', '10:00:00+05:30'],
  [`timestamp '2024-01-01 10:00:00.123456'`, 'timestamp', '2024-01-01T10:00:00.123456'],
  [`timestamp '2024-01-01'`, 'timestamp', '2024-01-01T00:00:00'],
  [`timestamp '0044-03-15 12:00:00 BC'`, 'timestamp', '0044-03-15 12:00:00 BC'],
  [`timestamp '12024-01-01 10:00:00'`, 'timestamp', '12024-01-01 10:00:00'],
  [`'-infinity'::timestamp`, 'timestamp', '-infinity'],
  [`timestamptz '2024-01-01 10:00:00.123456+05:30'`, 'timestamptz', '2024-01-01T04:30:00.123456Z'],
  [`timestamptz '0044-03-15 12:00:00+00 BC'`, 'timestamptz', '0044-03-15 12:00:00+00 BC'],
  [`'infinity'::timestamptz`, 'timestamptz', 'infinity'],
  [`interval '1 year 2 months -3 days 04:05:06.789'`, 'interval', 'P1Y2M-3DT4H5M6.789S'],
  [`'{"b": 12345678901234567890, "a":1}'::json`, 'json', '{"b": 12345678901234567890, "a":1}'],
  [`'[1.10]'::jsonb`, 'json', '[1.10]'],
  [`'null'::jsonb`, 'json', 'null'],
  [`'\\xdeadBEEF'::bytea`, 'bytes', Buffer.from('deadbeef', 'hex')],
  [`''::bytea`, 'bytes', Buffer.alloc(0)],
  [`'it''s "\\ é 🦫'`, 'text', `it's "\\ é 🦫`],
  [`'a'::char(3)`, 'text', 'a  '],
  [`'5'::positive`, 'integer', 5],
  [`'sad'::mood`, 'text', 'sad'],
  [`row(1, 'a b')`, 'text', '(1,"a b")'],
  [`int4range(1, 5)`, 'text', '[1,5)'],
  [`'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid`, 'text', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
  [`'10.0.0.0/8'::inet`, 'text', '10.0.0.0/8'],
  [`array[1, null, 3]::int4[]`, 'array', [1, null, 3]],
  [`array['9223372036854775807', null]::int8[]`, 'array', ['9223372036854775807', null]],
  [`'[0:1]={1.10,NaN}'::numeric[]`, 'array', ['1.10', 'NaN']],
  [`array[[true, false], [null, true]]`, 'array', [[true, false], [null, true]]], // biome-ignore format: one line each
  [`array['', 'NULL', null, 'a,b', '{"x"}', '\\', ' ']`, 'array', ['', 'NULL', null, 'a,b', '{"x"}', '\\', ' ']],
  [`array[timestamptz '2024-01-01 00:00:00.000001+00']`, 'array', ['2024-01-01T00:00:00.000001Z']],
  [`array['\\x00ff'::bytea]`, 'array', [Buffer.from('00ff', 'hex')]],
  [`array['[1, {"a": "b"}]']::jsonb[]`, 'array', ['[1, {"a": "b"}]']],
  [`array[int4range(1, 5), null]`, 'array', ['[1,5)', null]],
  [`array[]::text[]`, 'array', []],
  [`array['sad']::mood[]`, 'text', '{sad}'],
  [`null::timestamptz`, 'timestamptz', null],
]

describePostgres('values of Postgres', (database) => {
  let pool: pg.Pool
  beforeAll(async () => {
    pool = new pg.Pool({ connectionString: database.url, max: 1 })
    await pool.query(`create type mood as enum ('sad', 'happy'); create domain positive as int4 check (value > 0)`)
    // Settings that would change the text of values, had the datasource none of its own.
    await pool.query(`set datestyle to 'German'; set timezone to 'Asia/Kolkata'; set bytea_output to 'escape';
      set intervalstyle to 'sql_standard'; set extra_float_digits to -5`)
  })
  afterAll(() => pool.end())

  test.each(table)('%s is %s', async (expression, type, value) => {
    const [batch] = await allBatches(postgresDatasource({ pool }), `select ${expression} as value`)
    expect(batch?.columns[0]).toMatchObject({ name: 'value', type })
    expect(batch?.records()).toEqual([{ value }])
    const shown = [batch?.rows[0]?.[0] ?? '', value ?? '']
    if (batch?.columns[0]?.isPlain)
      expect(shown.map((text) => JSON.stringify(text))).toEqual(shown.map((text) => `"${text}"`))
  })

  test('columns have their types in SQL, which the server is asked for once where they are its own', async () => {
    await pool.query(`create schema if not exists other; create type other."Odd ""type" as enum ('a')`)
    const asked = vi.spyOn(pg.Client.prototype, 'query')
    const datasource = postgresDatasource({ pool })
    const query = `select 1 as a, 1.5::numeric(12, 2) as b, 1.5 as c, 'a'::varchar(7) as d, 'a'::char as e, now()::timestamptz(3) as f,
      null::other."Odd ""type"[] as g, 5::positive as h, null::bit varying(5) as i, '1 day'::interval day as j, $1::mood as k`
    for (const _ of [1, 2]) {
      const [batch] = await allBatches(datasource, { text: query, values: ['sad'] })
      expect(batch?.columns.map(({ sqlType }) => sqlType)).toEqual([
        'integer',
        'numeric(12,2)',
        'numeric',
        'character varying(7)',
        'character(1)',
        'timestamp(3) with time zone',
        'other."Odd ""type"[]',
        'integer',
        'bit varying(5)',
        'interval day',
        'mood',
      ])
    }
    await pool.query('alter type mood rename to spirits')
    const [renamed] = await allBatches(datasource, {
      text: query.replace('mood', 'spirits'),
      values: ['sad'],
    })
    expect(renamed?.columns.at(-1)?.sqlType).toBe('spirits')
    await pool.query('alter type spirits rename to mood')
    for (const _ of [1, 2]) await allBatches(datasource, "select 1.5::numeric(13, 2) as a, 'a'::varchar(71) as b")
    const questions = asked.mock.calls.map(([query]) => Object(query)).filter(({ text }) => /format_type/.test(text))
    asked.mockRestore()
    expect(questions.filter(({ values }) => String(values).includes('1043'))).toHaveLength(2)
  })

  test('settings of the session hold for the read only', async () => {
    await allBatches(postgresDatasource({ pool }), 'select 1 as one')
    const { rows } = await pool.query(
      `select current_setting('datestyle') as datestyle, current_setting('timezone') as zone`,
    )
    expect(rows).toEqual([{ datestyle: 'German, DMY', zone: 'Asia/Kolkata' }])
  })

  test('raw rows are the text that Postgres wrote', async () => {
    const query = `select 7 as a, timestamptz '2024-01-01 10:00:00.5Z' as b, null::int8 as c, array[1, 2] as d`
    const [batch] = await allBatches(postgresDatasource({ pool }), query)
    expect(batch?.isRaw).toBe(true)
    expect(batch?.rows).toEqual([['7', '2024-01-01 10:00:00.5+00', null, '{1,2}']])
  })

  test('columns of one name are an error', async () => {
    await expect(allBatches(postgresDatasource({ pool }), 'select 1 as a, 2 as b, 3 as a')).rejects.toThrow(
      'Expected columns with different names, got `a` twice: rename one with "as".',
    )
  })

  describe('lose nothing', () => {
    /** The values that come back when `values` are cast to a type on the server. */
    async function cast(type: string, values: readonly unknown[]): Promise<unknown[]> {
      const text = `select (item #>> '{}')::${type} as value from json_array_elements($1) with ordinality as items(item, place) order by place`
      const records = await allRecords(postgresDatasource({ pool }), { text, values: [JSON.stringify(values)] })
      return records.map(({ value }) => value)
    }
    const holds = async <Value>(values: fc.Arbitrary<Value>, check: (values: Value[]) => Promise<void>) =>
      fc.assert(fc.asyncProperty(fc.array(values, { minLength: 1, maxLength: 50 }), check), { numRuns: 40 })
    const text = fc.string({ unit: 'binary' }).map((value) => value.replaceAll('\0', ''))

    test('int8', () =>
      holds(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String), async (values) => {
        expect(await cast('int8', values)).toEqual(values)
      }))

    test('numeric', () =>
      holds(
        fc.tuple(fc.bigInt({ min: 1n, max: 10n ** 60n }), fc.bigInt({ min: 0n, max: 10n ** 40n })),
        async (parts) => {
          const values = parts.map(([whole, fraction]) => `-${whole}.${fraction}0`)
          expect(await cast('numeric', values)).toEqual(values)
        },
      ))

    test('float8', () =>
      holds(fc.double(), async (values) => {
        expect(await cast('float8', values.map(String))).toEqual(values.map((value) => (value === 0 ? 0 : value)))
      }))

    test.each([
      ['timestamptz', 'Z'],
      ['timestamp', ''],
    ])('%s, to the microsecond', (type, zone) =>
      holds(
        fc.tuple(
          fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }),
          fc.nat(999_999),
        ),
        async (parts) => {
          const values = parts.map(([date, micros]) => {
            const fraction = String(micros).padStart(6, '0').replace(/0+$/, '')
            return `${date.toISOString().slice(0, 19)}${fraction && `.${fraction}`}${zone}`
          })
          expect(await cast(type, values)).toEqual(values)
        },
      ),
    )

    test('text', () =>
      holds(text, async (values) => {
        expect(await cast('text', values)).toEqual(values)
      }))

    test('arrays of text', () =>
      holds(fc.array(fc.option(text)), async (values) => {
        const query = { text: 'select $1::text[] as value', values: [values[0]] }
        expect(await allRecords(postgresDatasource({ pool }), query)).toEqual([{ value: values[0] }])
      }))

    test('arrays of arrays', () =>
      holds(fc.tuple(fc.option(text), fc.option(text)), async (values) => {
        const value = [values, values.toReversed()]
        const query = { text: 'select $1::text[] as value', values: [value] }
        expect(await allRecords(postgresDatasource({ pool }), query)).toEqual([{ value }])
      }))
  })
})
