import fc from 'fast-check'
import { type IngestionJob, type JobRecord, JobRegistry, memoryStorage } from 'headgate'
import { iterableDatasource } from 'headgate/iterable'
import { postgresDatasource, postgresTarget } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'

/** Columns of the source, by type, and awkward values of each in SQL. */
const table: [type: string, ...values: string[]][] = [
  ['bool', 'true', 'false', 'null'],
  ['int2', `'-32768'`, '32767'],
  ['int8', `'9223372036854775807'`, `'-9223372036854775808'`],
  ['numeric', `'NaN'`, `'Infinity'`, `'-Infinity'`, '1.10', '12345678901234567890.12345678901234567890', '1e-400'],
  ['float4', `'NaN'`, `'-0'`, '0.1', '3.4028235e38'],
  ['float8', `'Infinity'`, `'-0'`, '0.1::float8 + 0.2::float8', '5e-324', '1.7976931348623157e308'],
  ['date', `'0044-03-15 BC'`, `'infinity'`, `'5874897-12-31'`],
  ['time', `'23:59:59.999999'`, `'24:00:00'`],
  ['timetz', `'10:00:00.000001+05:30'`],
  [
    'timestamp',
    `'2024-01-01 10:00:00.123456'`,
    `'4713-01-01 00:00:00 BC'`,
    `'294276-12-31 23:59:59.999999'`,
    `'-infinity'`,
  ],
  ['timestamptz', `'2024-01-01 10:00:00.123456+05:30'`, `'0044-03-15 12:00:00.000001+00 BC'`, `'infinity'`],
  ['interval', `'1 year 2 months -3 days 04:05:06.789'`, `'-1 day +00:00:00.000001'`, `'178000000 years'`],
  [
    'text',
    `''`,
    `'\\N'`,
    `'\\.'`,
    `E'tab\\t line\\n return\\r backslash \\\\ bell\\x07 vertical\\x0b'`,
    `'NULL'`,
    'null',
  ],
  ['char(3)', `'a'`],
  ['bytea', `''`, `'\\x00ff5c0a'`],
  ['json', `'{"b": 12345678901234567890, "a" : 1}'`, `E'[1,\\n\\t2]'`, `'"\\u0000 \\ud800"'`, `'null'`, 'null'],
  ['jsonb', `'{"a": 12345678901234567890.10}'`, `'"line\\nbreak"'`, `'null'`],
  ['uuid', `'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'`],
  ['inet', `'10.0.0.0/8'`],
  ['xml', `'<a b="c">\\d</a>'`],
  ['bit varying', `B'0101'`],
  ['point', `'(1.5,-0)'`],
  ['box[]', `array['(3,4),(1,2)'::box, null]`],
  ['tsvector', `'''a b'':1A c:2'`],
  ['int4[]', 'array[1, null, 3]', `'{{1,2},{3,4}}'`, `'{}'`],
  ['text[]', `array['', 'NULL', null, 'a,b', '{"x"}', '\\', E'\\t\\n', ' ']`],
  ['jsonb[]', `array['[1, {"a": "b"}]'::jsonb, null]`],
  ['bytea[]', `array['\\x00ff'::bytea]`],
  ['timestamptz[]', `array[timestamptz '2024-01-01 00:00:00.000001+00', 'infinity']`],
  ['int4range', `'[1,5)'`, `'empty'`, `'(,)'`],
  ['tstzrange', `'[2024-01-01 00:00:00.000001+00,)'`],
  ['int4multirange', `'{[1,5),[7,9)}'`],
  ['mood', `'sad'`],
  ['mood[]', `array['sad', null]::mood[]`],
  ['positive', '5'],
  ['document[]', `array['{"a": [1, "b"]}', 'null', null]::document[]`],
  ['numbers[]', `'{"{1,2}","{3}",null}'`],
  ['pair', `row(1, E'a "b"\\t\\\\')`],
  ['pair[]', `array[row(1, 'x'), row(null, null)]::pair[]`],
]

