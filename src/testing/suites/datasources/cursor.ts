import assert from 'node:assert/strict'
import type { BatchOptions, Query, ReadBatch, ReadCursor } from '../../../adapter.js'
import type { Cases } from '../suite.js'
import { type DatasourceFixture, given, idsFrom } from './fixture.js'

const batchSizes = [1, 2, 7, 100]

/** In each consistency that a job can ask for. A job that asks for none reads with `statement`. */
export function* readings({
  datasource,
}: DatasourceFixture): Generator<{ batchSize: number; consistency: ReadCursor['consistency'] }> {
  const consistencies = new Set(['statement' as const, ...(datasource.capabilities?.keepsConsistency ?? [])])
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
  onNullsSkipped: () => undefined,
}

/** Settings of a read by a cursor: the cursor, and options of the read. */
type CursorSettings = Partial<ReadCursor> & Pick<Partial<BatchOptions>, 'signal' | 'batchBytes' | 'onColumns'>

export function read(
  { datasource }: DatasourceFixture,
  query: Query,
  batchSize: number,
  { signal = new AbortController().signal, batchBytes, onColumns, ...cursor }: CursorSettings,
): AsyncIterable<ReadBatch> {
  assert.ok(datasource.readByCursor, 'Expected `readByCursor`, or the reason in `unsupported`')
  const given = { ...(batchBytes !== undefined && { batchBytes }), ...(onColumns && { onColumns }) }
  return datasource.readByCursor(query, { signal, batchSize, ...given, cursor: { ...wholeCursor, ...cursor } })
}

/** All batches of a read. */
export async function readAll(...reading: Parameters<typeof read>): Promise<ReadBatch[]> {
  const batches: ReadBatch[] = []
  for await (const batch of read(...reading)) batches.push(batch)
  return batches
}

export function idsOf(batches: readonly ReadBatch[]): number[] {
  return batches.flatMap(({ batch }) => batch.records().map(({ id }) => Number(id)))
}

/** A position as it comes back from a storage. */
export function stored(position: unknown): unknown {
  return JSON.parse(JSON.stringify(position))
}

export const cursorCases: Cases<DatasourceFixture> = {
  async 'cursor: returns every record in the order of its columns'(fixture) {
    const expected = idsFrom(1, 25)
    for (const { batchSize, ...cursor } of readings(fixture)) {
      const batches = await readAll(fixture, fixture.query(25), batchSize, cursor)
      assert.deepEqual(idsOf(batches), expected)
      assert.ok(batches.every(({ batch }) => batch.length > 0 && batch.length <= batchSize))
    }
  },

  async 'cursor: sorts by all its columns, not in the order of the source'(fixture) {
    const pairs = given(fixture.pairs, 'pairs', 'readByCursor').bind(fixture)
    for (const { batchSize, ...cursor } of readings(fixture)) {
      const idsBy = async (...columns: string[]) =>
        idsOf(await readAll(fixture, pairs(9), batchSize, { ...cursor, columns }))
      assert.deepEqual(await idsBy('down'), idsFrom(1, 9).reverse())
      assert.deepEqual(await idsBy('pair', 'down'), [2, 1, 4, 3, 6, 5, 8, 7, 9])
    }
  },

  async 'cursor: returns nothing from an empty source'(fixture) {
    assert.deepEqual(await readAll(fixture, fixture.query(0), 10, {}), [])
  },

  async 'cursor: resumes after the position of any batch'(fixture) {
    for (const { batchSize, ...cursor } of readings(fixture)) {
      const batches = await readAll(fixture, fixture.query(15), batchSize, cursor)
      for (const [index, { position }] of batches.entries()) {
        assert.notEqual(position, undefined)
        const rest = await readAll(fixture, fixture.query(15), 4, { ...cursor, position: stored(position) })
        assert.deepEqual(idsOf(rest), idsOf(batches.slice(index + 1)))
      }
    }
  },

  async 'cursor: resumes between records that differ in the last column only'(fixture) {
    const pairs = given(fixture.pairs, 'pairs', 'readByCursor').bind(fixture)
    for (const { batchSize, ...consistency } of readings(fixture)) {
      const cursor = { ...consistency, columns: ['pair', 'down'] }
      const batches = await readAll(fixture, pairs(9), batchSize, cursor)
      for (const [index, { position }] of batches.entries()) {
        const rest = await readAll(fixture, pairs(9), 4, { ...cursor, position: stored(position) })
        assert.deepEqual(idsOf(rest), idsOf(batches.slice(index + 1)))
      }
    }
  },

  async 'cursor: reads no more than the limit'(fixture) {
    for (const { batchSize, ...cursor } of readings(fixture)) {
      const batches = await readAll(fixture, fixture.query(25), batchSize, { ...cursor, limit: 9 })
      assert.equal(idsOf(batches).length, 9)
    }
  },

  async 'cursor: ties are refused before a position passes them'(fixture) {
    const pairs = given(fixture.pairs, 'pairs', 'readByCursor')
    for (const { batchSize, ...cursor } of readings(fixture)) {
      const reading = read(fixture, pairs(9), batchSize, { ...cursor, columns: ['pair'] })
      const ids: number[] = []
      await assert.rejects(async () => {
        for await (const batch of reading) ids.push(...idsOf([batch]))
      })
      assert.ok(ids.length <= 1, `Expected no more than the first of two ties, got ${ids.length} records`)
    }
  },

  async 'cursor: no position lies between drained ties'(fixture) {
    const pairs = given(fixture.pairs, 'pairs', 'readByCursor')
    for (const { batchSize, ...cursor } of readings(fixture)) {
      const by = { ...cursor, columns: ['pair'], ties: 'drain' } as const
      const batches = await readAll(fixture, pairs(9), batchSize, by)
      assert.deepEqual(new Set(idsOf(batches)).size, 9)
      assert.ok(batches.every(({ batch }) => batch.length > 0 && batch.length <= batchSize))
      assert.notEqual(batches.at(-1)?.position, undefined)
      for (const [index, { position }] of batches.entries()) {
        if (position === undefined) continue
        const rest = await readAll(fixture, pairs(9), 4, { ...by, position: stored(position) })
        assert.deepEqual(new Set(idsOf(rest)), new Set(idsOf(batches.slice(index + 1))))
      }
    }
  },

  async 'cursor: the limit includes the rest of the last group of ties'(fixture) {
    const pairs = given(fixture.pairs, 'pairs', 'readByCursor').bind(fixture)
    for (const { batchSize, ...cursor } of readings(fixture)) {
      const by = { ...cursor, columns: ['pair'], ties: 'drain' } as const
      const first = await readAll(fixture, pairs(9), batchSize, { ...by, limit: 3 })
      assert.deepEqual(new Set(idsOf(first)), new Set(idsFrom(1, 4)))
      const rest = await readAll(fixture, pairs(9), batchSize, { ...by, position: stored(first.at(-1)?.position) })
      assert.deepEqual(new Set(idsOf(rest)), new Set(idsFrom(5, 9)))
    }
  },

  async 'cursor: resumes with additional columns, and repeats the ties of the last record'(fixture) {
    const pairs = given(fixture.pairs, 'pairs', 'readByCursor')
    const [first] = await readAll(fixture, pairs(1), 10, { columns: ['pair'] })
    const rest = await readAll(fixture, pairs(9), 10, { columns: ['pair', 'id'], position: stored(first?.position) })
    assert.deepEqual(idsOf(rest), [1, 2, 3, 4, 5, 6, 7, 8, 9])
  },
}
