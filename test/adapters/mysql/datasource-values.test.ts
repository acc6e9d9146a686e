import fc from 'fast-check'
import type { ColumnType } from 'headgate/adapter'
import { mysqlDatasource } from 'headgate/mysql'
import mysql from 'mysql2/promise'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describeMysql } from '../../support/mysql.js'
import { allBatches, allRecords } from '../postgres/datasource-read.js'

/** A type of a column, a literal that is stored in it, the type in headgate, and the value that records show. */
const table: [sqlType: string, literal: string, type: ColumnType, value: unknown][] = [
  ['tinyint', '-128', 'integer', -128],
  ['tinyint(1)', 'true', 'integer', 1],
  ['tinyint unsigned', '255', 'integer', 255],
  ['smallint', '-32768', 'integer', -32768],
  ['mediumint unsigned', '16777215', 'integer', 16777215],
  ['int', '-2147483648', 'integer', -2147483648],
  ['int unsigned', '4294967295', 'integer', 4294967295],
  ['int(6) zerofill', '42', 'integer', 42],
  ['bigint', '-9223372036854775808', 'bigint', '-9223372036854775808'],
  ['bigint', '9223372036854775807', 'bigint', '9223372036854775807'],
  ['bigint unsigned', '18446744073709551615', 'bigint', '18446744073709551615'],
  ['bigint(20) zerofill', '42', 'bigint', '42'],
  ['bigint zerofill', '0', 'bigint', '0'],
  ['decimal(10,2)', '1.1', 'decimal', '1.10'],
  ['decimal(10,2) zerofill', '1.1', 'decimal', '1.10'],
  [
    'decimal(65,30)',
    '-12345678901234567890123456789012345.012345678901234567890123456789',
    'decimal',
    '-12345678901234567890123456789012345.012345678901234567890123456789',
  ],
  ['float(9,2)', '1234567.88', 'float', 1234567.88],
  ['double', '0.1 + 2e-1', 'float', 0.1 + 0.2],
  ['double', '5e-324', 'float', 5e-324],
  ['double', '-1.7976931348623157e308', 'float', -Number.MAX_VALUE],
  ['date', "'9999-12-31'", 'date', '9999-12-31'],
  ['date', "'0000-00-00'", 'date', '0000-00-00'],
  ['date', "'2024-00-00'", 'date', '2024-00-00'],
  ['datetime', "'2024-02-29 23:59:59'", 'timestamp', '2024-02-29T23:59:59'],
  ['datetime(6)', "'1000-01-01 00:00:00.000001'", 'timestamp', '1000-01-01T00:00:00.000001'],
  ['datetime(3)', "'0000-00-00 00:00:00'", 'timestamp', '0000-00-00 00:00:00.000'],
  ['timestamp', "'2024-01-01 10:00:00'", 'timestamptz', '2024-01-01T04:30:00Z'],
  ['timestamp(6)', "'2024-01-01 10:00:00.123456'", 'timestamptz', '2024-01-01T04:30:00.123456Z'],
  ['timestamp', "'0000-00-00 00:00:00'", 'timestamptz', '0000-00-00 00:00:00'],
  ['time', "'23:59:59'", 'time', '23:59:59'],
  ['time(6)', "'-838:59:59.999999'", 'time', '-838:59:59.999999'],
  ['time(1)', "'100:00:00.5'", 'time', '100:00:00.5'],
  ['year', '2155', 'integer', 2155],
  ['year', '0', 'integer', 0],
  ['bit(1)', "b'1'", 'boolean', true],
  ['bit(1)', "b'0'", 'boolean', false],
  ['bit(8)', "b'10000001'", 'integer', 129],
  ['bit(53)', '9007199254740991', 'integer', 9007199254740991],
  ['bit(64)', '18446744073709551615', 'bigint', '18446744073709551615'],
  ['char(3)', "'a'", 'text', 'a'],
  ['varchar(20)', "'it''s \\\\ é 🦫'", 'text', "it's \\ é 🦫"],
  ['varchar(20)', "''", 'text', ''],
  ['varchar(20)', "'a\\0b\\n'", 'text', 'a\0b\n'],
  ['varchar(300)', "repeat('é', 300)", 'text', 'é'.repeat(300)],
  ['longtext', "repeat('ab', 50000)", 'text', 'ab'.repeat(50_000)],
  ["enum('x','größer','')", "'größer'", 'text', 'größer'],
  ["set('a','b','c')", "'c,a'", 'text', 'a,c'],
  ["set('a','b','c')", "''", 'text', ''],
  ['binary(4)', "x'00ff'", 'bytes', Buffer.from('00ff0000', 'hex')],
  ['varbinary(4)', "x'c328'", 'bytes', Buffer.from('c328', 'hex')],
  ['tinyblob', "''", 'bytes', Buffer.alloc(0)],
  ['longblob', "repeat(x'ff', 70000)", 'bytes', Buffer.alloc(70_000, 0xff)],
  ['json', `'{"b": 18446744073709551615, "a": 1.10}'`, 'json', '{"b": 18446744073709551615, "a": 1.10}'],
  ['json', `'"é 🦫"'`, 'json', '"é 🦫"'],
  ['point', 'point(1, 2)', 'bytes', Buffer.from('0101000000000000000000f03f0000000000000040', 'hex')],
  [
    'geometry',
    "st_geomfromtext('point(1 2)', 4326)",
    'bytes',
    Buffer.from('0101000020e6100000000000000000f03f0000000000000040', 'hex'),
  ],
  ['varchar(20) character set latin1', "'é€'", 'text', 'é€'],
  ['varchar(20) character set utf16', "'é🦫'", 'text', 'é🦫'],
  ['varchar(20) character set utf32', "'é🦫'", 'text', 'é🦫'],
  ['varchar(20) character set ucs2', "'é'", 'text', 'é'],
  ['varchar(20) character set utf8mb3', "'é'", 'text', 'é'],
  ['varchar(20) character set sjis', "'表'", 'text', '表'],
  ['varchar(20) character set gb2312', "'中'", 'text', '中'],
  ['varchar(20) character set cp1251', "'Ж'", 'text', 'Ж'],
  ['varchar(20) character set latin2', "'Ł'", 'text', 'Ł'],
  ['varchar(20) collate utf8mb4_bin', "'🦫'", 'text', '🦫'],
  ['bigint', 'null', 'bigint', null],
]

