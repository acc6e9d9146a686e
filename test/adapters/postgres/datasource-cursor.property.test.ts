import fc from 'fast-check'
import { type CursorOptions, type IngestionDetail, JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource } from 'headgate/postgres'
import { type CollectingTarget, collectingTarget } from 'headgate/testing'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'

/** Few values of each type, so that there are ties, and of those that are easily taken for others. */
const valuesOf: Record<string, readonly string[]> = {
  int8: ['-9223372036854775808', '-1', '0', '9007199254740993', '9007199254740992', '9223372036854775807'],
  timestamptz: [
    '2024-01-01 00:00:00+00',
    '2024-01-01 00:00:00.000001+00',
    '2024-01-01 02:00:00.1+02',
    '0044-03-15 BC',
    'infinity',
  ],
  timestamp: ['2024-01-01', '2024-01-01 00:00:00.000001', '-infinity', '294276-12-31 23:59:59.999999'],
  date: ['2024-01-01', '2024-01-02', '0001-01-01 BC', 'infinity'],
  numeric: ['1', '1.0', '1.00', '1.01', '-0.1', '100', '12345678901234567890.123456789', 'NaN'],
  float8: ['0', '-0', '0.1', '0.30000000000000004', '1e-300', 'NaN', '-Infinity'],
  text: ['', 'a', 'B', 'b', 'ä', 'a b', "it's", '\\', '日本'],
  'text collate "C"': ['', 'a', 'B', 'b', 'ä', 'a b', 'Z'],
  'char(3)': ['', 'a', 'ab', 'abc'],
  uuid: [
    '00000000-0000-0000-0000-000000000000',
    '5f0c3a52-0000-4000-8000-000000000001',
    'ffffffff-ffff-ffff-ffff-ffffffffffff',
  ],
  boolean: ['true', 'false'],
  bytea: ['\\x', '\\x00', '\\x00ff'],
}

const table = fc.constantFrom(...Object.keys(valuesOf)).chain((type) =>
  fc.record({
    type: fc.constant(type),
    keys: fc.array(fc.option(fc.constantFrom(...(valuesOf[type] ?? [])), { freq: 8 }), { maxLength: 30 }),
  }),
)

/** One run of the job: how it reads, and at which batch its target fails, if it does. */
const run = fc.record({
  batchSize: fc.constantFrom(1, 2, 3, 7, 100),
  consistency: fc.constantFrom('statement' as const, 'snapshot' as const, 'pages' as const),
  failAt: fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined }),
  records: fc.option(fc.integer({ min: 1, max: 10 }), { nil: undefined }),
  progressInterval: fc.constantFrom(0, 60_000),
})
type Run = typeof run extends fc.Arbitrary<infer Value> ? Value : never

const lastRun = run.map((last) => ({ ...last, failAt: undefined, records: undefined }))

const cursor: fc.Arbitrary<CursorOptions> = fc.oneof(
  fc.record({
    columns: fc.constant(['key', 'id']),
    nulls: fc.constantFrom('skip', 'first'),
    ties: fc.constantFrom('refuse', 'drain'),
  }),
  fc.record({ columns: fc.constant('key'), nulls: fc.constantFrom('skip', 'first'), ties: fc.constant('drain') }),
)