/** An object that is nested so deep. */
function nested(depth: number): object {
  let value: { a: unknown } = { a: null }
  for (let level = 1; level < depth; level++) value = { a: value }
  return value
}

describePostgres('values on their way to Postgres', (database) => {
  let pool: pg.Pool
  /** What the jobs connect with: under all settings of the database. */
  let odd: pg.Pool
  beforeAll(async () => {
    pool = new pg.Pool({ connectionString: database.url, max: 2 })
    await pool.query(`create type mood as enum ('sad', 'happy'); create domain positive as int4 check (value > 0); create domain text_document as json;
      create domain document as text_document; create domain numbers as int4[];
      create type pair as (number int, word text)`)
    // Settings that would change how text is read and written, had the connections none of their own.
    const name = new URL(database.url).pathname.slice(1)
    await pool.query(`alter database ${name} set datestyle to 'German'; alter database ${name} set timezone to 'Asia/Kolkata';
      alter database ${name} set intervalstyle to 'sql_standard'; alter database ${name} set bytea_output to 'escape';
      alter database ${name} set standard_conforming_strings to off; alter database ${name} set backslash_quote to off;
      alter database ${name} set array_nulls to off; alter database ${name} set xmloption to document;
      alter database ${name} set transform_null_equals to on; alter database ${name} set extra_float_digits to 0;
      alter database ${name} set default_transaction_isolation to serializable; alter database ${name} set quote_all_identifiers to on`)
    await pool.end()
    odd = new pg.Pool({ connectionString: database.url, max: 2 })
    const options = ['standard_conforming_strings', 'array_nulls'].map((setting) => `-c ${setting}=on`).join(' ')
    pool = new pg.Pool({ connectionString: database.url, options: `${options} -c xmloption=content`, max: 2 })
  })
  afterAll(() => Promise.all([pool.end(), odd.end()]))
  beforeEach(() => pool.query('drop table if exists source, copied, headgate_checkpoint'))

  async function ingest(
    job: Pick<IngestionJob, 'datasource' | 'query' | 'transform'> & Partial<IngestionJob>,
  ): Promise<void> {
    await using registry = new JobRegistry({ storage: memoryStorage() })
    registry.define({ id: 'copy', target: postgresTarget({ pool: odd, table: 'copied' }), batchSize: 7, ...job })
    const { finished } = await registry.start('ingestion', 'copy')
    expect(await finished).toMatchObject({ state: 'successful' })
  }

  /** The rows that only one of the tables has, as text. */
  async function differences(): Promise<unknown[]> {
    const { rows } = await pool.query(`
      (select whole::text from source whole except all select whole::text from copied whole)
      union all (select whole::text from copied whole except all select whole::text from source whole)`)
    return rows
  }

  type Way = Pick<IngestionJob, 'transform' | 'query'>
  const copySource = (way: Way = {}) =>
    ingest({ datasource: postgresDatasource({ pool: odd }), query: 'select * from source', ...way })

  const ways: Record<string, Way> = {
    'encoded rows': {},
    // It may ask for any value.
    'raw rows': { query: 'select * from source {{^last_record}}{{/last_record}}' },
    objects: { transform: (record: JobRecord) => ({ ...record }) },
  }

  describe.each(Object.entries(ways))('in %s', (_, more) => {
    test.each(table)('%s arrives as it was', async (type, ...values) => {
      await pool.query(`create table source (value ${type}); create table copied (like source)`)
      await pool.query(`insert into source values ${values.map((value) => `(${value})`).join(', ')}`)
      await copySource(more)
      expect(await differences()).toEqual([])
      expect((await pool.query('select from copied')).rowCount).toBe(values.length)
    })
  })

  test.each(['encoded rows', 'raw rows'])('the bounds of an array arrive as they were in %s', async (way) => {
    await pool.query(
      `create table source as select '[0:1][2:3]={{1,2},{3,4}}'::int4[] as value; create table copied (like source)`,
    )
    await copySource(ways[way])
    expect(await differences()).toEqual([])
  })

  test('of other types and in other places than the table has them arrive all the same', async () => {
    await pool.query(`create table source as select 1::int4 as a, 2::int8 as b, 'x'::text as c, 1.50::numeric as d;
      create table copied (d numeric(9, 1), c varchar(3), b int4, a int8)`)
    await copySource()
    expect((await pool.query({ text: 'select a, b, c, d from copied', rowMode: 'array' })).rows).toEqual([
      ['1', 2, 'x', '1.5'],
    ])
  })

  test('of the types of the table go there as they are, with the lengths and precisions of the table', async () => {
    await pool.query(`create table source as select 1.5::numeric(9, 1) as a, 'abc'::varchar(3) as b, now() as c;
      create table copied (a numeric(9, 1), b varchar(3), c timestamptz)`)
    const said: string[] = []
    const listening = {
      connect: async () => {
        const client = await pool.connect()
        const query = client.query.bind(client) as (query: { text?: string }) => unknown
        return Object.assign(Object.create(client), {
          query: (asked: { text?: string }) => {
            said.push(asked.text ?? '')
            return query(asked)
          },
        })
      },
    }
    const target = postgresTarget({ pool: listening, table: 'copied' })
    await ingest({ datasource: postgresDatasource({ pool: odd }), query: 'select * from source', target })
    expect(said.filter((text) => text.endsWith('with (format binary)'))).toHaveLength(1)
    expect((await pool.query('select a, b from copied')).rows).toEqual([{ a: '1.5', b: 'abc' }])
  })

  test('whatever it is, arrives as it was', async () => {
    await pool.query(`
      create table source (a text, b bytea, c int8, d numeric, e float8, f timestamptz, g jsonb, h text[], i interval, j json);
      create table copied (like source)`)
    const text = fc.string({ unit: 'binary', maxLength: 40 }).map((value) => value.replaceAll('\0', ''))
    const cell = <Value>(arbitrary: fc.Arbitrary<Value>) => fc.option(arbitrary, { freq: 8 })
    const row = fc.tuple(
      cell(text),
      cell(fc.uint8Array().map((bytes) => Buffer.from(bytes))),
      cell(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n).map(String)),
      cell(fc.tuple(fc.bigInt(), fc.nat(50)).map(([digits, scale]) => `${digits}e-${scale}`)),
      cell(fc.double().map((value) => (Object.is(value, -0) ? '-0' : String(value)))),
      cell(fc.bigInt(-(2n ** 57n), 2n ** 57n).map(String)),
      cell(fc.jsonValue().map((value) => JSON.stringify(value).replaceAll('\\u0000', ''))),
      cell(fc.array(fc.option(text), { maxLength: 5 })),
      cell(
        fc
          .tuple(fc.integer(), fc.integer(), fc.integer())
          .map(([m, d, us]) => `${m % 1e5} mon ${d % 1e5} day ${us} us`),
      ),
      cell(fc.json()),
    )
    const insert = `insert into source values
      ($1, $2, $3, $4, $5, timestamptz '2000-01-01 00:00+00' + ($6 || ' us')::interval, $7, $8, $9, $10)`
    const isKept = async (rows: readonly unknown[][], way: Way | undefined) => {
      await pool.query('truncate source, copied; drop table if exists headgate_checkpoint')
      for (const values of rows) await pool.query(insert, values)
      await copySource(way)
      expect(await differences()).toEqual([])
    }
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { minLength: 1, maxLength: 10 }),
        fc.constantFrom(...Object.keys(ways)),
        (rows, way) => isKept(rows, ways[way]),
      ),
      { numRuns: 80 },
    )
  }, 60_000)

  test.each(['encoded rows', 'raw rows'])('every code point arrives as it was in %s', async (way) => {
    await pool.query('create table source (first int, value text); create table copied (like source)')
    await pool.query(`insert into source select min(n), string_agg(chr(n), '' order by n) from generate_series(1, 1114111) n
      where n not between 55296 and 57343 group by n / 1000`)
    await copySource(ways[way])
    expect(await differences()).toEqual([])
  })

  test('a long text arrives as it was, wherever its pieces begin', async () => {
    await pool.query('create table source (value text); create table copied (like source)')
    await pool.query(`insert into source
      select chr(65279) || repeat('x', n) || repeat(E'\\\\\\t\\n\\ré😀', 20000) from generate_series(0, 9) n`)
    await copySource(ways['raw rows'])
    expect(await differences()).toEqual([])
  })

  test('of JavaScript become what they are to Postgres', async () => {
    const records = [
      {
        n: 1,
        b: true,
        big: 2n ** 63n - 1n,
        at: new Date('2024-02-29T12:34:56.789Z'),
        bytes: Buffer.from('00ff', 'hex'),
      },
      { n: Number.NaN, at: new Date(Date.UTC(-43, 2, 15)), tags: ['a "b"', null, '', 'NULL', '\\'], grid: [[1, 2], [3, 4]] }, // biome-ignore format: one line
      {
        n: -0,
        at: new Date(8.64e15),
        doc: { a: [1, { b: null }], at: new Date(0), bytes: new Uint8Array([1]), big: 1n },
      },
      { n: Number.NEGATIVE_INFINITY, doc: [1, 'two'], docs: [[1], { a: '"' }, null], own: [[1], { a: '"' }, null], sets: [[1, 2], null, []], word: { a: 1 } }, // biome-ignore format: one line
      { n: undefined, doc: 'null', word: ['x'], tags: [] },
      { word: new Date(8.64e15) },
      { word: new Date(Date.UTC(-43, 2, 15)), tags: [new Date(0)] },
      { doc: [Number.NaN, { down: Number.NEGATIVE_INFINITY }] },
      { word: nested(20_000) },
    ]
    const create = `(n float8, b bool, big int8, at timestamptz, bytes bytea, tags text[], grid int[], doc jsonb, docs json[], own document[], sets numbers[], word text)`
    await pool.query(`create table source ${create}; create table copied ${create}`)
    const rows = [
      `(n, b, big, at, bytes) values (1, true, 9223372036854775807, '2024-02-29 12:34:56.789+00', '\\x00ff')`,
      `(n, at, tags, grid) values ('NaN', '0044-03-15 00:00+00 BC', array['a "b"', null, '', 'NULL', '\\'], '{{1,2},{3,4}}')`,
      `(n, at, doc) values ('-0', '275760-09-13 00:00+00',
        '{"a": [1, {"b": null}], "at": "1970-01-01T00:00:00.000Z", "bytes": "\\\\x01", "big": "1"}')`,
      `(n, doc, docs, own, sets, word) values ('-Infinity', '[1, "two"]', array['[1]', '{"a":"\\""}', null]::json[],
        array['[1]', '{"a":"\\""}', null]::document[], '{"{1,2}",null,"{}"}', '{"a":1}')`,
      `(doc, word, tags) values ('null', '["x"]', '{}')`,
      `(word) values ('+275760-09-13T00:00:00.000Z')`,
      `(word, tags) values ('-000043-03-15T00:00:00.000Z', array['1970-01-01T00:00:00.000Z'])`,
      `(doc) values ('["NaN", {"down": "-Infinity"}]')`,
      `(word) values (repeat('{"a":', 20000) || 'null' || repeat('}', 20000))`,
    ]
    for (const row of rows) await pool.query(`insert into source ${row}`)
    await ingest({ datasource: iterableDatasource(records as JobRecord[]) })
    expect(await differences()).toEqual([])
  })
})