/** Types that only MariaDB has. */
const ofMariadb: typeof table = [
  ['uuid', "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", 'text', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
  ['inet6', "'::1'", 'text', '::1'],
]

describeMysql('values of MySQL', (database) => {
  let pool: mysql.Pool
  let isMariadb: boolean
  beforeAll(async () => {
    // Settings that would change the text of values, had the datasource none of its own.
    pool = mysql.createPool({ uri: database.url, connectionLimit: 1, maxIdle: 1 })
    await pool.query(`set time_zone = '+05:30', character_set_results = 'latin1', sql_mode = 'ANSI_QUOTES',
      sql_select_limit = 1, net_write_timeout = 7`)
    const [rows] = await pool.query<mysql.RowDataPacket[]>('select version() as version')
    isMariadb = /mariadb/i.test(rows[0]?.version)
  })
  afterAll(() => pool.end())

  async function stored(sqlType: string, literal: string) {
    await pool.query('drop table if exists stored')
    await pool.query(`create table stored (value ${sqlType} null)`)
    await pool.query(`insert into stored values (${literal})`)
    const [batch] = await allBatches(mysqlDatasource({ pool }), 'select value from stored')
    return batch
  }

  test.each([...table, ...ofMariadb])('%s of %s is %s', { timeout: 60_000 }, async (...row) => {
    const [sqlType, literal, type, value] = row
    if (ofMariadb.includes(row) && !isMariadb) return
    const batch = await stored(sqlType, literal)
    expect(batch?.columns[0]).toMatchObject({ name: 'value', type })
    expect(batch?.records()).toEqual([{ value }])
    const shown = [batch?.rows[0]?.[0] ?? '', value ?? '']
    if (batch?.columns[0]?.isPlain)
      expect(shown.map((text) => JSON.stringify(text))).toEqual(shown.map((text) => `"${text}"`))
  })

  test('a float is refused, which the server rounds, with the expression that is exact', async () => {
    await expect(stored('float', '16777217')).rejects.toThrow(
      'The server rounds values of the type float, as in `value`, to six digits: select `value + 0e0 as value`, which is exact.',
    )
    const datasource = mysqlDatasource({ pool })
    expect(await allRecords(datasource, 'select value + 0e0 as value from stored')).toEqual([{ value: 16777216 }])
  })

  test('settings of the session hold for the read only', async () => {
    const datasource = mysqlDatasource({ pool })
    const inside = `select @@time_zone as zone, @@character_set_results as results, @@net_write_timeout as timeout,
      @@sql_mode as mode from (select 1 union all select 2) two`
    expect(await allRecords(datasource, inside)).toEqual([
      { zone: '+00:00', results: 'utf8mb4', timeout: '31536000', mode: 'ANSI_QUOTES' },
      { zone: '+00:00', results: 'utf8mb4', timeout: '31536000', mode: 'ANSI_QUOTES' },
    ])
    const [rows] = await pool.query(inside)
    expect(rows).toEqual([{ zone: '+05:30', results: 'latin1', timeout: 7, mode: 'ANSI_QUOTES' }])
  })

  test('raw rows are the text that the server wrote, with what is missing there', async () => {
    const query = `select cast(7 as signed) as a, x'ff' as b, null as c, time '-10:00:00' as d, 1.50 as e`
    const [batch] = await allBatches(mysqlDatasource({ pool }), query)
    expect(batch?.isRaw).toBe(true)
    expect(batch?.encoded?.format).toBe('mysql-text')
    expect(batch?.rows).toEqual([['7', '\\xff', null, '-10:00:00', '1.50']])
  })

  test('columns of one name are an error', async () => {
    await expect(allBatches(mysqlDatasource({ pool }), 'select 1 as a, 2 as b, 3 as a')).rejects.toThrow(
      'Expected columns with different names, got `a` twice: rename one with "as".',
    )
  })

  test('names are of any characters', async () => {
    expect(await allRecords(mysqlDatasource({ pool }), 'select 1 as `größe`, 2 as `constructor`, 3 as `a``b`')).toEqual(
      [{ größe: 1, constructor: 2, 'a`b': 3 }],
    )
  })

  test('columns have their types in SQL, with which a table of the same columns is created', async () => {
    const types = [
      ...[
        'tinyint(4)',
        'smallint(5) unsigned',
        'mediumint(9)',
        'int(10) unsigned',
        'bigint(20) unsigned',
        'decimal(12,2)',
      ],
      ...[
        'decimal(5,0) unsigned',
        'double',
        'float(7,2)',
        'date',
        'datetime',
        'datetime(3)',
        'timestamp(6)',
        'time(2)',
        'year(4)',
      ],
      ...[
        'bit(12)',
        'char(7)',
        'varchar(70)',
        'tinytext',
        'text',
        'mediumtext',
        'longtext',
        'binary(3)',
        'varbinary(30)',
      ],
      ...['tinyblob', 'blob', 'mediumblob', 'longblob', "enum('a','b''c')", "set('x','y')"],
    ]
    await pool.query('drop table if exists typed, again')
    await pool.query(`create table typed (${types.map((type, n) => `c${n} ${type} null`).join(', ')})`)
    await pool.query('insert into typed (c0) values (1)')
    const [batch] = await allBatches(mysqlDatasource({ pool }), 'select * from typed')
    const columns = batch?.columns.map(({ name, sqlType }) => `${name} ${sqlType} null`)
    await pool.query(`create table again (${columns?.join(', ')})`)
    const typesOf = async (table: string) => {
      const [rows] = await pool.query<mysql.RowDataPacket[]>(`show columns from ${table}`)
      return rows.map(({ Type }) => Type)
    }
    await pool.query('set sql_select_limit = default')
    expect(await typesOf('again')).toEqual(await typesOf('typed'))
  })

  test('all values survive, compared with what the server says of them', { timeout: 60_000 }, async () => {
    const text = fc.string({ unit: 'binary', maxLength: 30 }).filter((value) => value.isWellFormed())
    const row = fc.record({
      big: fc.bigInt(0n, 2n ** 64n - 1n),
      signed: fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
      number: fc.double({ noNaN: true, noDefaultInfinity: true }),
      text,
      wide: text,
      bytes: fc.uint8Array({ maxLength: 30 }),
      time: fc.integer({ min: -3020399, max: 3020399 }),
      micros: fc.bigInt(0n, 2n ** 31n * 1_000_000n - 1n),
      json: fc.json(),
    })
    await pool.query('drop table if exists survivors')
    await pool.query(`create table survivors (n int primary key, big bigint unsigned, \`signed\` bigint, number double, text text character set utf8mb4,
      wide text character set utf32, bytes blob, time time, at datetime(6), json json)`)
    const shown = `select n, cast(big as char) as big, cast(\`signed\` as char) as signed_text, number, hex(convert(text using utf8mb4)) as text,
      hex(convert(wide using utf8mb4)) as wide, hex(bytes) as bytes, time_to_sec(time) as time, hex(convert(json using utf8mb4)) as json,
      cast(timestampdiff(microsecond, '1970-01-01', at) as char) as at from survivors order by n`
    await pool.query('set sql_select_limit = default')
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 20 }), async (rows) => {
        await pool.query('truncate survivors')
        for (const [n, { big, signed, number, text, wide, bytes, time, micros, json }] of rows.entries()) {
          await pool.execute(
            `insert into survivors values (?, ?, ?, ?, ?, ?, ?, sec_to_time(?), timestampadd(microsecond, ?, '1970-01-01'), ?)`,
            [n, String(big), String(signed), number, text, wide, Buffer.from(bytes), time, String(micros), json],
          )
        }
        const [expected] = await pool.query<mysql.RowDataPacket[]>(shown)
        const records = await allRecords(mysqlDatasource({ pool }), 'select * from survivors order by n', {
          batchSize: 7,
        })
        const hex = (value: unknown) => Buffer.from(String(value)).toString('hex').toUpperCase()
        const seconds = (value: unknown) => {
          const [, sign, h, m, s] = /^(-?)(\d+):(\d\d):(\d\d)$/.exec(String(value)) ?? []
          const sum = Number(h) * 3600 + Number(m) * 60 + Number(s)
          return sign ? -sum : sum
        }
        const micros = (value: unknown) => {
          const [whole, fraction] = String(value).split('.')
          return String(BigInt(Date.parse(`${whole}Z`)) * 1000n + BigInt(fraction ?? 0))
        }
        expect(
          records.map((record) => ({
            ...{ n: record.n, big: record.big, signed_text: record.signed, number: record.number },
            ...{
              text: hex(record.text),
              wide: hex(record.wide),
              bytes: Buffer.from(record.bytes as Uint8Array)
                .toString('hex')
                .toUpperCase(),
            },
            ...{ time: seconds(record.time), json: hex(record.json), at: micros(record.at) },
          })),
        ).toEqual(expected.map((row) => ({ ...row, time: Number(row.time) })))
      }),
      { numRuns: 40 },
    )
  })
})
