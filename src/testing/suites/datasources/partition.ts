import assert from 'node:assert/strict'
import type { Partitioning, PartitionOptions, ReadCursor, SplitRequest } from '../../../adapter.js'
import type { Cases } from '../suite.js'
import { idsOf, readAll, stored, wholeCursor } from './cursor.js'
import { type DatasourceFixture, given, idsFrom } from './fixture.js'

export const partitionCases: Cases<DatasourceFixture> = {
  async 'partition: the ranges hold every record once, in order'(fixture) {
    for (const split of [1, 2, 4, 100, ['6', '11', '20']]) {
      assert.deepEqual(await readPartitions(fixture, 25, split), idsFrom(1, 25))
    }
  },

  async 'partition: makes the requested number of ranges, if there is enough to split'(fixture) {
    const { bounds, release } = await partition(fixture, 100, 4)
    await release()
    assert.equal(bounds.length, 3)
    assert.ok(
      bounds.every((bound) => typeof bound === 'string'),
      'Expected `bounds` to be texts',
    )
    assert.deepEqual(
      bounds.map(Number),
      bounds.map(Number).toSorted((a, b) => a - b),
    )
  },

  async 'partition: an empty source has no ranges'(fixture) {
    assert.deepEqual(await readPartitions(fixture, 0, 4), [])
  },

  async 'partition: the ranges lie after the position'(fixture) {
    const [first] = await readAll(fixture, fixture.query(25), 10, {})
    const position = stored(first?.position)
    for (const split of [3, ['6', '10', '11', '20']]) {
      assert.deepEqual(await readPartitions(fixture, 25, split, { position }), idsFrom(11, 25))
    }
  },

  async 'partition: a stopped partition resumes within its range'(fixture) {
    const { bounds, snapshot, start, release } = await partition(fixture, 25, ['11', '18'])
    assert.deepEqual(bounds, ['11', '18'])
    const within = { range: { from: '11', until: '18' }, ...(snapshot !== undefined && { snapshot }) }
    const [first] = await readAll(fixture, fixture.query(25), 3, { ...within, position: start, isStart: true })
    const rest = await readAll(fixture, fixture.query(25), 4, { ...within, position: stored(first?.position) })
    await release()
    assert.deepEqual(idsOf(rest), idsFrom(14, 17))
  },
}

export const partitionNullCases: Cases<DatasourceFixture> = {
  async 'partition: nulls are counted in the first range only'(fixture) {
    const gaps = given(fixture.gaps, 'gaps', 'nulls').bind(fixture)
    const ids: number[] = []
    let skipped = 0
    const onNullsSkipped = (count: number) => {
      skipped += count
    }
    for (const range of [{ until: '6' }, { from: '6', until: '11' }, { from: '11' }]) {
      const cursor = { columns: ['gap'], nulls: 'skip', range, onNullsSkipped } as const
      ids.push(...idsOf(await readAll(fixture, gaps(15), 4, cursor)))
    }
    assert.deepEqual([ids, skipped], [idsFrom(1, 15).filter((id) => id % 3 > 0), 5])
  },
}

export const snapshotCases: Cases<DatasourceFixture> = {
  async 'partition: a snapshot that is gone is reported, and another one is read'(fixture) {
    const { snapshot, release } = await partition(fixture, 25, 2)
    await release()
    assert.notEqual(snapshot, undefined, 'Expected `snapshot`, or the reason in `unsupported`')
    const { keepsConsistency } = fixture.datasource.capabilities ?? {}
    assert.ok(keepsConsistency?.includes('snapshot'), 'Expected `snapshot` in `capabilities.keepsConsistency`')
    let lost = 0
    const cursor = { snapshot: snapshot as string, onSnapshotLost: () => void lost++ }
    assert.deepEqual(idsOf(await readAll(fixture, fixture.query(25), 10, cursor)), idsFrom(1, 25))
    assert.equal(lost, 1)
  },
}

function partition(
  { datasource, query }: DatasourceFixture,
  count: number,
  split: SplitRequest,
  cursor: Partial<ReadCursor> = {},
): Promise<Partitioning> {
  assert.ok(datasource.partition, 'Expected `partition`, or the reason in `unsupported`')
  const { signal } = new AbortController()
  const options: PartitionOptions = { signal, split, cursor: { ...wholeCursor, ...cursor } }
  return datasource.partition(query(count), options)
}

/** The ids of all partitions, one after the other. */
async function readPartitions(
  fixture: DatasourceFixture,
  count: number,
  split: SplitRequest,
  cursor: Partial<ReadCursor> = {},
): Promise<number[]> {
  const { bounds, snapshot, release } = await partition(fixture, count, split, cursor)
  try {
    const ids: number[] = []
    for (let n = 0; n <= bounds.length; n++) {
      const [from, until] = [bounds[n - 1], bounds[n]]
      const range = { ...(from !== undefined && { from }), ...(until !== undefined && { until }) }
      const part = { range, ...(snapshot !== undefined && { snapshot }), ...(n === 0 && cursor) }
      ids.push(...idsOf(await readAll(fixture, fixture.query(count), 4, part)))
    }
    return ids
  } finally {
    await release()
  }
}
