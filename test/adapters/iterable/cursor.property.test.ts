import fc from 'fast-check'
import type { JobRecord } from 'headgate'
import { JobRegistry, memoryStorage } from 'headgate'
import type { ReadCursor } from 'headgate/adapter'
import { iterableDatasource } from 'headgate/iterable'
import { collectingTarget } from 'headgate/testing'
import { expect, test } from 'vitest'

type Kind = 'small' | 'number' | 'bigint' | 'date' | 'text'

const values: Record<Kind, fc.Arbitrary<unknown>> = {
  small: fc.integer({ min: 0, max: 9 }),
  number: fc.double({ noNaN: true }),
  bigint: fc.oneof(fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }), fc.integer()),
  date: fc.date({ noInvalidDate: true }),
  text: fc.string({ unit: 'binary', maxLength: 3 }),
}

const kind = fc.constantFrom<Kind>('small', 'small', 'small', 'small', 'number', 'bigint', 'date', 'text')

/** Records with two columns of any kind, of which the first may be null, and their place. */
const records = fc.tuple(kind, kind, fc.boolean()).chain(([first, second, hasNulls]) =>
  fc
    .array(fc.record({ a: hasNulls ? fc.option(values[first], { freq: 4 }) : values[first], b: values[second] }), {
      maxLength: 40,
    })
    .map((all) => all.map((record, place): JobRecord => ({ ...record, place }))),
)

function compare(one: unknown, other: unknown): number {
  if (one === null || other === null) return Number(other === null) - Number(one === null)
  return (one as number) < (other as number) ? -1 : Number((one as number) > (other as number))
}

const byColumns = (columns: readonly string[]) => (one: JobRecord, other: JobRecord) =>
  columns.reduce((order, name) => order || compare(one[name], other[name]), 0)

const query = { text: '', values: [] }

const settings = fc.record({
  columns: fc.constantFrom(['a'], ['b'], ['a', 'b'], ['a', 'b', 'place'], ['b', 'place']),
  nulls: fc.constantFrom<ReadCursor['nulls']>('fail', 'skip', 'first'),
  ties: fc.constantFrom<ReadCursor['ties']>('refuse', 'drain'),
  parallel: fc.constantFrom(1, 2, 3),
  limit: fc.constantFrom(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 1, 5),
  batchSize: fc.constantFrom(1, 1, 2, 7, 100),
})

/** Reads in runs, each from where the one before it ended or was stopped, until one finds nothing. */
async function readInRuns(all: JobRecord[], cursor: ReadCursor, batchSize: number, stops: readonly number[]) {
  const { readByCursor } = iterableDatasource(all)
  const read: JobRecord[] = []
  let position: unknown
  for (let run = 0; ; run++) {
    const options = { signal: new AbortController().signal, batchSize, cursor: { ...cursor, position } }
    const before = read.length
    let pending: JobRecord[] = []
    let left = stops[run] ?? Number.POSITIVE_INFINITY
    for await (const batch of readByCursor?.(query, options) ?? []) {
      expect(batch.batch.length).toBeGreaterThan(0)
      expect(batch.batch.length).toBeLessThanOrEqual(batchSize)
      pending.push(...batch.batch.records())
      if (batch.position === undefined) continue
      read.push(...pending)
      pending = []
      position = JSON.parse(JSON.stringify(batch.position))
      if (--left === 0) break
    }
    expect(pending).toEqual([])
    if (stops[run] === undefined && cursor.limit > all.length) expect(Object(position).ranges).toBeUndefined()
    if (read.length === before) return read
  }
}

test('what a read by a cursor returns, with stops and resumes, is what a sort returns', async () => {
  const stops = fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 4 })
  const property = fc.asyncProperty(records, settings, stops, async (all, { batchSize, ...options }, stops) => {
    const { columns, nulls, ties, parallel, limit } = options
    const consistency = parallel > 1 ? 'snapshot' : 'statement'
    const cursor: ReadCursor = { ...options, consistency, lookback: 0, position: undefined, onNullsSkipped() {} }
    const hasNull = (record: JobRecord) => columns.some((name) => record[name] === null)
    const isFirst = (record: JobRecord) => nulls === 'first' && record[columns[0] as string] === null
    const expected = all.filter((record) => !hasNull(record) || isFirst(record)).toSorted(byColumns(columns))
    const isTied = expected.some((record, n) => n > 0 && byColumns(columns)(expected[n - 1] as JobRecord, record) === 0)
    const fails =
      (ties === 'refuse' && isTied) || (nulls !== 'skip' && all.some((record) => hasNull(record) && !isFirst(record)))
    const reading = readInRuns(all, cursor, batchSize, stops)
    if (fails) {
      await expect(reading).rejects.toThrow()
      return
    }
    const read = await reading
    const places = (list: readonly JobRecord[]) => list.map(({ place }) => Number(place))
    const sorted = (list: readonly number[]) => list.toSorted((one, other) => one - other)
    expect(sorted(places(read))).toEqual(sorted(places(expected)))
    if (parallel > 1 && limit > 100) return
    expect(read.map((record) => columns.map((name) => record[name]))).toEqual(
      expected.map((record) => columns.map((name) => record[name])),
    )
  })
  await fc.assert(property, { numRuns: 600 })
})

test('a job writes every record once, through failures, with partitions, parallel readers and ties', async () => {
  const how = fc.oneof(
    fc.record({ partitions: fc.integer({ min: 1, max: 5 }) }),
    fc.record({ parallel: fc.integer({ min: 2, max: 4 }) }),
    fc.constant({}),
  )
  const property = fc.asyncProperty(
    records,
    records,
    how,
    fc.constantFrom(1, 3, 10),
    fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 3 }),
    async (given, _, how, batchSize, failures) => {
      const all = given.filter(({ a }) => a !== null)
      const target = collectingTarget()
      await using registry = new JobRegistry({ storage: memoryStorage() })
      const cursor = { columns: ['a', 'b'], ties: 'drain' } as const
      registry.define({ id: 'a', datasource: iterableDatasource(() => all), cursor, batchSize, target, ...how })
      const run = async () => (await registry.start('ingestion', 'a')).finished
      for (const failAt of failures) {
        target.faults = { failAt, once: true }
        await run()
      }
      target.faults = {}
      expect((await run()).state).toBe('successful')
      expect((await run()).count).toBe(0)
      const places = target.records.map(({ place }) => Number(place)).toSorted((one, other) => one - other)
      expect(places).toEqual(all.map(({ place }) => place))
    },
  )
  await fc.assert(property, { numRuns: 40 })
})
