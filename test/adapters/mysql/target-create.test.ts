import { type IngestionJob, JobRegistry, memoryStorage } from 'headgate'
import { type MysqlTargetOptions, mysqlDatasource, mysqlTarget } from 'headgate/mysql'
import { postgresDatasource } from 'headgate/postgres'
import { testDatasource } from 'headgate/testing'
import pg from 'pg'
import { expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { describeMysql } from '../../support/mysql.js'
import { mysqlTests } from './target-support.js'

describeMysql('a table that a job creates in MySQL', (database) => {
  const tests = mysqlTests(database)
  const { run, rows } = tests

  const copy = async (
    datasource: ReturnType<typeof mysqlDatasource>,
    query: string,
    options: Partial<MysqlTargetOptions>,
    more: Partial<IngestionJob> = {},
  ) => {
    await using registry = new JobRegistry({ storage: memoryStorage(), datasources: { source: datasource } })
    const target = mysqlTarget({ pool: tests.pool, table: 'made', createTable: true, ...options } as MysqlTargetOptions)
    registry.define({ id: 'made', datasource: 'source', ...(query && { query }), target, ...more })
    return await (await registry.start('ingestion', 'made')).finished
  }
  const typesOf = async (table: string) =>
    (
      await rows(`select trim(concat_ws(' ', column_name, column_type, is_nullable, column_key)) from information_schema.columns
      where table_schema = database() and table_name = '${table}' order by ordinal_position`)
    ).flat()

  test('from MySQL has the same types, and its rows are the same', async () => {
    await run(`drop table if exists mixed, made; create table mixed (id bigint unsigned primary key, small smallint unsigned not null, whole int unsigned, price decimal(12,2),
      ratio double, day date, spent time(3), at datetime(6), touched timestamp(3) null, flag bit(1), bits bit(60), name varchar(30) not null,
      kind enum('a','ü','7'), body longtext, raw blob, data json, made year, marks set('a','b'), address inet6, tag uuid, mask bit(8), place point,
      fixed binary(4), code char(5))`)
    await run(`insert into mixed values (18446744073709551615, 65535, 4294967295, 1.10, 0.1, '2024-02-29', '-838:59:59.999',
      '2024-01-01 00:00:00.000001', '2024-01-01 02:00:00.5', b'1', 1152921504606846975, 'tab\\t and \\\\ 🦫', 'ü', repeat('x', 100000), x'00ff0a09',
      '{"n": 18446744073709551615}', 2024, 'a,b', '::1', '00000000-0000-4000-8000-000000000001', b'10000001', point(1, 2), x'00010203', 'ab'),
      (1, 0, null, null, null, null, null, null, null, null, null, '', null, null, null, null, null, null, null, null, null, null, null, null),
      (2, 1, 1, -0.01, -1e300, '1000-01-01', '00:00:00', '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07', b'0', 0, '\\'"\\0\\n', '7', '', '', '[]', 1901, '',
       '::', 'ffffffff-ffff-ffff-ffff-ffffffffffff', b'0', st_geomfromtext('POINT(3 4)', 4326), x'ffffffff', '')`)
    await run(
      `set sql_mode = ''; insert into mixed (id, name, day, at, made) values (3, 'zeros', '0000-00-00', '0000-00-00 00:00:00', 0); set sql_mode = default`,
    )
    const datasource = mysqlDatasource({ pool: tests.pool })
    expect(await copy(datasource, 'select * from mixed', { key: 'id' })).toMatchObject({
      state: 'successful',
      count: 4,
    })
    expect(await typesOf('made')).toEqual(await typesOf('mixed'))
    const shown = (
      table: string,
    ) => `select id, small, whole, price, ratio, day, spent, at, touched, hex(flag), hex(bits), hex(name), kind, md5(body), hex(raw),
      data, made, marks, address, tag, hex(mask), hex(place), hex(fixed), hex(code) from ${table} order by id`
    expect(await rows(shown('made'))).toEqual(await rows(shown('mixed')))
  })

  describePostgres('from Postgres', (source) => {
    test('has types that hold every value', async () => {
      await run('drop table if exists made')
      const client = new pg.Client({ connectionString: source.url })
      await client.connect()
      await client.query(`create type mood as enum ('sad', 'ok');
        create table mixed (id bigint primary key, small smallint, whole int, price numeric(12,2), any_number numeric, ratio real, exact float8, flag boolean,
        name varchar(30), long_name varchar(3000), body text, raw bytea, day date, at timestamp(3), touched timestamptz, spent time, span interval, data jsonb,
        list int[], tag uuid, feeling mood, code char(3), address inet)`)
      await client.query(`insert into mixed values (9223372036854775807, -32768, -2147483648, -1234567890.12, 0.000000000000000000000000000001, 0.1, 1e-300, true,
        'a', repeat('ü', 3000), 'body', '\\x00ff', '2024-02-29', '2024-01-01 00:00:00.123', '2024-01-01 00:00:00.123456+02', '23:59:59.999999', '1 year',
        '{"a": [1]}', array[1, null], '00000000-0000-4000-8000-000000000001', 'ok', 'ab', '10.0.0.1')`)
      await client.end()
      const datasource = postgresDatasource({ connectionString: source.url })
      expect(await copy(datasource, 'select * from mixed', { key: 'id' })).toMatchObject({ state: 'successful' })
      expect(await typesOf('made')).toEqual([
        'id bigint(20) NO PRI',
        'small smallint(6) YES',
        'whole int(11) YES',
        'price decimal(12,2) YES',
        'any_number decimal(65,30) YES',
        'ratio double YES',
        'exact double YES',
        'flag tinyint(1) YES',
        'name varchar(30) YES',
        'long_name longtext YES',
        'body longtext YES',
        'raw longblob YES',
        'day date YES',
        'at datetime(3) YES',
        'touched datetime(6) YES',
        'spent time(6) YES',
        'span varchar(255) YES',
        'data longtext YES',
        'list longtext YES',
        'tag char(36) YES',
        'feeling longtext YES',
        'code varchar(3) YES',
        'address longtext YES',
      ])
      const [row] =
        await rows(`select id, small, whole, price, any_number, ratio, exact, flag, name, char_length(long_name), hex(raw), at, touched, spent, span, data, list,
        feeling, code, address from made`)
      expect(row).toEqual([
        ...[
          '9223372036854775807',
          '-32768',
          '-2147483648',
          '-1234567890.12',
          '0.000000000000000000000000000001',
          '0.1',
          '1e-300',
          '1',
          'a',
          '3000',
        ],
        ...[
          '00FF',
          '2024-01-01 00:00:00.123',
          '2023-12-31 22:00:00.123456',
          '23:59:59.999999',
          'P1Y',
          '{"a": [1]}',
          '[1,null]',
          'ok',
          'ab ',
          '10.0.0.1',
        ],
      ])
    })

    test('tells texts apart that differ in case or in spaces, as its source does', async () => {
      await run('drop table if exists made')
      const datasource = postgresDatasource({ connectionString: source.url })
      const query = `select v as name from unnest(array['a', 'A', 'a ', 'ä', '']) v`
      expect(await copy(datasource, query, { key: 'name', mode: 'upsert' })).toMatchObject({ state: 'successful' })
      expect(await rows('select count(*) from made')).toEqual([['5']])
    })

    test('is refused for a number with more digits than MySQL has', async () => {
      await run('drop table if exists made')
      const datasource = postgresDatasource({ connectionString: source.url })
      const status = await copy(datasource, 'select 1::numeric(70,2) as price', {})
      expect(JSON.stringify(status)).toContain(
        'Expected up to 65 digits, and 30 behind the point, in the column `price`, got numeric(70,2)',
      )
    })
  })

  test('is refused for objects, and for records without the key', async () => {
    await run('drop table if exists made')
    const objects = await copy(testDatasource([{ id: 1 }]) as never, '', {})
    expect(JSON.stringify(objects)).toContain('Objects, such as those of a transform, have no types')
    const datasource = mysqlDatasource({ pool: tests.pool })
    const keyless = await copy(datasource, 'select 1 as id', { key: 'other' })
    expect(JSON.stringify(keyless)).toContain('Expected records with the column `other` of the key, got id.')
  })

  test.each<Partial<MysqlTargetOptions>>([
    { key: 'id' },
    { mode: 'upsert', key: 'id' },
    { strategy: 'replace', swap: 'rows', key: 'id' },
    { strategy: 'replace', swap: 'rename', key: 'id' },
  ])('is there after a run that reads nothing, with %j', async (options) => {
    await run(`drop table if exists made, none, headgate_checkpoint;
      create table none (id bigint unsigned primary key, price decimal(9,2), name varchar(30) not null)`)
    const datasource = mysqlDatasource({ pool: tests.pool })
    for (const cursor of ['id', undefined]) {
      const done = await copy(datasource, 'select * from none', options, cursor ? { cursor } : {})
      expect(done).toMatchObject({ state: 'successful', count: 0 })
      expect(await typesOf('made')).toEqual(await typesOf('none'))
      expect(await rows('select * from made')).toEqual([])
    }
    await run("insert into none values (1, 1.10, 'a')")
    expect(await copy(datasource, 'select * from none', options)).toMatchObject({ state: 'successful', count: 1 })
    expect(await rows('select * from made')).toEqual([['1', '1.10', 'a']])
    expect(await rows("show tables like '%headgate\\_r%'")).toEqual([])
  })
})
