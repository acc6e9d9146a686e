import assert from 'node:assert/strict'
import { type Datasource, type Query, RecordBatch } from '../index.js'
import type { Cases } from './_suite.js'

/** A fresh datasource, and the queries that a case asks it. */
export interface DatasourceFixture {
  /** The datasource under test. */
  datasource: Datasource
  /** The query of `count` records, whose column `id` goes up from 1. Values and placeholders are welcome in it. */
  query(count: number): Query
  /**
   * The query of `count` records, whose column `id` goes up from 1, and whose column `pair` is the same in each two of them:
   * 1, 1, 2, 2, and so on.
   */
  pairs?(count: number): Query
  /** A query that does not come to its first record for a minute at least. */
  blocked?: Query
  /** A query that gives 5 records, their `id` from 1, and fails then. */
  failing?: Query
  /** How many reads hold something still: connections that are out, statements that run. */
  held?(): number | Promise<number>
  /** Gives everything back after the case, the datasource among it. */
  close?(): Promise<void>
}

interface ReadSettings {
  signal?: AbortSignal
  batchSize?: number
  lastId?: string
}

function read({ datasource }: DatasourceFixture, query: Query, settings: ReadSettings = {}) {
  const { signal = new AbortController().signal, batchSize = 10, lastId } = settings
  return datasource.read(query, { signal, batchSize, lastId })[Symbol.asyncIterator]()
}

/** Reads to the end. Gives the ids of every batch. */
async function readAll(fixture: DatasourceFixture, query: Query, settings?: ReadSettings): Promise<number[][]> {
  const iterator = read(fixture, query, settings)
  const batches: number[][] = []
  for (let next = await iterator.next(); !next.done; next = await iterator.next()) batches.push(idsOf(next.value))
  return batches
}

function idsOf(batch: RecordBatch): number[] {
  return batch.records().map(({ id }) => Number(id))
}

function idsFrom(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}

export function given<Value>(value: Value | undefined, name: string, ability: string): Value {
  assert.notEqual(value, undefined, `Expected \`${name}\`, or the reason in \`cannot.${ability}\``)
  return value as Value
}

export const readCases: Cases<DatasourceFixture> = {
  async 'read: gives every record, in order'(fixture) {
    assert.deepEqual((await readAll(fixture, fixture.query(95))).flat(), idsFrom(1, 95))
  },

  async 'read: batches hold batchSize records at most, and one at least'(fixture) {
    for (const [count, batchSize] of [
      [1, 10],
      [10, 10],
      [11, 10],
      [20, 10],
      [7, 1],
      [3, 1000],
    ] as const) {
      const batches = await readAll(fixture, fixture.query(count), { batchSize })
      assert.deepEqual(batches.flat(), idsFrom(1, count))
      const sizes = batches.map(({ length }) => length)
      assert.ok(
        sizes.every((size) => size > 0 && size <= batchSize),
        `Expected 1 to ${batchSize} records, got ${sizes}`,
      )
    }
  },

  async 'read: nothing, when there is nothing'(fixture) {
    assert.deepEqual(await readAll(fixture, fixture.query(0)), [])
  },

  async 'read: batches say the same as rows and as records'(fixture) {
    const { value: batch } = await read(fixture, fixture.query(3)).next()
    assert.ok(batch instanceof RecordBatch)
    assert.equal(batch.length, 3)
    assert.equal(batch.rows.length, 3)
    const { decode = (raw: string) => raw } = batch.columns[batch.indexOf('id')] ?? {}
    const fromRows = batch.valuesOf('id').map((raw) => decode(raw as string))
    assert.deepEqual(
      fromRows,
      batch.records().map(({ id }) => id),
    )
  },

  async 'read: a batch that was taken stays as it is'(fixture) {
    const iterator = read(fixture, fixture.query(30))
    const batches: RecordBatch[] = []
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) batches.push(next.value)
    assert.deepEqual(batches.flatMap(idsOf), idsFrom(1, 30))
  },

  async 'read: many at once do not mix'(fixture) {
    const reads = await Promise.all([25, 40, 0, 13].map((count) => readAll(fixture, fixture.query(count))))
    assert.deepEqual(
      reads.map((batches) => batches.flat().length),
      [25, 40, 0, 13],
    )
  },

  async 'read: goes on as it is, after one that was left or aborted'(fixture) {
    const stop = new AbortController()
    const aborted = read(fixture, fixture.query(100), { signal: stop.signal })
    await aborted.next()
    stop.abort(new RangeError('enough'))
    await assert.rejects(aborted.next())
    const left = read(fixture, fixture.query(100))
    await left.next()
    await left.return?.()
    assert.deepEqual((await readAll(fixture, fixture.query(25))).flat(), idsFrom(1, 25))
  },

  async 'close: can be asked for once all was read'(fixture) {
    await readAll(fixture, fixture.query(5))
    await fixture.datasource.close?.()
  },
}

