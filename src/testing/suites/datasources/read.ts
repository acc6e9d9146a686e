import assert from 'node:assert/strict'
import { setTimeout } from 'node:timers/promises'
import { type ReadRange, RecordBatch } from '../../../adapter.js'
import type { Datasource } from '../../../index.js'
import type { Cases } from '../suite.js'
import {
  batchesOf,
  type DatasourceFixture,
  given,
  held,
  idsFrom,
  idsOf,
  isThe,
  patience,
  read,
  readAll,
  soon,
  untilHeld,
} from './fixture.js'

export const readCases: Cases<DatasourceFixture> = {
  async 'read: returns every record, in order'(fixture) {
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

  async 'read: returns nothing from an empty source'(fixture) {
    assert.deepEqual(await readAll(fixture, fixture.query(0)), [])
  },

  async 'read: rows and records of a batch agree'(fixture) {
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

  async 'read: later batches do not change an earlier one'(fixture) {
    const batches = await batchesOf(fixture, fixture.query(30))
    assert.deepEqual(batches.flatMap(idsOf), idsFrom(1, 30))
  },

  async 'read: concurrent reads do not mix'(fixture) {
    // In lockstep, reads that share their place in the source would return the same records as others.
    const first = read(fixture, fixture.query(35))
    const ids = idsOf((await first.next()).value)
    const meanwhile = readAll(fixture, fixture.query(40))
    const second = await soon(meanwhile, 'a read to end while another one is open')
    const others = [0, 13].map((count) => readAll(fixture, fixture.query(count)))
    for (let next = await first.next(); !next.done; next = await first.next()) ids.push(...idsOf(next.value))
    const reads = [ids, second.flat(), ...(await Promise.all(others)).map((batches) => batches.flat())]
    assert.deepEqual(
      reads,
      [35, 40, 0, 13].map((count) => idsFrom(1, count)),
    )
  },

  async 'read: works after a read that stopped early or was aborted'(fixture) {
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

  async 'read: encoded rows equal other rows, and come in accepted formats only'(fixture) {
    for (const isAccepted of [true, false]) {
      const formats: string[] = []
      const accepts = (format: string) => formats.push(format) > 0 && isAccepted
      const batches = await batchesOf(fixture, fixture.query(25), { encoded: { accepts, keys: ['id'] } })
      for (const batch of batches) {
        assert.equal(batch.valuesOf('id').length, batch.length)
        assert.equal(batch.lastValueOf('id'), batch.valuesOf('id').at(-1))
        const { encoded } = batch
        if (!isAccepted) assert.ok(encoded === undefined || !formats.includes(encoded.format))
        if (encoded) assert.equal(encoded.slice(0, 1).length, 1)
      }
      assert.deepEqual(
        batches.flatMap((batch) => batch.valuesOf('id').map(Number)),
        idsFrom(1, 25),
      )
    }
  },

  async 'read: an empty query is rejected if the datasource requires one, and otherwise read'(fixture) {
    const { requiresQuery = false } = fixture.datasource.capabilities ?? {}
    const reading = batchesOf(fixture, { text: '', values: [] })
    if (requiresQuery) await assert.rejects(reading, 'Expected `requiresQuery` to reject an empty query')
    else await assert.doesNotReject(reading, 'Expected a read without a query, or `requiresQuery`')
  },

  async 'close: works after all was read'(fixture) {
    await readAll(fixture, fixture.query(5))
    await fixture.datasource.close?.()
  },
}

export const abortCases: Cases<DatasourceFixture> = {
  async 'abort: before the start, throws the reason and returns nothing'(fixture) {
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

  async 'abort: during a fetch, throws the reason'(fixture) {
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
    const blocked = given(fixture.blocked, 'blocked')
    const reading = readAll(fixture, blocked, { signal: stop.signal })
    const isBlocked = await Promise.race([
      reading.then(() => false),
      readAll(fixture, fixture.query(5)).then(() => true),
    ])
    assert.ok(isBlocked, 'Expected the blocked query not to end')
    const reason = new RangeError('blocked')
    stop.abort(reason)
    await soon(assert.rejects(reading, isThe(reason)), 'an aborted read to throw the reason of its signal')
  },
}

export const cancelCases: Cases<DatasourceFixture> = {
  async 'abort: of a blocked query, cancels it on the server'(fixture) {
    const stop = new AbortController()
    const reading = batchesOf(fixture, given(fixture.blocked, 'blocked'), { signal: stop.signal })
    const settled = Promise.allSettled([reading])
    await untilHeld(fixture, 1, 'while a query runs')
    stop.abort(new RangeError('blocked'))
    await soon(settled, 'an aborted read to end')
    await untilHeld(fixture, 0, 'after the abort of a query, as the server no longer runs it')
  },
}

export const stallCases: Cases<DatasourceFixture> = {
  async 'read: returns a batch as soon as its records are available'(fixture) {
    const stop = new AbortController()
    const stalling = given(fixture.stalling, 'stalling')
    const iterator = read(fixture, stalling, { signal: stop.signal, batchSize: 5 })
    const first = await Promise.race([iterator.next(), setTimeout(patience)])
    stop.abort(new RangeError('enough'))
    await soon(
      iterator.next().catch(() => undefined),
      'an aborted read to end',
    )
    assert.ok(first?.value, 'Expected the first batch before the query has ended')
    assert.deepEqual(idsOf(first.value), idsFrom(1, 5))
  },
}

export const bytesCases: Cases<DatasourceFixture> = {
  async 'read: batches hold about batchBytes at most, and one record at least'(fixture) {
    const wide = given(fixture.wide, 'wide', 'batchBytes')
    for (const [batchBytes, most] of [
      [100_000, 20],
      [1, 8],
    ] as const) {
      const batches = await readAll(fixture, wide(100), { batchSize: 1000, batchBytes })
      assert.deepEqual(batches.flat(), idsFrom(1, 100))
      const largest = Math.max(...batches.map(({ length }) => length))
      assert.ok(
        largest <= most,
        `Expected up to ${most} records of 10 kB with batchBytes ${batchBytes}, got ${largest}`,
      )
    }
  },
}

export const integerCases: Cases<DatasourceFixture> = {
  async 'read: 64-bit integers are exact'(fixture) {
    const batches = await batchesOf(fixture, given(fixture.bigIntegers, 'bigIntegers'))
    const texts = batches.flatMap((batch) => batch.records().map(({ id }) => String(id)))
    assert.deepEqual(texts, ['9007199254740993', '9007199254740995'])
  },
}

export const valueCases: Cases<DatasourceFixture> = {
  async 'read: values stand for their placeholders'(fixture) {
    const between = given(fixture.between, 'between', 'values').bind(fixture)
    const placeholder = (n: number) => fixture.datasource.placeholder?.(n) ?? `$${n}`
    const text = between(placeholder(1), placeholder(2))
    assert.deepEqual((await readAll(fixture, { text, values: [3, 17] })).flat(), idsFrom(3, 17))
  },
}

/** Texts that mean something else where they are put in unescaped: in SQL, in a URL, in JSON. */
const texts = ["it's", '"quoted"', 'a\\b', 'a&b=c#d?e', '100%25', '$1', '+ ', 'two\nlines', 'ü']

export const textCases: Cases<DatasourceFixture> = {
  async 'read: a text is a value, whatever its characters'(fixture) {
    const echo = given(fixture.echo, 'echo', 'textValues').bind(fixture)
    for (const value of texts) {
      const query = { text: echo(fixture.datasource.placeholder?.(1) ?? '$1'), values: [value] }
      const records = (await batchesOf(fixture, query)).flatMap((batch) => batch.records())
      assert.deepEqual(
        records.map(({ text }) => text),
        [value],
      )
    }
  },
}

export const rangeCases: Cases<DatasourceFixture> = {
  async 'range: only its records are read, from its beginning up to its end'(fixture) {
    assert.ok(fixture.datasource.capabilities?.readsRanges, 'Expected `readsRanges`, or the reason in `unsupported`')
    const idsIn = async (range: ReadRange) => (await readAll(fixture, fixture.query(20), { range })).flat()
    assert.deepEqual(await idsIn({ until: '6' }), idsFrom(1, 5))
    assert.deepEqual(await idsIn({ from: '6', until: '11' }), idsFrom(6, 10))
    assert.deepEqual(await idsIn({ from: '11' }), idsFrom(11, 20))
  },
}

export const failCases: Cases<DatasourceFixture> = {
  async 'error: comes after the records before it'(fixture) {
    const iterator = read(fixture, given(fixture.failing, 'failing'), { batchSize: 2 })
    const ids: number[] = []
    await assert.rejects(async () => {
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) ids.push(...idsOf(next.value))
    })
    assert.deepEqual(ids, idsFrom(1, 5))
  },

  async 'error: leaves the datasource usable'(fixture) {
    await assert.rejects(readAll(fixture, given(fixture.failing, 'failing')))
    assert.deepEqual((await readAll(fixture, fixture.query(5))).flat(), idsFrom(1, 5))
    if (fixture.held) await untilHeld(fixture, 0, 'after a failure')
  },
}

export const heldCases: Cases<DatasourceFixture> = {
  async 'free: nothing is held after all was read'(fixture) {
    await readAll(fixture, fixture.query(25))
    await untilHeld(fixture, 0, 'after a read to its end')
  },

  async 'free: nothing is held after the reader left early'(fixture) {
    const iterator = read(fixture, fixture.query(100))
    await iterator.next()
    await iterator.return?.()
    await untilHeld(fixture, 0, 'after the reader left')
  },

  async 'free: nothing is held after an abort'(fixture) {
    const stop = new AbortController()
    const iterator = read(fixture, fixture.query(100), { signal: stop.signal })
    await iterator.next()
    stop.abort(new RangeError('enough'))
    await soon(assert.rejects(iterator.next()), 'an aborted read to throw')
    await untilHeld(fixture, 0, 'after an abort')
  },
}

export const heldBetweenCases: Cases<DatasourceFixture> = {
  async 'free: a read between two batches counts as held'(fixture) {
    const iterator = read(fixture, fixture.query(100))
    await iterator.next()
    const message = 'Expected `held` to be 1 between two batches of a read, or the reason in `unsupported.heldBetween`'
    assert.equal(await held(fixture), 1, message)
    await iterator.return?.()
  },
}

export const checkCases: Cases<DatasourceFixture> = {
  async 'check: resolves when the datasource can be read, and holds nothing after'(fixture) {
    await checked(fixture.datasource)
    if (fixture.held) await untilHeld(fixture, 0, 'after `check`')
    assert.deepEqual((await readAll(fixture, fixture.query(3))).flat(), idsFrom(1, 3))
  },

  async 'check: throws when the datasource cannot be read'({ unusable }) {
    const datasource = given(unusable, 'unusable', 'check')()
    await assert.rejects(checked(datasource))
    await datasource.close?.()
  },

  async 'check: throws the reason when its signal aborts'({ datasource }) {
    const reason = new RangeError('stopped by the suite')
    await assert.rejects(checked(datasource, AbortSignal.abort(reason)), isThe(reason))
  },
}

function checked(datasource: Datasource, signal = new AbortController().signal): Promise<void> {
  const check = given(datasource.check, 'check')
  return soon(check.call(datasource, signal), '`check` to be done')
}

export const fetchCases: Cases<DatasourceFixture> = {
  async 'read: fetches no batch before it is asked for'(fixture) {
    const fetched = given(fixture.fetched, 'fetched').bind(fixture)
    const iterator = read(fixture, fixture.query(100))
    await iterator.next()
    await setTimeout(20)
    const count = await fetched()
    await iterator.return?.()
    assert.ok(count >= 10 && count < 20, `Expected \`fetched\` to be 10 after a batch of 10 records, it is ${count}`)
  },
}

export const resumeCases: Cases<DatasourceFixture> = {
  async 'resume: continues after the last id'(fixture) {
    assert.ok(
      fixture.datasource.capabilities?.resumesAfterId,
      'Expected `resumesAfterId`, or the reason in `unsupported`',
    )
    for (const lastId of [1, 10, 19, 20]) {
      const batches = await readAll(fixture, fixture.query(20), { lastId: String(lastId) })
      assert.deepEqual(batches.flat(), idsFrom(lastId + 1, 20))
    }
  },
}
