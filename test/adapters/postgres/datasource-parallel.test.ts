import fc from 'fast-check'
import { type IngestionDetail, JobRegistry, memoryStorage } from 'headgate'
import type { ReadCursor, RecordBatch } from 'headgate/adapter'
import { postgresDatasource, postgresTarget } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { batchesByCursor, cursorBy, type PlacedBatch, rejectionOf } from './datasource-read.js'
import { untilTrue } from './datasource-server.js'

describePostgres('a read in ranges, side by side', (database) => {
  let pool: pg.Pool
  beforeAll(async () => {
    pool = new pg.Pool({ connectionString: database.url, max: 6 })
    await pool.query(
      'create table source (id int primary key, key int not null, at timestamptz not null, mark uuid not null)',
    )
  })
  afterAll(() => pool.end())

  const fill = async (keys: readonly number[]) => {
    await pool.query('truncate source')
    await pool.query(
      `insert into source select place, key, timestamptz '2024-01-01' + key * interval '1.5 hours', md5(key::text)::uuid
        from unnest($1::int[]) with ordinality as t (key, place)`,
      [keys],
    )
  }

  interface Reading extends Partial<ReadCursor> {
    batchSize?: number
    signal?: AbortSignal
  }

  const read = (columns: string | readonly string[], reading: Reading = {}) => {
    const { batchSize = 7, signal = new AbortController().signal, ...rest } = reading
    const cursor = cursorBy(columns, { consistency: 'snapshot', parallel: 3, ...rest })
    const query = { text: 'select * from source', values: [] }
    return batchesByCursor(postgresDatasource({ pool }), query, { signal, batchSize, cursor })
  }

  const idsOf = (batches: readonly RecordBatch[]) => batches.flatMap((batch) => batch.valuesOf('id').map(Number))

  test('gives every record once, whatever stops it, and never says more than it gave', async () => {
    const columns = fc.constantFrom<[string[], ReadCursor['ties']]>(
      [['key', 'id'], 'refuse'],
      [['at', 'id'], 'refuse'],
      [['mark', 'id'], 'refuse'],
      [['key'], 'drain'],
      [['at'], 'drain'],
    )
    const keys = fc.array(fc.oneof(fc.integer({ min: 0, max: 30 }), fc.integer({ min: -1e6, max: 1e6 })), {
      maxLength: 120,
    })
    const tries = fc.array(
      fc.record({ parallel: fc.integer({ min: 1, max: 4 }), batches: fc.integer({ min: 1, max: 9 }) }),
      {
        minLength: 1,
        maxLength: 4,
      },
    )
    const property = fc.asyncProperty(
      columns,
      keys,
      tries,
      fc.constantFrom(1, 2, 7),
      async ([names, ties], keys, tries, batchSize) => {
        await fill(keys)
        const order = names.map((name) => `${name}`).join(', ')
        const { rows: ordered } = await pool.query(
          `select id, ${names[0]}::text as first from source order by ${order}`,
        )
        const durable: number[] = []
        let position: unknown
        for (const { parallel, batches } of [...tries, { parallel: 2, batches: Number.POSITIVE_INFINITY }]) {
          let count = 0
          let beyond: RecordBatch[] = []
          for await (const batch of read(names, { ties, parallel, position, batchSize })) {
            beyond.push(batch)
            if (batch.position === undefined) continue
            durable.push(...idsOf(beyond))
            beyond = []
            position = JSON.parse(JSON.stringify(batch.position))
            const reached = batch.parallel?.reached.id
            if (reached !== undefined) {
              const end = ordered.findIndex(({ id }) => id === Number(reached))
              expect(new Set(durable)).toEqual(new Set([...durable, ...ordered.slice(0, end + 1).map(({ id }) => id)]))
            }
            if (++count >= batches) break
          }
        }
        expect(durable.sort((a, b) => a - b)).toEqual(keys.map((_, index) => index + 1))
        // What comes later is all that a next run reads.
        await pool.query(
          `insert into source select 1000, 2000000, '2999-01-01', 'ffffffff-ffff-4fff-bfff-ffffffffffff'`,
        )
        const later: RecordBatch[] = []
        for await (const batch of read(names, { ties, position, batchSize })) later.push(batch)
        expect(idsOf(later)).toEqual([1000])
      },
    )
    await fc.assert(property, { numRuns: 80 })
  }, 120_000)

  const thousand = Array.from({ length: 1000 }, (_, index) => index)

  test('says in its last batch that all was read, also when ranges are empty', async () => {
    await fill([...thousand.slice(0, 50), 100_000])
    let last: PlacedBatch | undefined
    for await (const batch of read('key')) last = batch
    expect(last?.parallel?.reached).toEqual({ key: '100000' })
    expect(last?.position).toMatchObject({ after: { columns: ['key'], values: ['100000'], ties: 'refuse' } })
    expect(last?.position).not.toHaveProperty('ranges')
  })

  test('sees what there was when it began, in all ranges', async () => {
    await fill(thousand.map((key) => key * 2))
    const ids: number[] = []
    for await (const batch of read('key')) {
      if (ids.length === 0)
        await pool.query(
          'insert into source select 2000 + n, 2 * n + 1, now(), md5(n::text)::uuid from generate_series(1, 990) n',
        )
      ids.push(...idsOf([batch]))
    }
    expect(ids).toHaveLength(1000)
    expect(Math.max(...ids)).toBe(1000)
  })

  test('takes a connection for each reader, and gives all back, however it ends', async () => {
    await fill(thousand)
    for (const end of ['is over', 'is left', 'is aborted']) {
      const stop = new AbortController()
      const batches = read('key', { parallel: 4, signal: stop.signal })[Symbol.asyncIterator]()
      await batches.next()
      expect([end, pool.totalCount - pool.idleCount]).toEqual([end, 4])
      if (end === 'is left') await batches.return(undefined)
      if (end === 'is aborted') {
        const reason = new RangeError('enough')
        stop.abort(reason)
        expect(await rejectionOf(batches.next())).toBe(reason)
      }
      if (end === 'is over') while (!(await batches.next()).done);
      await untilTrue(
        pool,
        `(select count(*) from pg_stat_activity where datname = current_database() and xact_start is not null) = 1`,
      )
      expect([end, pool.totalCount - pool.idleCount]).toEqual([end, 0])
    }
  })

  test('of some records only reads them in order', async () => {
    await fill(thousand)
    const batches: RecordBatch[] = []
    for await (const batch of read('key', { limit: 20 })) batches.push(batch)
    expect(idsOf(batches)).toEqual(thousand.slice(0, 20).map((key) => key + 1))
  })

  test.each([1, 2])(
    'of some records only ends with all that are tied with the last, run for run: %i',
    async (parallel) => {
      await fill(thousand.slice(0, 40).map((key) => Math.floor(key / 10)))
      expect(await runsOf({ parallel, ties: 'drain', limit: 3 })).toEqual([10, 10, 10, 10, 0])
    },
  )

  test('of some records only goes on within the ranges of one that was stopped', async () => {
    await fill(thousand.slice(0, 200))
    let position: unknown
    let ids: number[] = []
    for await (const batch of read('key')) {
      ;({ position } = batch)
      ids.push(...idsOf([batch]))
      if (ids.length > 60) break
    }
    expect(position).toHaveProperty('ranges')
    expect((await runsOf({ limit: 9, position }, (batch) => ids.push(...idsOf([batch])))).at(-1)).toBe(0)
    ids = ids.sort((a, b) => a - b)
    expect(ids).toEqual(thousand.slice(0, 200).map((key) => key + 1))
  })

  /** How many records each read gives, until one gives none. */
  async function runsOf(reading: Reading, take: (batch: RecordBatch) => void = () => undefined): Promise<number[]> {
    const counts: number[] = []
    let { position } = reading
    while (counts.at(-1) !== 0 && counts.length < 100) {
      counts.push(0)
      for await (const batch of read('key', { ...reading, position })) {
        if (batch.position !== undefined) ({ position } = batch)
        counts[counts.length - 1] = (counts.at(-1) ?? 0) + batch.length
        take(batch)
      }
    }
    return counts
  }

  test.each(['-infinity', 'infinity', '0044-03-15 BC'])(
    'takes %s for a time that ranges have no middle of',
    async (at) => {
      await fill(thousand.slice(0, 30))
      await pool.query('update source set at = $1 where id = 7', [at])
      const ids: number[] = []
      for await (const batch of read(['at', 'id'])) ids.push(...idsOf([batch]))
      expect(ids.sort((a, b) => a - b)).toEqual(thousand.slice(1, 31))
    },
  )

  test('by a text is refused', async () => {
    const reading = postgresDatasource({ pool }).readByCursor?.(
      { text: `select 'a'::text as word`, values: [] },
      {
        ...{ signal: new AbortController().signal, batchSize: 1 },
        cursor: cursorBy('word', { consistency: 'snapshot', parallel: 2 }),
      },
    )
    await expect(reading?.[Symbol.asyncIterator]().next()).rejects.toThrow(
      'Expected the first column of a cursor with `parallel` to be a number, a date, a timestamp or a uuid, got `word` of the type text.',
    )
  })

  describe('of a job', () => {
    const registryOf = () =>
      new JobRegistry({
        storage: memoryStorage(),
        datasources: { postgres: postgresDatasource({ pool }) },
        progressInterval: 0,
      })

    test('copies all, and goes on where it was stopped', async () => {
      await fill(thousand)
      await pool.query('drop table if exists copied, headgate_checkpoint; create table copied (like source)')
      const registry = registryOf()
      const table = postgresTarget({ pool, table: 'copied' })
      let writes = 0
      registry.define({
        ...{
          id: 'copy',
          datasource: 'postgres',
          query: 'select * from source',
          cursor: 'key',
          parallel: 3,
          batchSize: 20,
        },
        target: {
          ...table,
          async open(context) {
            const opened = await table.open(context)
            const { writer } = opened
            const write = writer.write.bind(writer)
            writer.write = (...args) => {
              if (++writes === 20) throw new RangeError('enough')
              return write(...args)
            }
            return opened
          },
        },
      })
      const first = await (await registry.start('ingestion', 'copy')).finished
      expect(first).toMatchObject({ state: 'error', count: expect.any(Number) })
      expect(first.count).toBeGreaterThan(100)
      const { rows } = await pool.query('select count(*)::int, count(distinct id)::int as ids from copied')
      expect(rows).toEqual([{ count: first.count, ids: first.count }])
      const { rows: prefix } = await pool.query('select count(*)::int from copied where key <= $1', [
        (first as { lastId?: string }).lastId,
      ])
      expect(prefix[0].count).toBe(Number((first as { lastId?: string }).lastId) + 1)
      const second = await (await registry.start('ingestion', 'copy')).finished
      expect(second).toMatchObject({ state: 'successful', count: 1000 - first.count, lastId: '999' })
      expect(second.detail as IngestionDetail).toMatchObject({ consistency: 'snapshot', split: true })
      const { rows: all } = await pool.query('select count(*)::int, count(distinct id)::int as ids from copied')
      expect(all).toEqual([{ count: 1000, ids: 1000 }])
      expect(await (await registry.start('ingestion', 'copy')).finished).toMatchObject({
        state: 'successful',
        count: 0,
        lastId: '999',
      })
      await registry.close()
    })

    test('has keys that are the same when a batch comes again', async () => {
      await fill(thousand)
      const registry = registryOf()
      const keys: string[][] = [[], []]
      let run = 0
      registry.define({
        ...{
          id: 'keys',
          datasource: 'postgres',
          query: 'select * from source',
          cursor: 'key',
          parallel: 3,
          batchSize: 20,
        },
        target(_, { idempotencyKey }) {
          keys[run]?.push(idempotencyKey.slice(idempotencyKey.indexOf(':')))
          if (run === 0 && keys[0]?.length === 15) throw new RangeError('enough')
        },
      })
      await (await registry.start('ingestion', 'keys')).finished
      run = 1
      await (await registry.start('ingestion', 'keys')).finished
      expect(new Set(keys.flat()).size).toBe(keys.flat().length - 1)
      await registry.close()
    })

    test.each(['constructor', 'toString', '__proto__'])('reads by a column called `%s`', async (name) => {
      const registry = registryOf()
      const ids: number[] = []
      registry.define({
        id: 'name',
        datasource: 'postgres',
        query: `select n as id, n * 1.5 as "${name}" from generate_series(1, 100) n`,
        cursor: name,
        parallel: 3,
        batchSize: 5,
        target: (batch) => void ids.push(...batch.valuesOf('id').map(Number)),
      })
      const { finished } = await registry.start('ingestion', 'name')
      expect(await finished).toMatchObject({ state: 'successful', lastId: '150.0' })
      expect(ids.sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, index) => index + 1))
      await registry.close()
    })

    test.each([
      [{ cursor: undefined }, 'Expected `cursor` to be set with `parallel`, got nothing'],
      [{ pkField: 'id' }, 'Expected `pkField` to be a column of `cursor` with `parallel`, got `id` (string)'],
      [
        { cursor: { columns: 'key', consistency: 'pages' } },
        'Expected `cursor.consistency` to be `snapshot` with `parallel`',
      ],
      [{ parallel: 0 }, 'Expected `parallel` to be a whole number from 1 to 64, got `0` (number)'],
    ])('%j is refused', (more, message) => {
      const job = { id: 'no', datasource: 'postgres', query: 'select 1', cursor: 'key', parallel: 2, target: () => {} }
      expect(() => registryOf().define({ ...job, ...more } as never)).toThrow(message)
    })
  })
})
