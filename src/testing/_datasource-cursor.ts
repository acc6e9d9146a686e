import assert from 'node:assert/strict'
import type { Query, ReadCursor, RecordBatch } from '../index.js'
import { type DatasourceFixture, given } from './_datasource-cases.js'
import type { Cases } from './_suite.js'

const batchSizes = [1, 2, 7, 100]
const consistencies = ['statement', 'snapshot', 'pages'] as const

function* readings(): Generator<{ batchSize: number; consistency: ReadCursor['consistency'] }> {
  for (const consistency of consistencies) for (const batchSize of batchSizes) yield { batchSize, consistency }
}

/** All of what there is, by its ids. */
export const wholeCursor: ReadCursor = {
  columns: ['id'],
  nulls: 'fail',
  ties: 'refuse',
  lookback: 0,
  consistency: 'statement',
  position: undefined,
  limit: Number.POSITIVE_INFINITY,
  parallel: 1,
  leaveOut: () => undefined,
}

function read({ datasource }: DatasourceFixture, query: Query, batchSize: number, cursor: Partial<ReadCursor>) {
  assert.ok(datasource.readsByCursor, 'Expected `readsByCursor`, or the reason in `cannot.cursor`')
  const { signal } = new AbortController()
  return datasource.read(query, { signal, batchSize, lastId: undefined, cursor: { ...wholeCursor, ...cursor } })
}

/** All batches of a read. */
export async function readAll(...reading: Parameters<typeof read>): Promise<RecordBatch[]> {
  const batches: RecordBatch[] = []
  for await (const batch of read(...reading)) batches.push(batch)
  return batches
}

function idsOf(batches: readonly RecordBatch[]): number[] {
  return batches.flatMap((batch) => batch.records().map(({ id }) => Number(id)))
}

/** A position as it comes back from a storage. */
export function stored(position: unknown): unknown {
  return JSON.parse(JSON.stringify(position))
}

export const cursorCases: Cases<DatasourceFixture> = {
  async 'cursor: gives every record in the order of its columns, the highest last'(fixture) {
    const expected = Array.from({ length: 25 }, (_, index) => index + 1)
    for (const { batchSize, ...cursor } of readings()) {
      const batches = await readAll(fixture, fixture.query(25), batchSize, cursor)
      assert.deepEqual(idsOf(batches), expected)
      assert.ok(batches.every(({ length }) => length > 0 && length <= batchSize))
    }
  },

  async 'cursor: nothing, when there is nothing'(fixture) {
    assert.deepEqual(await readAll(fixture, fixture.query(0), 10, {}), [])
  },

  async 'cursor: goes on after the position of any batch'(fixture) {
    for (const { batchSize, ...cursor } of readings()) {
      const batches = await readAll(fixture, fixture.query(15), batchSize, cursor)
      for (const [index, { position }] of batches.entries()) {
        assert.notEqual(position, undefined)
        const rest = await readAll(fixture, fixture.query(15), 4, { ...cursor, position: stored(position) })
        assert.deepEqual(idsOf(rest), idsOf(batches.slice(index + 1)))
      }
    }
  },

  async 'cursor: reads no more than the limit'(fixture) {
    for (const { batchSize, ...cursor } of readings()) {
      const batches = await readAll(fixture, fixture.query(25), batchSize, { ...cursor, limit: 9 })
      assert.equal(idsOf(batches).length, 9)
    }
  },

  async 'cursor: ties are refused, before any position lies after them'(fixture) {
    const pairs = given(fixture.pairs, 'pairs', 'cursor')
    for (const { batchSize, ...cursor } of readings()) {
      const reading = read(fixture, pairs(9), batchSize, { ...cursor, columns: ['pair'] })
      const ids: number[] = []
      await assert.rejects(async () => {
        for await (const batch of reading) ids.push(...idsOf([batch]))
      })
      assert.ok(ids.length <= 1, `Expected no more than the first of two ties, got ${ids.length} records`)
    }
  },

  async 'cursor: ties that are drained are on one side of every position'(fixture) {
    const pairs = given(fixture.pairs, 'pairs', 'cursor')
    for (const { batchSize, ...cursor } of readings()) {
      const by = { ...cursor, columns: ['pair'], ties: 'drain' } as const
      const batches = await readAll(fixture, pairs(9), batchSize, by)
      assert.deepEqual(new Set(idsOf(batches)).size, 9)
      assert.ok(batches.every(({ length }) => length > 0 && length <= batchSize))
      assert.notEqual(batches.at(-1)?.position, undefined)
      for (const [index, { position }] of batches.entries()) {
        if (position === undefined) continue
        const rest = await readAll(fixture, pairs(9), 4, { ...by, position: stored(position) })
        assert.deepEqual(new Set(idsOf(rest)), new Set(idsOf(batches.slice(index + 1))))
      }
    }
  },

  async 'cursor: goes on by further columns, and repeats what nobody could tell'(fixture) {
    const pairs = given(fixture.pairs, 'pairs', 'cursor')
    const [first] = await readAll(fixture, pairs(1), 10, { columns: ['pair'] })
    const rest = await readAll(fixture, pairs(9), 10, { columns: ['pair', 'id'], position: stored(first?.position) })
    assert.deepEqual(idsOf(rest), [1, 2, 3, 4, 5, 6, 7, 8, 9])
  },
}
