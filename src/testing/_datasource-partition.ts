import assert from 'node:assert/strict'
import type { Cuts, ReadCursor } from '../index.js'
import type { DatasourceFixture } from './_datasource-cases.js'
import { readAll, stored, wholeCursor } from './_datasource-cursor.js'
import type { Cases } from './_suite.js'

/** What holds for a datasource with `partition`: nothing is asked of others. */
export const partitionCases: Cases<DatasourceFixture> = {
  async 'partition: the ranges hold every record once, in order'(fixture) {
    for (const cuts of [1, 2, 4, 100, ['6', '11', '20']]) {
      const read = await readParts(fixture, 25, cuts)
      if (read) assert.deepEqual(read, idsFrom(1, 25))
    }
  },

  async 'partition: nothing is cut where there is nothing'(fixture) {
    assert.deepEqual((await readParts(fixture, 0, 4)) ?? [], [])
  },

  async 'partition: the ranges lie behind the position'(fixture) {
    const [first] = await readAll(fixture, fixture.query(25), 10, {})
    const position = stored(first?.position)
    for (const cuts of [3, ['6', '10', '11', '20']]) {
      const read = await readParts(fixture, 25, cuts, { position })
      if (read) assert.deepEqual(read, idsFrom(11, 25))
    }
  },
}

/** The ids of all parts, one part after the other; `undefined` for a datasource that cuts nothing. */
async function readParts(
  fixture: DatasourceFixture,
  count: number,
  cuts: Cuts,
  cursor: Partial<ReadCursor> = {},
): Promise<number[] | undefined> {
  const query = fixture.query(count)
  const { signal } = new AbortController()
  const options = { signal, cuts, cursor: { ...wholeCursor, ...cursor } }
  const partitioning = await fixture.datasource.partition?.(query, options)
  if (!partitioning) return undefined
  try {
    const { bounds, snapshot } = partitioning
    const ids: number[] = []
    for (let n = 0; n <= bounds.length; n++) {
      const [from, until] = [bounds[n - 1], bounds[n]]
      const range = { ...(from !== undefined && { from }), ...(until !== undefined && { until }) }
      const part = { range, ...(snapshot !== undefined && { snapshot }), ...(n === 0 && cursor) }
      const batches = await readAll(fixture, query, 4, part)
      ids.push(...batches.flatMap((batch) => batch.records().map(({ id }) => Number(id))))
    }
    return ids
  } finally {
    await partitioning.release()
  }
}

function idsFrom(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}
