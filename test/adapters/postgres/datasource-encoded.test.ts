import fc from 'fast-check'
import type { Column, RecordBatch } from 'headgate/adapter'
import { postgresDatasource } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PostgresRows, readText } from '../../../src/adapters/postgres/protocol/encoded-rows.js'
import { RowReader } from '../../../src/adapters/postgres/protocol/row-splitter.js'
import { describePostgres } from '../../support/describe-postgres.js'

/** A row as the server sends it. */
function tuple(values: readonly (string | null)[]): Buffer {
  const fields = values.map((value) => {
    const bytes = Buffer.from(value ?? '')
    const length = Buffer.alloc(4)
    length.writeInt32BE(value === null ? -1 : bytes.length)
    return Buffer.concat([length, bytes])
  })
  return Buffer.concat([Buffer.from([values.length >> 8, values.length & 255]), ...fields])
}

function message(code: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.write(code)
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

const aRow = fc.array(fc.option(fc.string({ unit: 'binary' })), { maxLength: 4 })

describe('rows as a server sends them', () => {
  const anything = fc.oneof(
    { weight: 4, arbitrary: aRow.map((row) => ({ row, bytes: message('D', tuple(row)) })) },
    fc.string().map((note) => ({ note, bytes: message('N', Buffer.from(note)) })),
  )

  test('are told from other messages, however they are cut', () => {
    const cutting = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 30 })
    fc.assert(
      fc.property(fc.array(anything), cutting, (sent, lengths) => {
        const reader = new RowReader()
        const notes: string[] = []
        const rows: unknown[] = []
        const bytes = Buffer.concat(sent.map((one) => one.bytes))
        for (let at = 0, round = 0; at < bytes.length; round++) {
          const end = at + (lengths[round % lengths.length] as number)
          const rest = reader.read(Buffer.from(bytes.subarray(at, end)), (found) => {
            notes.push(found.toString('utf8', 5))
            return true
          })
          expect(rest).toBeUndefined()
          at = end
          const { chunks, count } = reader.take()
          const tuples = new PostgresRows('postgres-text', count, chunks, readText)
          const read = tuples.rows()
          expect(read).toHaveLength(count)
          rows.push(...read)
        }
        expect(rows).toEqual(sent.flatMap((one) => ('row' in one ? [one.row] : [])))
        expect(notes).toEqual(sent.flatMap((one) => ('note' in one ? [one.note] : [])))
      }),
    )
  })

  test('are read no further than to the message that ends them', () => {
    const [row, end, next] = [
      message('D', tuple(['a'])),
      message('Z', Buffer.from('I')),
      message('N', Buffer.from('x')),
    ]
    for (const cut of [0, 3, row.length, row.length + 2]) {
      const reader = new RowReader()
      const all = Buffer.concat([row, end, next])
      const parts = [all.subarray(0, cut), all.subarray(cut)].filter(({ length }) => length > 0)
      const rests = parts.map((part) => reader.read(Buffer.from(part), () => false))
      expect(Buffer.concat(rests.flatMap((rest) => rest ?? []))).toEqual(next)
    }
  })

  test('tell without reading whether values follow their like', () => {
    const value = fc.option(fc.constantFrom('', 'a', 'b', 'aa', 'ab'))
    fc.assert(
      fc.property(fc.array(fc.array(fc.tuple(value, value), { minLength: 1 }), { minLength: 1 }), (parts) => {
        const chunks = parts.map((rows) => Buffer.concat(rows.map(tuple)))
        const rows = parts.flat()
        const tuples = new PostgresRows('postgres-text', rows.length, chunks, () => expect.unreachable())
        for (const column of [0, 1]) {
          const values = rows.map((row) => row[column])
          const isRepeated = values.some((one, index) => index > 0 && one === values[index - 1])
          expect(tuples.repeats(column)).toBe(isRepeated)
        }
      }),
    )
  })

  test('are cut, and give the values of their first and their last row', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.option(fc.string()), fc.option(fc.string())), { minLength: 1 }),
        fc.nat(9),
        fc.nat(9),
        (rows, a, b) => {
          const half = Math.floor(rows.length / 2)
          const chunks = [rows.slice(0, half), rows.slice(half)].filter(({ length }) => length > 0)
          const tuples = new PostgresRows(
            'postgres-text',
            rows.length,
            chunks.map((part) => Buffer.concat(part.map(tuple))),
            readText,
          )
          const [start, end] = [Math.min(a, b), Math.max(a, b)]
          // The last value may be known before or not.
          for (const column of [0, 1]) {
            const cut = tuples.slice(start, end)
            expect(cut.rows()).toEqual(rows.slice(start, end))
            expect(cut).toHaveLength(rows.slice(start, end).length)
            expect(tuples.firstValue(column)).toBe(rows[0]?.[column])
            expect(tuples.lastValue(column)).toBe(rows.at(-1)?.[column])
          }
        },
      ),
    )
  })
})

