import { JobRegistry, memoryStorage } from 'headgate'
import { mysqlDatasource } from 'headgate/mysql'
import { postgresTarget } from 'headgate/postgres'
import mysql from 'mysql2/promise'
import pg from 'pg'
import { expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { describeMysql } from '../../support/mysql.js'

describeMysql('from MySQL', (source) => {
  describePostgres('to Postgres', (target) => {
    test('a table is created whose types hold every value, which arrive as they were', async () => {
      const admin = await mysql.createConnection(source.url)
      await admin.query(`create table mixed (id bigint unsigned primary key, small smallint unsigned not null, whole int unsigned, price decimal(12,2),
        ratio double, day date, spent time(3), at datetime(6), touched timestamp(3) null, flag bit(1), bits bit(60), name varchar(30) not null,
        kind enum('a','ü'), body longtext, raw blob, data json, made year, marks set('a','b'), address inet6, tag uuid, mask bit(8), span time)`)
      await admin.query(`set time_zone = '+02:00'`)
      await admin.query(`insert into mixed values (18446744073709551615, 65535, 4294967295, 1.10, 0.1, '2024-02-29', '-838:59:59.999',
        '2024-01-01 00:00:00.000001', '2024-01-01 02:00:00.5', b'1', 1152921504606846975, 'tab\\t and \\\\ 🦫', 'ü', repeat('x', 100000), x'00ff',
        '{"n": 18446744073709551615}', 2024, 'a,b', '::1', '00000000-0000-4000-8000-000000000001', b'10000001', '-838:59:59'),
        (1, 0, null, null, null, null, null, null, null, null, null, '', null, null, null, null, null, null, null, null, null, null)`)
      await admin.end()
      const datasource = mysqlDatasource({ connectionString: source.url })
      await using registry = new JobRegistry({ storage: memoryStorage(), datasources: { mysql: datasource } })
      const writes = postgresTarget({ connectionString: target.url, table: 'mixed', createTable: true })
      registry.define({ id: 'mixed', datasource: 'mysql', query: 'select * from mixed', cursor: 'id', target: writes })
      expect(await (await registry.start('ingestion', 'mixed')).finished).toMatchObject({
        state: 'successful',
        count: 2,
      })

      const client = new pg.Client({ connectionString: target.url })
      await client.connect()
      const types =
        await client.query(`select format('%s %s %s', attname, format_type(atttypid, atttypmod), attnotnull) as type
        from pg_attribute where attrelid = 'mixed'::regclass and attnum > 0 order by attnum`)
      expect(types.rows.map(({ type }) => type)).toEqual([
        'id numeric(20,0) t',
        'small integer t',
        'whole bigint f',
        'price numeric(12,2) f',
        'ratio double precision f',
        'day date f',
        'spent interval f',
        'at timestamp(6) without time zone f',
        'touched timestamp(3) with time zone f',
        'flag boolean f',
        'bits bigint f',
        'name character varying(30) t',
        'kind character varying(1) f',
        'body text f',
        'raw bytea f',
        'data json f',
        'made smallint f',
        'marks character varying(3) f',
        'address character varying(39) f',
        'tag character varying(36) f',
        'mask smallint f',
        'span interval f',
      ])
      const { rows } =
        await client.query(`select id::text, small, whole::text, price::text, ratio, day::text, extract(epoch from spent)::text as spent,
        at::text, touched at time zone 'UTC' = '2024-01-01 00:00:00.5' as touched, flag, bits::text, name, kind, length(body) as body,
        encode(raw, 'hex') as raw, data::text,
        made, marks, address, tag, mask, span::text from mixed order by mixed.id desc`)
      await client.end()
      expect(rows[0]).toEqual({
        ...{
          id: '18446744073709551615',
          small: 65535,
          whole: '4294967295',
          price: '1.10',
          ratio: 0.1,
          day: '2024-02-29',
        },
        ...{
          spent: '-3020399.999000',
          at: '2024-01-01 00:00:00.000001',
          touched: true,
          flag: true,
          bits: '1152921504606846975',
        },
        ...{ name: 'tab\t and \\ 🦫', kind: 'ü', body: 100_000, raw: '00ff', data: '{"n": 18446744073709551615}' },
        ...{ made: 2024, marks: 'a,b', address: '::1', tag: '00000000-0000-4000-8000-000000000001' },
        ...{ mask: 129, span: '-838:59:59' },
      })
    })

    test.each(['date', 'datetime', 'timestamp(3)'])('a zero %s fails with how to read it as null', async (type) => {
      const admin = await mysql.createConnection(source.url)
      await admin.query('drop table if exists zero')
      await admin.query(`create table zero (day ${type} null)`)
      await admin.query("set sql_mode = ''")
      await admin.query("insert into zero values ('0000-00-00')")
      await admin.end()
      const datasource = mysqlDatasource({ connectionString: source.url })
      await using registry = new JobRegistry({ storage: memoryStorage(), datasources: { mysql: datasource } })
      const writes = postgresTarget({ connectionString: target.url, table: 'zero', createTable: true, strategy: 'replace', swap: 'rename' }) // biome-ignore format: one line
      const run = async (id: string, query: string) => {
        registry.define({ id, datasource: 'mysql', query, target: writes })
        return await (await registry.start('ingestion', id)).finished
      }
      const refused = await run('zero', 'select * from zero')
      expect(refused).toMatchObject({ state: 'error' })
      expect(JSON.stringify(refused)).toContain('(SQLSTATE 22008). Postgres has no date `0000-00-00`')
      expect(await run('null', 'select nullif(day, 0) as day from zero')).toMatchObject({
        state: 'successful',
        count: 1,
      })
    })
  })
})