export const abortCases: Cases<DatasourceFixture> = {
  async 'abort: before the start, throws the reason and gives nothing'(fixture) {
    const reason = new RangeError('before')
    await assert.rejects(readAll(fixture, fixture.query(5), { signal: AbortSignal.abort(reason) }), isThe(reason))
  },

  async 'abort: between batches, throws the reason at the next'(fixture) {
    const stop = new AbortController()
    const iterator = read(fixture, fixture.query(100), { signal: stop.signal })
    assert.deepEqual(idsOf((await iterator.next()).value), idsFrom(1, 10))
    const reason = new RangeError('during')
    stop.abort(reason)
    await assert.rejects(iterator.next(), isThe(reason))
    assert.equal((await iterator.next()).done, true)
  },

  async 'abort: while a batch is on its way, throws the reason'(fixture) {
    const stop = new AbortController()
    const reading = readAll(fixture, fixture.query(1000), { signal: stop.signal, batchSize: 1 })
    const reason = new RangeError('on its way')
    queueMicrotask(() => stop.abort(reason))
    await assert.rejects(reading, isThe(reason))
  },

  async 'abort: after the end, changes nothing'(fixture) {
    const stop = new AbortController()
    await readAll(fixture, fixture.query(5), { signal: stop.signal })
    stop.abort(new RangeError('after'))
    assert.deepEqual((await readAll(fixture, fixture.query(5))).flat(), idsFrom(1, 5))
  },
}

export const blockCases: Cases<DatasourceFixture> = {
  async 'abort: of a blocked query, throws the reason at once'(fixture) {
    const stop = new AbortController()
    const blocked = given(fixture.blocked, 'blocked', 'block')
    const reading = readAll(fixture, blocked, { signal: stop.signal })
    const isBlocked = await Promise.race([
      reading.then(() => false),
      readAll(fixture, fixture.query(5)).then(() => true),
    ])
    assert.ok(isBlocked, 'Expected the blocked query not to end')
    const reason = new RangeError('blocked')
    const abortedAt = performance.now()
    stop.abort(reason)
    await assert.rejects(reading, isThe(reason))
    const took = performance.now() - abortedAt
    assert.ok(took < 5000, `Expected the abort to take hold at once, took ${took} ms`)
  },
}

export const failCases: Cases<DatasourceFixture> = {
  async 'error: comes after the records before it'(fixture) {
    const iterator = read(fixture, given(fixture.failing, 'failing', 'fail'), { batchSize: 2 })
    const ids: number[] = []
    await assert.rejects(async () => {
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) ids.push(...idsOf(next.value))
    })
    assert.deepEqual(ids, idsFrom(1, 5))
  },

  async 'error: leaves the datasource sound'(fixture) {
    await assert.rejects(readAll(fixture, given(fixture.failing, 'failing', 'fail')))
    assert.deepEqual((await readAll(fixture, fixture.query(5))).flat(), idsFrom(1, 5))
    assert.equal((await fixture.held?.()) ?? 0, 0)
  },
}

export const countCases: Cases<DatasourceFixture> = {
  async 'free: nothing is held after all was read'(fixture) {
    await readAll(fixture, fixture.query(25))
    assert.equal(await held(fixture), 0)
  },

  async 'free: nothing is held after the reader left early'(fixture) {
    const iterator = read(fixture, fixture.query(100))
    await iterator.next()
    assert.equal(await held(fixture), 1)
    await iterator.return?.()
    assert.equal(await held(fixture), 0)
  },

  async 'free: nothing is held after an abort'(fixture) {
    const stop = new AbortController()
    const iterator = read(fixture, fixture.query(100), { signal: stop.signal })
    await iterator.next()
    stop.abort(new RangeError('enough'))
    await assert.rejects(iterator.next())
    assert.equal(await held(fixture), 0)
  },
}

export const resumeCases: Cases<DatasourceFixture> = {
  async 'resume: goes on after the last id'(fixture) {
    assert.ok(fixture.datasource.resumes, 'Expected `resumes`, or the reason in `cannot.resume`')
    for (const lastId of [1, 10, 19, 20]) {
      const batches = await readAll(fixture, fixture.query(20), { lastId: String(lastId) })
      assert.deepEqual(batches.flat(), idsFrom(lastId + 1, 20))
    }
  },
}

async function held(fixture: DatasourceFixture): Promise<number> {
  return given(fixture.held, 'held', 'count').call(fixture)
}

function isThe(reason: unknown): (error: unknown) => boolean {
  return (error) => error === reason
}