describePostgres('encoded rows of Postgres', (database) => {
  let pool: pg.Pool
  beforeAll(() => {
    pool = new pg.Pool({ connectionString: database.url })
  })
  afterAll(() => pool.end())

  const read = async (
    text: string,
    more: { accepts?: boolean; keys?: string[]; batchSize?: number; batchBytes?: number } = {},
  ) => {
    const { accepts = true, keys = [], batchSize = 1000, batchBytes } = more
    const asked: (readonly Column[])[] = []
    const batches: RecordBatch[] = []
    const reading = postgresDatasource({ pool }).read(
      { text, values: [] },
      {
        signal: new AbortController().signal,
        batchSize,
        ...(batchBytes && { batchBytes }),
        lastId: undefined,
        encoded: {
          keys,
          accepts(format, columns) {
            expect(format).toBe('postgres-binary')
            asked.push(columns)
            return accepts
          },
        },
      },
    )
    for await (const batch of reading) batches.push(batch)
    return { asked, batches }
  }

  test('are binary when the target takes them so, and text when not', async () => {
    await pool.query(`drop type if exists feeling; create type feeling as enum ('sad')`)
    const query = `select 1 as a, 'x' as b, now() as c, 1.5::numeric(9, 2) as d, array[1::int8] as e, 'sad'::feeling as f`
    const taken = await read(query)
    expect(taken.asked).toHaveLength(1)
    const types = ['integer', 'text', 'timestamp with time zone', 'numeric', 'bigint[]', 'enum']
    expect(taken.asked[0]?.map(({ form }) => form)).toEqual(types)
    expect(taken.batches[0]?.encoded?.format).toBe('postgres-binary')
    const refused = await read(query, { accepts: false })
    expect(refused.batches[0]?.encoded?.format).toBe('postgres-text')
    expect(refused.batches[0]?.records()).toMatchObject([{ a: 1, b: 'x', d: '1.50', e: ['1'] }])
  })

  test.each([
    [`select row('sad'::feeling) as a`, 'a record without a type'],
    ['select 1::money as a', 'money, which is read by the locale'],
    [`select 'pg_class'::regclass as a`, 'a name that is a number in one database'],
    ['select 1.5 as id', 'a key that cannot be read'],
  ])('are text of `%s`: %s', async (query) => {
    await pool.query(
      `do $$ begin create type feeling as enum ('sad'); exception when duplicate_object then null; end $$`,
    )
    const { asked, batches } = await read(query, { keys: ['id'] })
    expect(asked).toEqual([])
    expect(batches[0]?.encoded?.format).toBe('postgres-text')
  })

  test('give the values of keys as text would', async () => {
    const micros = fc.bigInt(-211_813_488_000_000_000n, 9_223_371_331_199_999_999n)
    const query = (values: [bigint, bigint][]) => `select
      (n::text)::int8 as a, (n % 32768)::int2 as b, (n % 2147483648)::int4 as c, 'é' || n as d, md5(n::text)::uuid as e,
      timestamp '2000-01-01' + (us || ' us')::interval as f, timestamptz '2000-01-01 00:00+00' + (us || ' us')::interval as g,
      n % 2 = 0 as h, abs(n % 4294967296)::oid as i, n::text::char(30) as j
      from (values ${values.map((pair) => `(${pair.join('::int8, ')}::int8)`).join(', ')}) as v (n, us)`
    const keys = [...'abcdefghij']
    const pairs = fc.array(fc.tuple(fc.bigInt(-(2n ** 62n), 2n ** 62n), micros), { minLength: 1, maxLength: 3 })
    await fc.assert(
      fc.asyncProperty(pairs, async (values) => {
        const [binary] = (await read(query(values), { keys })).batches
        const [text] = (await read(query(values), { keys, accepts: false })).batches
        expect(binary?.encoded?.format).toBe('postgres-binary')
        expect(keys.map((key) => binary?.lastValueOf(key))).toEqual(keys.map((key) => text?.lastValueOf(key)))
        expect(binary?.rows).toEqual(text?.rows)
      }),
      { numRuns: 60 },
    )
    for (const value of [
      'infinity',
      '-infinity',
      '0001-01-01 00:00:00 BC',
      '4713-11-24 00:00:00 BC',
      '294276-12-31 23:59:59.999999',
    ]) {
      const query = `select '${value}'::timestamp as id`
      const { batches } = await read(query, { keys: ['id'] })
      expect([value, batches[0]?.encoded?.format]).toEqual([value, 'postgres-binary'])
      expect(batches[0]?.lastValueOf('id')).toBe((await read(query, { accepts: false })).batches[0]?.lastValueOf('id'))
    }
  })

  describe('bounded by bytes', () => {
    const large = `select n as id, repeat('x', 100000) as a from generate_series(1, 100) n`

    test('large rows come in small batches, and none is missing', async () => {
      const { batches } = await read(large, { accepts: false, batchBytes: 1_000_000 })
      expect(batches.flatMap((batch) => batch.valuesOf('id'))).toEqual(
        Array.from({ length: 100 }, (_, n) => `${n + 1}`),
      )
      expect(Math.max(...batches.map(({ length }) => length))).toBeLessThanOrEqual(12)
    })

    test('a row that is larger is a batch of its own', async () => {
      const { batches } = await read(large, { batchBytes: 1 })
      expect(Math.max(...batches.map(({ length }) => length))).toBe(1)
      expect(batches).toHaveLength(100)
    })

    test('and does not come with its neighbours', async () => {
      const mixed = `select n as id, repeat('x', case when n % 4 = 0 then 5000 else 1 end) as a from generate_series(1, 12) n`
      for (const accepts of [true, false]) {
        const { batches } = await read(mixed, { accepts, batchBytes: 1000 })
        expect(batches.map(({ length }) => length)).toEqual([3, 1, 3, 1, 3, 1])
        expect(batches.flatMap((batch) => batch.valuesOf('id')).map(Number)).toEqual(
          Array.from({ length: 12 }, (_, n) => n + 1),
        )
      }
    })

    test('no batch of several rows is larger', async () => {
      const random = `select n as id, repeat('x', (n * 7919) % 700) as a from generate_series(1, 3000) n`
      const { batches } = await read(random, { batchBytes: 2000 })
      expect(batches.reduce((sum, { length }) => sum + length, 0)).toBe(3000)
      for (const { length, byteLength } of batches) expect(length === 1 || byteLength <= 2000).toBe(true)
    })

    test('small rows fill batches', async () => {
      const { batches } = await read('select n from generate_series(1, 2500) n', { batchBytes: 1_000_000 })
      expect(batches.map(({ length }) => length)).toEqual([1000, 1000, 500])
    })

    test('a read that is left in the middle of a batch leaves the connection as it was', async () => {
      const [single, stop] = [new pg.Pool({ connectionString: database.url, max: 1 }), new AbortController()]
      const pid = async () => (await single.query('select pg_backend_pid() as pid')).rows[0].pid
      const before = await pid()
      const reading = postgresDatasource({ pool: single })
        .read({ text: large, values: [] }, { signal: stop.signal, batchSize: 1000, batchBytes: 1, lastId: undefined })
        [Symbol.asyncIterator]()
      await reading.next()
      stop.abort(new RangeError('enough'))
      await expect(reading.next()).rejects.toThrow('enough')
      expect(await pid()).toBe(before)
      await single.end()
    })
  })
})
