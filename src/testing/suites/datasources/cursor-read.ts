import assert from 'node:assert/strict'
import type { Query } from '../../../adapter.js'
import type { Cases } from '../suite.js'
import { idsOf, read, readAll, stored, wholeCursor } from './cursor.js'
import { type DatasourceFixture, given, idsFrom, isThe, untilHeld } from './fixture.js'

function begin(fixture: DatasourceFixture, query: Query, batchSize: number, signal: AbortSignal) {
  return read(fixture, query, batchSize, { signal })[Symbol.asyncIterator]()
}

/** What every read does, by a cursor. */
export const cursorReadCases: Cases<DatasourceFixture> = {
  async 'cursor: an empty query is rejected if the datasource requires one, and otherwise read'(fixture) {
    const { requiresQuery = false } = fixture.datasource.capabilities ?? {}
    const reading = readAll(fixture, { text: '', values: [] }, 10, {})
    if (requiresQuery) await assert.rejects(reading, 'Expected `requiresQuery` to reject an empty query')
    else await assert.doesNotReject(reading, 'Expected a read without a query, or `requiresQuery`')
  },

  async 'cursor: a read resumes after the values that a reset gives, if the datasource takes them'(fixture) {
    const { datasource } = fixture
    if (!datasource.givenPosition) return
    const query = fixture.query(15)
    const given = await datasource.givenPosition({ id: '7' }, wholeCursor, {
      query,
      signal: new AbortController().signal,
    })
    const rest = await readAll(fixture, query, 4, { position: stored(given) })
    assert.deepEqual(idsOf(rest), idsFrom(8, 15))
  },

  async 'cursor: a reset to what is no position is rejected, if the datasource checks it'(fixture) {
    const { datasource } = fixture
    const options = { query: fixture.query(15), signal: new AbortController().signal }
    for (const given of datasource.givenPosition ? [{}, { other: '7' }, { id: null }] : []) {
      const rejection = Promise.resolve().then(() => datasource.givenPosition?.(given, wholeCursor, options))
      await assert.rejects(rejection, { code: 'invalid_options' })
    }
  },

  async 'cursor: a reset takes a position as it is shown, and as it is stored'(fixture) {
    const { datasource } = fixture
    if (!datasource.givenPosition) return
    const query = fixture.query(15)
    const options = { query, signal: new AbortController().signal }
    const [first] = await readAll(fixture, query, 4, {})
    const position = stored(first?.position)
    for (const given of [position, datasource.shownPosition?.(position, wholeCursor) ?? position]) {
      const taken = await datasource.givenPosition(given, wholeCursor, options)
      const rest = await readAll(fixture, query, 4, { position: stored(taken) })
      assert.deepEqual(idsOf(rest), idsFrom(5, 15))
    }
  },

  async 'cursor: an abort before the start throws the reason'(fixture) {
    const reason = new RangeError('before')
    const signal = AbortSignal.abort(reason)
    await assert.rejects(readAll(fixture, fixture.query(5), 10, { signal }), isThe(reason))
  },

  async 'cursor: an abort between batches throws the reason at the next'(fixture) {
    const stop = new AbortController()
    const iterator = begin(fixture, fixture.query(100), 10, stop.signal)
    assert.equal((await iterator.next()).done, false)
    const reason = new RangeError('during')
    stop.abort(reason)
    await assert.rejects(iterator.next(), isThe(reason))
    assert.equal((await iterator.next()).done, true)
  },

  async 'cursor: an abort during a fetch throws the reason'(fixture) {
    const stop = new AbortController()
    const reading = readAll(fixture, fixture.query(1000), 1, { signal: stop.signal })
    const reason = new RangeError('on its way')
    queueMicrotask(() => stop.abort(reason))
    await assert.rejects(reading, isThe(reason))
  },
}

export const cursorHeldCases: Cases<DatasourceFixture> = {
  async 'cursor: nothing is held after the end, an early end or an abort'(fixture) {
    await readAll(fixture, fixture.query(25), 10, {})
    await untilHeld(fixture, 0, 'after a read to its end')
    const left = begin(fixture, fixture.query(100), 10, new AbortController().signal)
    await left.next()
    await left.return?.()
    await untilHeld(fixture, 0, 'after the reader left')
    const stop = new AbortController()
    const aborted = begin(fixture, fixture.query(100), 10, stop.signal)
    await aborted.next()
    stop.abort(new RangeError('enough'))
    await assert.rejects(aborted.next())
    await untilHeld(fixture, 0, 'after an abort')
  },
}

export const cursorBytesCases: Cases<DatasourceFixture> = {
  async 'cursor: batches hold about batchBytes at most, and one record at least'(fixture) {
    const wide = given(fixture.wide, 'wide', 'batchBytes').bind(fixture)
    const batches = await readAll(fixture, wide(100), 1000, { batchBytes: 100_000 })
    assert.deepEqual(idsOf(batches), idsFrom(1, 100))
    const largest = Math.max(...batches.map(({ batch }) => batch.length))
    assert.ok(largest <= 20, `Expected up to 20 records of 10 kB with batchBytes 100000, got ${largest}`)
  },
}

export const cursorIntegerCases: Cases<DatasourceFixture> = {
  async 'cursor: resumes after a 64-bit integer'(fixture) {
    const query = given(fixture.bigIntegers, 'bigIntegers')
    const [first, second] = await readAll(fixture, query, 1, {})
    const idsAfter = async (position: unknown) => {
      const rest = await readAll(fixture, query, 1, { position: stored(position) })
      return rest.flatMap(({ batch }) => batch.records().map(({ id }) => String(id)))
    }
    assert.deepEqual(await idsAfter(first?.position), ['9007199254740995'])
    assert.deepEqual(await idsAfter(second?.position), [])
  },
}

export const cursorValueCases: Cases<DatasourceFixture> = {
  async 'cursor: values stand for their placeholders'(fixture) {
    const between = given(fixture.between, 'between', 'values').bind(fixture)
    const placeholder = (n: number) => fixture.datasource.placeholder?.(n) ?? `$${n}`
    const text = between(placeholder(1), placeholder(2))
    const batches = await readAll(fixture, { text, values: [3, 17] }, 10, {})
    assert.deepEqual(idsOf(batches), idsFrom(3, 17))
  },
}
