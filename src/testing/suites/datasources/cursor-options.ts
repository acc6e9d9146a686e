import assert from 'node:assert/strict'
import type { ReadBatch, ReadCursor } from '../../../adapter.js'
import type { Cases } from '../suite.js'
import { idsOf, readAll, stored } from './cursor.js'
import { type DatasourceFixture, given, idsFrom } from './fixture.js'

const batchSizes = [1, 2, 7, 100]

/** The position after the record with the `id` `last` of 15. */
async function positionAfter(fixture: DatasourceFixture, last: number): Promise<unknown> {
  const batches = await readAll(fixture, fixture.query(15), last, {})
  return stored(batches[0]?.position)
}

export const lookbackCases: Cases<DatasourceFixture> = {
  async 'lookback: records before the position are repeated, as a replay'(fixture) {
    const position = await positionAfter(fixture, 10)
    for (const batchSize of batchSizes) {
      const batches = await readAll(fixture, fixture.query(15), batchSize, { position, lookback: 3 })
      assert.deepEqual(idsOf(batches.filter(({ isReplay }) => isReplay)), idsFrom(7, 10))
      assert.deepEqual(idsOf(batches.filter(({ isReplay }) => !isReplay)), idsFrom(11, 15))
      const positions = batches.filter(({ isReplay, position }) => isReplay && position !== undefined)
      assert.equal(positions.length, 0, 'Expected a batch with `isReplay` to have no `position`')
    }
  },

  async 'lookback: does not count for the limit'(fixture) {
    const position = await positionAfter(fixture, 10)
    const batches = await readAll(fixture, fixture.query(15), 7, { position, lookback: 3, limit: 2 })
    assert.deepEqual(idsOf(batches), idsFrom(7, 12))
  },

  async 'lookback: from the beginning, repeats nothing'(fixture) {
    const batches = await readAll(fixture, fixture.query(15), 7, { lookback: 3 })
    assert.deepEqual(idsOf(batches), idsFrom(1, 15))
    assert.ok(batches.every(({ isReplay = false }) => !isReplay))
  },
}

export const noLookbackCases: Cases<DatasourceFixture> = {
  async 'lookback: is rejected, as it is unsupported'(fixture) {
    const position = await positionAfter(fixture, 10)
    const reading = readAll(fixture, fixture.query(15), 7, { position, lookback: 3 })
    await assert.rejects(reading, 'Expected a read with `lookback` to be rejected, as it is in `unsupported`')
  },
}

const isGap = (id: number) => id % 3 === 0
const [gaps, others] = [idsFrom(1, 15).filter(isGap), idsFrom(1, 15).filter((id) => !isGap(id))]

/** Reads 15 records by the columns `gap` and `id`. */
function readGaps(fixture: DatasourceFixture, batchSize: number, cursor: Partial<ReadCursor>): Promise<ReadBatch[]> {
  const query = given(fixture.gaps, 'gaps', 'nulls').call(fixture, 15)
  return readAll(fixture, query, batchSize, { columns: ['gap', 'id'], ...cursor })
}

export const nullCases: Cases<DatasourceFixture> = {
  async 'nulls: fail the read before its first record'(fixture) {
    for (const batchSize of batchSizes) await assert.rejects(readGaps(fixture, batchSize, { nulls: 'fail' }))
  },

  async 'nulls: are skipped, and counted before the first batch'(fixture) {
    for (const batchSize of batchSizes) {
      const counts: number[] = []
      const onNullsSkipped = (count: number) => void counts.push(count)
      const batches = await readGaps(fixture, batchSize, { nulls: 'skip', onNullsSkipped })
      assert.deepEqual([idsOf(batches), counts], [others, [gaps.length]])
    }
  },
}

export const nullsFirstCases: Cases<DatasourceFixture> = {
  async 'nulls: come first, in the order of the other columns, and resume'(fixture) {
    for (const batchSize of batchSizes) {
      const batches = await readGaps(fixture, batchSize, { nulls: 'first' })
      assert.deepEqual(idsOf(batches), [...gaps, ...others])
      for (const [index, { position }] of batches.entries()) {
        const rest = await readGaps(fixture, 4, { nulls: 'first', position: stored(position) })
        assert.deepEqual(idsOf(rest), idsOf(batches.slice(index + 1)))
      }
    }
  },
}

export const noNullsFirstCases: Cases<DatasourceFixture> = {
  async 'nulls: first is rejected, as it is unsupported'(fixture) {
    const message = "Expected a read with `nulls: 'first'` to be rejected, as `nullsFirst` is in `unsupported`"
    await assert.rejects(readGaps(fixture, 7, { nulls: 'first' }), message)
  },
}

const parallel = { parallel: 3, consistency: 'snapshot' } as const

export const parallelCases: Cases<DatasourceFixture> = {
  async 'parallel: every record comes once, in batches with different names'(fixture) {
    for (const batchSize of batchSizes) {
      const batches = await readAll(fixture, fixture.query(95), batchSize, parallel)
      assert.deepEqual(sorted(idsOf(batches)), idsFrom(1, 95))
      const names = batches.map((batch) => batch.parallel?.name)
      assert.ok(names.every((name) => typeof name === 'string'))
      assert.equal(new Set(names).size, batches.length)
    }
  },

  async 'parallel: a read resumes after any batch, and misses nothing before what it reached'(fixture) {
    const batches = await readAll(fixture, fixture.query(30), 4, parallel)
    for (const [index, { position, parallel: progress }] of batches.entries()) {
      const before = idsOf(batches.slice(0, index + 1))
      const reached = Number(progress?.reached.id ?? 0)
      assert.ok(idsFrom(1, reached).every((id) => before.includes(id)))
      const rest = await readAll(fixture, fixture.query(30), 4, { ...parallel, position: stored(position) })
      assert.deepEqual(sorted([...before, ...idsOf(rest)]), idsFrom(1, 30))
    }
  },
}

function sorted(ids: readonly number[]): number[] {
  return ids.toSorted((a, b) => a - b)
}
