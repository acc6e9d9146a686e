import assert from 'node:assert/strict'
import type { CountOptions, Query, ReadCursor } from '../../../adapter.js'
import type { Cases } from '../suite.js'
import { idsOf, readAll, stored, wholeCursor } from './cursor.js'
import { type DatasourceFixture, given, isThe, soon, untilHeld } from './fixture.js'

function count(
  { datasource }: DatasourceFixture,
  query: Query,
  { signal = new AbortController().signal, isEstimate = false, ...rest }: Partial<CountOptions> = {},
): Promise<number | undefined> {
  const ask = given(datasource.count, 'count')
  const counted = ask.call(datasource, query, { signal, isEstimate, lastId: undefined, ...rest })
  return soon(counted, '`count` to answer')
}

export const countCases: Cases<DatasourceFixture> = {
  async 'count: returns how many records a read returns, and holds nothing after'(fixture) {
    for (const records of [95, 1, 0]) assert.equal(await count(fixture, fixture.query(records)), records)
    if (fixture.held) await untilHeld(fixture, 0, 'after `count`')
  },

  async 'count: an estimate is a number of records, or not known'(fixture) {
    const estimate = (await count(fixture, fixture.query(95), { isEstimate: true })) ?? 0
    assert.ok(Number.isSafeInteger(estimate) && estimate >= 0, `Expected a whole number, got ${estimate}`)
  },

  async 'count: throws the reason when its signal aborts'(fixture) {
    const reason = new RangeError('stopped by the suite')
    await assert.rejects(count(fixture, fixture.query(5), { signal: AbortSignal.abort(reason) }), isThe(reason))
  },
}

export const cursorCountCases: Cases<DatasourceFixture> = {
  async 'count: by a cursor, returns how many records are left'(fixture) {
    const query = fixture.query(95)
    const left = (cursor: Partial<ReadCursor>) => count(fixture, query, { cursor: { ...wholeCursor, ...cursor } })
    assert.equal(await left({}), 95)
    const batches = await readAll(fixture, query, 10, {})
    for (const [index, { position }] of batches.entries()) {
      const after = batches.slice(index + 1)
      const counted = await left({ position: stored(position), isStart: false })
      if (position !== undefined) assert.equal(counted, idsOf(after).length)
    }
  },
}
