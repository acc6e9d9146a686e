import { type CursorOptions, errorMessages, type JobRecord } from 'headgate'
import type { Query, ReadCursor, RecordBatch } from 'headgate/adapter'
import { postgresDatasource } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { batchesByCursor, cursorBy, type PlacedBatch, rejectionOf } from './datasource-read.js'

interface Reading extends Omit<CursorOptions, 'columns'> {
  position?: unknown
  batchSize?: number
  limit?: number
  using?: pg.Pool
  signal?: AbortSignal
}

describePostgres('a read from Postgres by a cursor', (database) => {
  let pool: pg.Pool
  const warnings: string[] = []
  const leftOut: number[] = []

  beforeAll(async () => {
    pool = new pg.Pool({ connectionString: database.url })
    pool.on('error', () => undefined)
  })
  afterAll(() => pool.end())

  function read(query: string | Query, columns: string | string[], reading: Reading = {}) {
    const { batchSize = 10, using = pool, signal = new AbortController().signal, ...rest } = reading
    const cursor = cursorBy(columns, { onNullsSkipped: (count) => leftOut.push(count), ...rest })
    const asked = typeof query === 'string' ? { text: query, values: [] } : query
    const warn = (message: string) => warnings.push(message)
    return batchesByCursor(postgresDatasource({ pool: using }), asked, { signal, batchSize, cursor, warn })
  }
  async function batches(...reading: Parameters<typeof read>): Promise<PlacedBatch[]> {
    const all: PlacedBatch[] = []
    for await (const batch of read(...reading)) all.push(batch)
    return all
  }
  const records = async (...reading: Parameters<typeof read>): Promise<JobRecord[]> =>
    (await batches(...reading)).flatMap((batch) => batch.records())
  const ids = async (...reading: Parameters<typeof read>) => (await records(...reading)).map(({ id }) => Number(id))
  const failure = async (...reading: Parameters<typeof read>) =>
    errorMessages(await rejectionOf(batches(...reading))).join(' ')
  const table = (name: string, columns: string, ...rows: string[]) =>
    pool.query(`drop table if exists ${name}; create table ${name} (${columns});
      ${rows.length > 0 ? `insert into ${name} values ${rows.join(', ')}` : ''}`)

  describe('takes a query as it is', () => {
    const from = 'from generate_series(1, 3) id'
    test.each([
      `select id ${from}`,
      `select id ${from};`,
      `select id ${from} -- all of them`,
      `select id ${from}; -- all; of them\n`,
      `select id, ';' as text, $$;$$ as more ${from} /* ; */;`,
      `with all_of_them as (select id ${from}) select * from all_of_them`,
      `select id ${from} order by id desc`,
      'values (1), (2), (3)',
      'table three',
    ])('%s', async (text) => {
      await table('three', 'column1 int', '(1)', '(2)', '(3)')
      const isUnnamed = /^(values|table)/.test(text)
      const [first, ...rest] = await batches(text, isUnnamed ? 'column1' : 'id', { batchSize: 1 })
      expect(first?.length).toBe(1)
      expect(rest).toHaveLength(2)
      expect(await batches(text, isUnnamed ? 'column1' : 'id', { position: first?.position })).toHaveLength(1)
    })

    test('with values of its own', async () => {
      const query = { text: `select id ${from} where id <> $2 and $1 = 'a'`, values: ['a', 2] }
      const [first] = await batches(query, 'id', { batchSize: 1 })
      expect(await ids(query, 'id')).toEqual([1, 3])
      expect(await ids(query, 'id', { position: first?.position })).toEqual([3])
    })

    test('and with columns of any name', async () => {
      const text = `select 1 as "a ""b"""`
      expect(await records(text, 'a "b"')).toEqual([{ 'a "b"': 1 }])
    })

    test('but no more than one', async () => {
      expect(await failure('select 1 as id; select 2 as id', 'id')).toContain('Expected `query` to be one statement')
    })

    test('and what is wrong with it is told', async () => {
      expect(await failure('select id from nowhere', 'id')).toContain('relation "nowhere" does not exist')
      expect(await failure('select 1 as id', 'no')).toContain(
        "Expected a column `no` among the records' columns, got id.",
      )
    })
  })

  describe('compares as the server does', () => {
    test.each([
      ["interval '1 day' as id", 'Expected the cursor column `id` to be a number, a date, a time,'],
      ['array[1] as id', 'Expected the cursor column `id` to be a number'],
      [`'a' collate "equal" as id`, 'Expected the cursor column `id` to be a number'],
    ])('and refuses what has more than one text: %s', async (list, message) => {
      await pool.query(
        `create collation if not exists "equal" (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
      )
      expect(await failure(`select ${list}`, 'id')).toContain(message)
    })

    test.each([
      ['numeric', ['1', '1.0']],
      ['numeric', ['100', '100.00']],
      ['float8', ['0', '-0']],
      ['char(4)', ['a', 'a ']],
    ])('and takes for tied what is the same: %s %j', async (type, [one, other]) => {
      await table('pairs', `key ${type}`, `('${one}')`, `('${other}')`)
      expect(await failure('table pairs', 'key')).toContain('Several records have the same `key`')
      expect(
        (await batches('table pairs', 'key', { ties: 'drain', batchSize: 1 })).map(({ position }) => !!position),
      ).toEqual([false, true])
    })

    test('to the microsecond', async () => {
      const at = (fraction: string) => `(timestamptz '2024-01-01 00:00:00.${fraction}+00')`
      await table('moments', 'id timestamptz', at('000001'), at('000002'), at('000003'))
      const [, second] = await batches('table moments', 'id', { batchSize: 1 })
      expect(await records('table moments', 'id', { position: second?.position })).toEqual([
        { id: '2024-01-01T00:00:00.000003Z' },
      ])
    })
  })

  describe('refuses ties', () => {
    const fix =
      "Several records have the same `key` (2), so reading cannot resume between them. Add a unique column to the end of `cursor`, such as the primary key: `cursor: ['key', 'id']`; or read such records together with `ties: 'drain'`."
    const tied = 'select key, row_number() over () as id from unnest(array[1, 2, 2, 2, 3]) key'

    test.each([1, 2, 7])('over the border of batches of %d', async (batchSize) => {
      const seen: JobRecord[] = []
      const reading = (async () => {
        for await (const batch of read(tied, 'key', { batchSize })) seen.push(...batch.records())
      })()
      expect(errorMessages(await rejectionOf(reading))).toEqual([fix])
      // No position lies after the first of the ties, but where a batch ended with it.
      expect(seen.map(({ key }) => key)).toEqual(batchSize === 7 ? [1] : [1, 2])
    })

    test.each([1, 2, 7])('not when the limit ends with one, in batches of %d', async (batchSize) => {
      expect(await failure(tied, 'key', { batchSize, limit: 2 })).toBe(fix)
    })

    test('with the last record that was read, also of those that came since', async () => {
      const one = 'select * from (values (1)) v (key)'
      const [last] = await batches(one, 'key')
      expect(await batches(one, 'key', { position: last?.position })).toEqual([])
      const two = 'select * from (values (1), (1)) v (key)'
      expect(await failure(two, 'key', { position: last?.position })).toContain('the same `key` (1)')
    })

    test.each([1, 2, 7])('and drains them on request, in batches of %d', async (batchSize) => {
      const all = await batches(tied, 'key', { batchSize, ties: 'drain' })
      expect(all.flatMap((batch) => batch.valuesOf('key'))).toEqual(['1', '2', '2', '2', '3'])
      expect(all.every(({ length }) => length <= batchSize)).toBe(true)
      const places = all.filter(({ position }) => position !== undefined)
      for (const { position } of places) {
        const rest = await batches(tied, 'key', { position, ties: 'drain' })
        expect(['3', '2,2,2,3', '']).toContain(rest.flatMap((batch) => batch.valuesOf('key')).join())
      }
      expect(places.map((batch) => batch.valuesOf('key').at(-1))).toEqual(
        batchSize === 7 ? ['2', '3'] : ['1', '2', '3'],
      )
    })

    test('and finishes the last group past the limit', async () => {
      for (const consistency of ['statement', 'snapshot', 'pages'] as const) {
        const all = await batches(tied, 'key', { batchSize: 2, ties: 'drain', limit: 2, consistency })
        expect(all.flatMap((batch) => batch.valuesOf('key'))).toEqual(['1', '2', '2', '2'])
        expect(all.at(-1)?.position).toBeDefined()
      }
    })
  })

  describe('with null in a column', () => {
    beforeAll(() => table('spotty', 'a int, id int', '(null, 3)', '(1, 1)', '(null, 2)', '(2, 4)', '(1, 5)'))
    const text = 'table spotty'

    test('fails before it reads, and says what to do', async () => {
      const message =
        "A record has null in the cursor column `a`, so it has no position in the order. Skip such records with `nulls: 'skip'`, read them before all others with `nulls: 'first'`, or replace null in the query, for example with `coalesce`."
      expect(await failure(text, ['a', 'id'])).toBe(message)
      const [first] = await batches(`${text} where a > 0`, ['a', 'id'], { batchSize: 1 }).catch(() => [])
      void first
      const [position] = (await batches('select * from spotty where a > 0', ['a', 'id'])).map((batch) => batch.position)
      expect(await failure(text, ['a', 'id'], { position })).toBe(message)
      expect(await failure(text, ['id', 'a'])).toContain(
        "the cursor column `a`, so it has no position in the order. Skip such records with `nulls: 'skip'`, or replace null",
      )
    })

    test('leaves it out on request, and counts it', async () => {
      leftOut.length = 0
      expect(await ids(text, ['a', 'id'], { nulls: 'skip' })).toEqual([1, 5, 4])
      expect(await ids(text, ['id', 'a'], { nulls: 'skip' })).toEqual([1, 4, 5])
      expect(leftOut).toEqual([2, 2])
    })

    test.each(['statement', 'snapshot', 'pages'] as const)('reads it first on request: %s', async (consistency) => {
      for (const batchSize of [1, 2, 7]) {
        const all = await batches(text, ['a', 'id'], { nulls: 'first', batchSize, consistency })
        const order = (some: RecordBatch[]) => some.flatMap((batch) => batch.records().map(({ id }) => id))
        expect(order(all)).toEqual([2, 3, 1, 5, 4])
        for (const [index, { position }] of all.entries()) {
          const rest = await batches(text, ['a', 'id'], { nulls: 'first', position, batchSize, consistency })
          expect(order(rest)).toEqual(order(all.slice(index + 1)))
        }
      }
    })

    test('reads those first that came since, and only them', async () => {
      const all = await batches(text, ['a', 'id'], { nulls: 'first' })
      await pool.query('insert into spotty values (null, 9), (7, 8)')
      expect(await ids(text, ['a', 'id'], { nulls: 'first', position: all.at(-1)?.position })).toEqual([9, 8])
      await pool.query('delete from spotty where id > 7')
    })

    test('in another than the first column, fails all the same', async () => {
      expect(await failure(text, ['id', 'a'], { nulls: 'first' })).toContain('null in the cursor column `a`')
    })

    test('takes several of them for ties, without another column', async () => {
      expect(await failure(text, 'a', { nulls: 'first' })).toContain('Several records have the same `a`')
      const all = await batches(text, 'a', { nulls: 'first', ties: 'drain', batchSize: 1 })
      expect(all.map(({ position }) => position !== undefined)).toEqual([false, true, false, true, true])
      expect(await ids(text, 'a', { nulls: 'first', ties: 'drain', position: all[1]?.position })).toEqual([1, 5, 4])
    })
  })

  describe('looks back', () => {
    const seconds = (...all: number[]) =>
      `select * from (values ${all.map((at) => `(timestamptz '2024-01-01 00:00:00+00' + interval '${at} s', ${at})`)}) v (at, id)`

    test('in milliseconds for times: what comes again is a replay', async () => {
      const [before] = await batches(seconds(10, 20, 30), ['at', 'id'])
      const position = before?.position
      for (const consistency of ['statement', 'snapshot', 'pages'] as const) {
        for (const batchSize of [1, 2, 7]) {
          const all = await batches(seconds(10, 15, 20, 25, 30, 35), ['at', 'id'], {
            position,
            lookback: 10_000,
            batchSize,
            consistency,
          })
          const repeated = all.filter(({ isReplay }) => isReplay)
          expect(repeated.flatMap((batch) => batch.records().map(({ id }) => id))).toEqual([20, 25, 30])
          expect(repeated.every((batch) => batch.position === undefined)).toBe(true)
          const others = all.filter(({ isReplay }) => !isReplay)
          expect(others.map((batch) => batch.records()[0]?.id)).toEqual([35])
        }
      }
    })

    test.each([
      ['int2', 3],
      ['int4', 3],
      ['int8', 3],
      ['numeric', 3],
      ['float4', 2.5],
      ['float8', 2.5],
      ['date', 3 * 86_400_000],
      ['timestamp', 2.5 * 86_400_000],
    ])('in a column of the type %s', async (type, lookback) => {
      const isTime = /date|time/.test(type)
      const list = isTime ? `(date '2024-01-01' + id)::${type}` : `id::${type}`
      const text = `select ${list} as key, id from generate_series(1, 9) id`
      const [before] = await batches(text, 'key', { limit: 6 })
      const expected =
        Number.isInteger(lookback) && lookback !== 2.5 * 86_400_000 ? [3, 4, 5, 6, 7, 8, 9] : [4, 5, 6, 7, 8, 9]
      expect(await ids(text, 'key', { position: before?.position, lookback })).toEqual(expected)
    })

    const longest = Number.MAX_VALUE
    const year = 365 * 86_400_000
    test.each([
      ['int8', '-9223372036854775808', '-9223372036854775000', [809, Number.MAX_SAFE_INTEGER]],
      ['float8', '-1.7976931348623157e308', '-1e308', [longest]],
      ['float4', '-3e38', '1', [longest]],
      ['date', '4714-11-24 BC', '4714-11-26 BC', [3 * 86_400_000, year, longest]],
      ['date', '-infinity', '5874897-12-31', [longest]],
      ['date', '5874897-12-30', '5874897-12-31', [86_400_000]],
      ['date', 'infinity', 'infinity', [86_400_000, longest]],
      ['timestamp', '4714-11-24 00:00:00 BC', '4714-11-25 00:00:00 BC', [86_400_000, year, longest]],
      ['timestamp', '4714-11-24 00:00:00 BC', '294276-12-31 23:59:59.999999', [longest]],
      ['timestamptz', '4714-11-24 00:00:00+00 BC', '4714-11-24 00:00:01+00 BC', [1000, 86_400_000, year, longest]],
      ['timestamptz', '-infinity', '-infinity', [1, longest]],
    ])('to the end of %s, not beyond: from %s to %s, %j', async (type, first, last, lookbacks) => {
      const text = `select * from (values ('${first}'::${type}, 1), ('${last}'::${type}, 2)) v (key, id)`
      const [before] = await batches(text, ['key', 'id'])
      for (const lookback of lookbacks)
        expect(await ids(text, ['key', 'id'], { position: before?.position, lookback })).toEqual([1, 2])
    })

    test('and then finds what is tied with the last record and came late', async () => {
      const [before] = await batches('select 1 as key, 1 as id', 'key')
      const grown = 'select * from (values (1, 1), (1, 2)) v (key, id)'
      expect(await ids(grown, 'key', { position: before?.position, lookback: 1 })).toEqual([1, 2])
    })

    test('from the beginning, at nothing', async () => {
      expect(await ids(seconds(1, 2), ['at', 'id'], { lookback: 1000 })).toEqual([1, 2])
    })

    test.each([
      ["'a' as key", 1, 'to be a date, a timestamp or a number, got `key` of the type text.'],
      ['1 as key', 0.5, 'Expected `lookback` to be a whole number, because `key` holds integers.'],
    ])('but not by %s, %d', async (list, lookback, message) => {
      const [before] = await batches(`select ${list}`, 'key')
      expect(await failure(`select ${list}`, 'key', { position: before?.position, lookback })).toContain(message)
    })
  })

  describe('sees', () => {
    const grow = async (consistency: ReadCursor['consistency'], batchSize = 2) => {
      await table('growing', 'id int primary key', '(1)', '(2)', '(3)', '(4)')
      const seen: number[] = []
      for await (const batch of read('table growing', 'id', { consistency, batchSize })) {
        seen.push(...batch.records().map(({ id }) => Number(id)))
        if (seen.length === batchSize)
          await pool.query('insert into growing values (9); delete from growing where id = 4')
      }
      return seen
    }

    test.each(['statement', 'snapshot'] as const)('what there was when it began: %s', async (consistency) => {
      expect(await grow(consistency)).toEqual([1, 2, 3, 4])
    })

    test('what there is when a page is read: pages', async () => {
      expect(await grow('pages')).toEqual([1, 2, 3, 9])
    })

    test('and holds no connection between two pages', async () => {
      const own = new pg.Pool({ connectionString: database.url, max: 1 })
      for await (const _ of read('select id from generate_series(1, 9) id', 'id', {
        consistency: 'pages',
        batchSize: 2,
        using: own,
      })) {
        expect(own.idleCount).toBe(1)
      }
      await own.end()
    })

    test('nothing more of its connection once all was read, was left, was aborted or failed', async () => {
      const own = new pg.Pool({ connectionString: database.url, max: 1 })
      for (const consistency of ['statement', 'snapshot', 'pages'] as const) {
        const numbers = 'select id from generate_series(1, 9) id'
        const using = { using: own, consistency, batchSize: 2 }
        await batches(numbers, 'id', using)
        for await (const _ of read(numbers, 'id', using)) break
        await failure('select 1 / (5 - id) as id from generate_series(1, 9) id', 'id', using)
        const stop = new AbortController()
        const reason = new RangeError('enough')
        const reading = (async () => {
          for await (const _ of read(numbers, 'id', { ...using, signal: stop.signal })) stop.abort(reason)
        })()
        expect(await rejectionOf(reading)).toBe(reason)
        expect(own.idleCount).toBe(own.totalCount)
      }
      await own.end()
    })
  })

  describe('warns', () => {
    beforeAll(async () => {
      await pool.query(`create table large as select id, now() + id * interval '1 s' as "At" from generate_series(1, 50000) id;
        create table small as select * from large where id <= 5000; analyze large; analyze small`)
    })
    const warningsOf = async (...reading: Parameters<typeof read>) => {
      warnings.length = 0
      await batches(...reading)
      return [...warnings]
    }
    const limit = { limit: 100, batchSize: 100 }

    test('when no index serves the order', async () => {
      expect(await warningsOf('select * from large', ['At', 'id'], limit)).toEqual([
        'No index serves the order by `At`, `id`, so the server sorts all remaining rows whenever reading starts. An index would help: create index on "large" ("At", "id").',
      ])
      expect(await warningsOf('select * from large', ['At', 'id'], { ...limit, consistency: 'pages' })).toHaveLength(1)
    })

    test('not when the table is small', async () => {
      expect(await warningsOf('select * from small', ['At', 'id'], limit)).toEqual([])
    })

    test('not when it cannot see the plan, and reads all the same', async () => {
      const blind = {
        async connect() {
          const client = await pool.connect()
          const query = (asked: { text?: string }) =>
            client.query(
              asked.text?.startsWith('explain') ? ({ ...asked, text: 'explain it to me' } as never) : (asked as never),
            )
          return new Proxy(client, {
            get: (of, name) =>
              name === 'query'
                ? query
                : typeof of[name as never] === 'function'
                  ? (of[name as never] as () => void).bind(of)
                  : of[name as never],
          })
        },
      }
      expect(await warningsOf('select * from large', ['At', 'id'], { ...limit, using: blind as never })).toEqual([])
    })

    test('not when an index serves the order, also of what comes after a position', async () => {
      await pool.query('create index on large ("At", id)')
      const [first] = await batches('select * from large', ['At', 'id'], limit)
      expect(await warningsOf('select * from large', ['At', 'id'], limit)).toEqual([])
      expect(await warningsOf('select * from large', ['At', 'id'], { ...limit, position: first?.position })).toEqual([])
    })

    describe('of an index that is there', () => {
      const by = ['At', 'id']
      const warn = async (query: string) => (await warningsOf(query, by, limit)).join()
      const exists = 'The index "large_index" is on these columns'
      beforeEach(() => pool.query('drop index if exists "large_At_id_idx", large_index'))

      test.each(['("At", id)', '("At" desc nulls first, id desc nulls first)', '("At", id, (id + 1)) where id > 0'])(
        'not when the server only thinks that sorting is cheaper: %s',
        async (index) => {
          const costly = new pg.Pool({ connectionString: database.url, options: '-c random_page_cost=100000' })
          await pool.query(`create index large_index on large ${index}`)
          const query = 'select * from large where id > 0'
          const { rows } = await costly.query(`explain ${query} order by "At", id`)
          expect(JSON.stringify(rows)).toContain('Sort')
          expect(await warningsOf(query, by, { ...limit, using: costly })).toEqual([])
          await costly.end()
        },
      )

      test.each(['("At" nulls first, id)', '("At", id) where id > 7', '("At", id, "At")'])(
        'that it is there, where it cannot be used: %s',
        async (index) => {
          await pool.query(`create index large_index on large ${index}`)
          const query = index.includes('"At")') ? 'select * from large order by id limit 40000' : 'select * from large'
          const warning = await warn(query)
          expect(warning).toContain(exists)
          expect(warning).not.toContain('create index')
        },
      )

      test('that it has to be made anew, where it is not valid', async () => {
        await pool.query(`create index large_index on large ("At", id);
          update pg_index set indisvalid = false where indexrelid = 'large_index'::regclass`)
        expect(await warn('select * from large')).toContain(`${exists} but not valid: reindex index "large_index".`)
      })

      test('for one on other columns, and names a partitioned table', async () => {
        await pool.query(`create index large_index on large (id, "At");
          create table cut (like large) partition by range (id);
          create table low partition of cut for values from (minvalue) to (25000);
          create table high partition of cut for values from (25000) to (maxvalue);
          insert into cut table large; analyze cut`)
        expect(await warn('select * from large')).toContain('create index on "large" ("At", "id").')
        expect(await warn('select * from cut')).toContain('create index on "cut" ("At", "id").')
        await pool.query('create index on cut ("At", id)')
        expect(await warn('select * from cut')).toBe('')
      })
    })
  })

  test.each([
    ["select 1 as a, 'x' as b", ['a', 'b'], ['b', 'a'], '`a`, `b`, not to `b`, `a`'],
    ["select 1 as a, 'x' as b", ['a'], ['b'], '`a`, not to `b`'],
    ["select 1 as a, date '2026-01-01' as b", ['a', 'b'], ['b'], '`a`, `b`, not to `b`'],
    ['select null::int as a, 2 as b', ['a', 'b'], ['b', 'a'], '`a`, `b`, not to `b`, `a`'],
  ])(
    'does not go on from the position of other columns, whatever their types: %s by %j',
    async (query, before, now, which) => {
      const [first] = await batches(query, before, { nulls: 'first' })
      expect(await failure(query, now, { nulls: 'first', position: first?.position })).toBe(
        `The checkpoint belongs to the cursor ${which}: start the job with \`fullRefresh: true\` (\`?full_refresh=true\`), call \`reset\`, or give it another id.`,
      )
    },
  )
})
