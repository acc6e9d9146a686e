import { JobRegistry, memoryStorage } from 'headgate'
import { RecordBatch } from 'headgate/adapter'
import { pgQueryStreamDatasource } from 'headgate/pg-query-stream'
import { postgresDatasource } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { lastKey } from '../../../src/ingestion/run/key-text.js'
import { describePostgres } from '../../support/describe-postgres.js'

const datasources = { postgresDatasource, pgQueryStreamDatasource }

const batchOf = (values: readonly unknown[]) =>
  RecordBatch.fromRows(
    [{ name: 'id', type: 'text' }],
    values.map((value) => [value]),
  )

describe('the key of the last record', () => {
  test('is that of the last one that has a key', () => {
    expect(lastKey({ batch: batchOf(['1', '2', null, null]) }, 'id')).toBe('2')
    expect(lastKey({ batch: batchOf([null, null]) }, 'id')).toBeUndefined()
  })

  test.each([[new Uint8Array(2)], [[1, 2]], [{ a: 1 }], [new Date(Number.NaN)], [Symbol('a')]])(
    'is refused where there is no text of it: %o',
    (id) => {
      const batch = RecordBatch.fromRecords([{ id }])
      expect(() => lastKey({ batch }, 'id')).toThrow(
        'Expected the values of `pkField` (`id`) to be numbers, texts, booleans or dates',
      )
    },
  )

  test('is refused where it is too long', () => {
    expect(() => lastKey({ batch: batchOf(['x'.repeat(8193)]) }, 'id')).toThrow(
      'up to 8192 characters, got one of 8193',
    )
  })
})

describePostgres('a key of Postgres', (database) => {
  let pool: pg.Pool
  beforeAll(() => {
    pool = new pg.Pool({ connectionString: database.url })
  })
  afterAll(() => pool.end())

  const types: readonly [string, string][] = [
    ['bytea', `decode(lpad(to_hex(n + 127), 2, '0') || '10', 'hex')`],
    ['int[]', 'array[n, n * 7]'],
    ['text[]', `array['a', lpad(n::text, 2, '0') || ',"\\']`],
    ['timestamptz', `timestamptz '2024-01-01' + n * interval '1 microsecond'`],
    ['timestamp', `timestamp '2024-01-01' + n * interval '1 microsecond'`],
    ['date', `date '9990-01-01' + n * 365`],
    ['interval', `n * interval '1 day 1 microsecond'`],
    ['float4', 'n / 7.0'],
    ['float8', 'n / 7.0'],
    ['numeric', 'n / 7.0'],
    ['money', 'n * 1000.5::money'],
    ['jsonb', `jsonb_build_object('a', n)`],
    ['timetz', `(time '10:00' + n * interval '1 second')::text::timetz`],
    ['boolean[]', 'array[n > 1, n > 2, n > 3, n > 4, n > 5, n > 6, n > 7, n > 8, n > 9, n > 10]'],
    ['uuid', `lpad(n::text, 32, '0')::uuid`],
    ['inet', `inet '10.0.0.0' + n`],
    ['bit(8)', 'n::bit(8)'],
    ['int4range', 'int4range(n, n + 1)'],
    ['text', `repeat('é', n)`],
    ['char(4)', `chr(96 + n)`],
  ]
  test.each(
    types.flatMap((type) =>
      Object.keys(datasources).map((name) => [...type, name as keyof typeof datasources] as const),
    ),
  )('goes on exactly where the last record was: %s as %s, by %s', async (type, value, name) => {
    await pool.query(`drop table if exists source; create table source (id ${type} primary key, n int);
        insert into source select ${value}, n from generate_series(1, 10) n`)
    await using registry = new JobRegistry({ storage: memoryStorage() })
    const seen: unknown[] = []
    registry.define({
      id: 'keys',
      datasource: datasources[name]({ pool }),
      query: 'select id, n from source {{#last_id}}where id > {{last_id}}{{/last_id}} order by id',
      pkField: 'id',
      maxRecords: 3,
      target: async (batch) => void seen.push(...batch.valuesOf('n').map(Number)),
    })
    for (let count = -1, tries = 0; count !== 0 && tries < 8; tries++) {
      const status = await (await registry.start('ingestion', 'keys')).finished
      expect(status).toMatchObject({ state: 'successful' })
      ;({ count } = status)
    }
    expect(seen).toHaveLength(10)
    expect(new Set(seen).size).toBe(10)
  })
})