describePostgres('whatever the table, its ties and nulls, the batches and the interruptions', (database) => {
  let admin: pg.Client
  let pool: pg.Pool
  beforeAll(async () => {
    pool = new pg.Pool({ connectionString: database.url })
    admin = new pg.Client(database.url)
    await admin.connect()
  })
  afterAll(async () => {
    await admin.end()
    await pool.end()
  })

  test('every record comes once, in order', async () => {
    const property = fc.asyncProperty(
      table,
      cursor,
      fc.array(run, { maxLength: 5 }),
      lastRun,
      async (rows, by, runs, last) => {
        const known = await create(rows.type, rows.keys)
        const expected = by.nulls === 'skip' ? known.filter(({ key }) => key !== null) : known
        const storage = memoryStorage()
        const target = collectingTarget()
        for (const one of runs) await execute(storage, target, by, one)
        const status = await execute(storage, target, by, last)
        expect(status).toMatchObject({ state: 'successful' })
        if (by.nulls === 'skip') expect(status.detail?.withoutCursor).toBe(known.length - expected.length)
        const rank = new Map(known.map(({ id, rank }) => [id, rank]))
        const ids = target.records.map(({ id }) => id as string)
        expect(ids.map((id) => rank.get(id))).toEqual(expected.map(({ rank }) => rank))
        if (by.columns !== 'key') expect(ids).toEqual(expected.map(({ id }) => id))
        expect(new Set(ids).size).toBe(expected.length)
      },
    )
    await fc.assert(property, { numRuns: 60 })
  }, 120_000)

  test('ties are refused, unless there are none', async () => {
    const property = fc.asyncProperty(table, fc.array(run, { maxLength: 3 }), lastRun, async (rows, runs, last) => {
      const known = await create(rows.type, rows.keys)
      const expected = known.filter(({ key }) => key !== null)
      const hasTies = new Set(expected.map(({ rank }) => rank)).size < expected.length
      const storage = memoryStorage()
      const target = collectingTarget()
      for (const one of [...runs, last]) {
        const status = await execute(storage, target, { columns: 'key', nulls: 'skip' }, one)
        const message = status.state === 'error' ? status.error.join() : ''
        if (!hasTies) expect(message).not.toContain('same')
        else if (one === last) expect(message).toContain('Several records have the same `key`')
      }
      // What comes out of it, on drain, is every record all the same.
      const status = await execute(storage, target, { columns: 'key', nulls: 'skip', ties: 'drain' }, last)
      expect(status).toMatchObject({ state: 'successful' })
      expect(new Set(target.records.map(({ id }) => id))).toEqual(new Set(expected.map(({ id }) => id)))
      // And so it does with a tiebreak.
      const again = await execute(storage, target, { columns: ['key', 'id'], nulls: 'skip' }, last)
      expect(again).toMatchObject({ state: 'successful' })
      expect(new Set(target.records.map(({ id }) => id))).toEqual(new Set(expected.map(({ id }) => id)))
    })
    await fc.assert(property, { numRuns: 40 })
  }, 120_000)

  /** Gives the rows in the order in which they are to come, with the rank of their key. */
  async function create(type: string, keys: readonly (string | null)[]) {
    await admin.query(`drop table if exists rows; create table rows (key ${type}, id int8 primary key)`)
    const plain = type.replace(/ collate.*/, '')
    // The ids are in an order of their own.
    const ids = keys.map((_, index) => (index * 7) % 31)
    await admin.query(
      `insert into rows select key::${plain}, id from unnest($1::text[], $2::int8[]) as new (key, id)`,
      [keys, ids],
    )
    const { rows } = await admin.query(
      `select id, key::text, dense_rank() over (order by key nulls first)::int as rank
       from rows order by rows.key nulls first, id`,
    )
    return rows as { id: string; key: string | null; rank: number }[]
  }

  async function execute(
    storage: ReturnType<typeof memoryStorage>,
    target: CollectingTarget,
    by: CursorOptions,
    { batchSize, consistency, failAt, records, progressInterval }: Run,
  ) {
    await using registry = new JobRegistry({ storage, progressInterval })
    target.faults = failAt === undefined ? {} : { failAt }
    registry.define({
      id: 'rows',
      datasource: postgresDatasource({ pool }),
      query: 'select * from rows',
      cursor: { ...by, consistency },
      batchSize,
      ...(records !== undefined && { maxRecords: records }),
      target,
    })
    const status = await (await registry.start('ingestion', 'rows')).finished
    return status as typeof status & { detail?: IngestionDetail }
  }
})
