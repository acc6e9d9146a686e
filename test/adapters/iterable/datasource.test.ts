import { getEventListeners, once } from 'node:events'
import { errorMessages, type JobRecord, JobRegistry, memoryStorage } from 'headgate'
import type { RecordBatch } from 'headgate/adapter'
import { iterableDatasource, type Records, type RecordsContext } from 'headgate/iterable'
import { datasourceSuite } from 'headgate/testing'
import { describe, expect, test } from 'vitest'
import { allBatches, allRecords, batchesOf, rejectionOf } from '../postgres/datasource-read.js'

function* countTo(count: number, from = 1): Generator<JobRecord> {
  for (let id = from; id <= count; id++) yield { id }
}

/** An iterator that hangs after some records, and tells when it does and how often it was closed. */
function hanging(count: number) {
  const { promise: hangs, resolve } = withResolvers()
  const records = countTo(count)
  const source = {
    closed: 0,
    hangs,
    [Symbol.asyncIterator]: () => source,
    async next() {
      const step = records.next()
      if (!step.done) return step
      resolve()
      return new Promise<never>(() => {})
    },
    return() {
      source.closed++
      return new Promise<never>(() => {})
    },
  }
  return source
}

function withResolvers() {
  let resolve = () => {}
  const promise = new Promise<void>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}

describe('iterableDatasource keeps the contract of a datasource', () => {
  datasourceSuite({
    test,
    create() {
      let held = 0
      let fetched = 0
      async function* records({ query, lastId, range, signal }: RecordsContext) {
        held++
        try {
          if (query.text === 'blocked') await once(signal, 'abort')
          const from = Number(range?.from ?? Number(lastId ?? 0) + 1)
          const until = Math.min(Number(range?.until ?? Number.POSITIVE_INFINITY), Number(query.values[0]) + 1)
          for (let id = from; id < until; id++) {
            fetched++
            yield { id, ...(query.text === 'wide' && { text: 'x'.repeat(10_000) }) }
          }
          if (query.text === 'failing') throw new RangeError('broken')
          if (query.text === 'stalling') await once(signal, 'abort')
        } finally {
          held--
        }
      }
      return {
        datasource: iterableDatasource(records, { resumes: true }),
        query: (count) => ({ text: 'count', values: [count] }),
        blocked: { text: 'blocked', values: [] },
        stalling: { text: 'stalling', values: [5] },
        failing: { text: 'failing', values: [5] },
        wide: (count) => ({ text: 'wide', values: [count] }),
        held: () => held,
        fetched: () => fetched,
      }
    },
    unsupported: {
      onColumns: 'its records are objects',
      readByCursor: 'it sorts an array, and no generator',
      partition: 'it sorts an array, and no generator',
      check: 'a read begins with the first record',
      count: 'a generator does not tell its length',
      values: 'its queries are up to the source',
      bigIntegers: 'its records are passed on as they are',
    },
  })
})

describe('iterableDatasource keeps the contract of a datasource with arrays', () => {
  const arrays: Record<string, (values: readonly unknown[]) => JobRecord[]> = {
    count: ([count]) => [...countTo(Number(count))],
    pairs: ([count]) => [...countTo(Number(count))].map(({ id }) => pairOf(Number(id))).reverse(),
    gaps: ([count]) => [...countTo(Number(count))].map(({ id }) => ({ id, gap: Number(id) % 3 === 0 ? null : id })),
    wide: ([count]) => [...countTo(Number(count))].map(({ id }) => ({ id, text: 'x'.repeat(10_000) })),
    big: () => [{ id: 9007199254740993n }, { id: 9007199254740995n }],
    'between $1 and $2': ([from, to]) => [...countTo(Number(to), Number(from))],
    'echo $1': ([text]) => [{ id: 1, text }],
  }
  const pairOf = (id: number) => ({ id, pair: Math.ceil(id / 2), down: -id })

  datasourceSuite({
    test,
    create: () => ({
      datasource: iterableDatasource(
        ({ query, lastId, range: { from = '1', until = 'Infinity' } = {} }) => {
          const records = arrays[query.text]?.(query.values) ?? []
          const isIn = (id: number) => id > Number(lastId ?? 0) && id >= Number(from) && id < Number(until)
          return query.text === 'count' ? records.filter(({ id }) => isIn(Number(id))) : records
        },
        { resumes: true },
      ),
      query: (count) => ({ text: 'count', values: [count] }),
      pairs: (count) => ({ text: 'pairs', values: [count] }),
      gaps: (count) => ({ text: 'gaps', values: [count] }),
      wide: (count) => ({ text: 'wide', values: [count] }),
      bigIntegers: { text: 'big', values: [] },
      between: (first, last) => `between ${first} and ${last}`,
      echo: (text) => `echo ${text}`,
    }),
    unsupported: {
      onColumns: 'its records are objects',
      check: 'a read begins with the first record',
      blocked: 'an array is there at once',
      stalling: 'an array is there at once',
      failing: 'an array does not fail',
      held: 'an array needs nothing',
      heldBetween: 'an array needs nothing',
      fetched: 'an array is in memory',
    },
  })
})

describe('what can be read', () => {
  const asyncRecords = {
    async *[Symbol.asyncIterator]() {
      yield* countTo(25)
    },
  }
  const sources: [string, Records | (() => Records)][] = [
    ['an array', [...countTo(25)]],
    ['an iterable', new Set(countTo(25))],
    ['a generator', countTo(25)],
    ['an async iterable', asyncRecords],
    ['a function that gives an iterable', () => countTo(25)],
    ['a function that gives an async iterable', () => asyncRecords],
  ]

  test.each(sources)('%s', async (_, source) => {
    const batches = await allBatches(iterableDatasource(source), '')
    expect(batches.map(({ length }) => length)).toEqual([10, 10, 5])
    expect(batches.flatMap((batch) => batch.records())).toEqual([...countTo(25)])
  })

  test('an iterable is gone through once per run, a generator only once at all', async () => {
    const again = iterableDatasource(new Set(countTo(3)))
    expect(await allRecords(again, '')).toEqual(await allRecords(again, ''))
    const once = iterableDatasource(countTo(3))
    expect(await allRecords(once, '')).toHaveLength(3)
    expect(await allRecords(once, '')).toEqual([])
  })

  test('a function is told query, lastId and signal', async () => {
    const told: RecordsContext[] = []
    const datasource = iterableDatasource((context) => [{ id: told.push(context) }], { resumes: true })
    const query = { text: 'some', values: [1] }
    const { signal } = new AbortController()
    await allBatches(datasource, query, { signal, lastId: '7' })
    expect(told).toEqual([{ query, lastId: '7', signal }])
    expect(told[0]?.signal).toBe(signal)
  })

  test('no more than a batch is asked for before it is taken', async () => {
    let given = 0
    const source = function* () {
      for (;;) yield { id: ++given }
    }
    const batches = batchesOf(iterableDatasource(source), '', { batchSize: 3 })
    expect(given).toBe(0)
    await batches.next()
    expect(given).toBe(3)
    await batches.return?.()
  })
})

describe('what cannot be read', () => {
  test.each([[undefined], [null], [5], ['text'], [{}]])('%s is not a source', (source) => {
    expect(() => iterableDatasource(source as unknown as [])).toThrow(
      /^Expected `source` to be an array, an iterable, an async iterable or a function that gives one, got /,
    )
  })

  test('options are checked', () => {
    expect(() => iterableDatasource([], { resumes: true })).toThrow(
      'Expected `source` to be a function, as `resumes` is set',
    )
    expect(() => iterableDatasource([], { resume: true } as never)).toThrow('`resume`')
  })

  test.each<[unknown, string]>([
    [5, 'a number'],
    [undefined, 'nothing'],
    [Response.json([]), 'a Response'],
    [{ rows: [] }, 'an object'],
  ])('a function that gives something else: %s', async (answer, found) => {
    const error = await rejectionOf(allBatches(iterableDatasource((() => answer) as never), ''))
    expect(errorMessages(error)).toEqual([`Expected the source to return an iterable or async iterable, got ${found}.`])
  })

  test.each([
    [null, 'null'],
    [5, 'a number'],
    ['text', 'a string'],
    [[1], 'an array'],
  ])('a record that is %j, after the records before it', async (record, shown) => {
    let isClosed = false
    const source = function* () {
      try {
        yield { id: 1 }
        yield record as never
      } finally {
        isClosed = true
      }
    }
    const batches = batchesOf(iterableDatasource(source), '')
    expect((await batches.next()).value.records()).toEqual([{ id: 1 }])
    await expect(batches.next()).rejects.toThrow(`Expected every record to be an object, got ${shown}.`)
    expect(isClosed).toBe(true)
  })

  test.each([
    ['next', 5, 'a number'],
    ['next', null, 'null'],
    ['a promise of next', 5, 'a number'],
    ['a promise of next', undefined, 'nothing'],
  ])('%s that gives %j in place of a result, after the records before it', async (how, result, shown) => {
    const results: unknown[] = [{ done: false, value: { id: 1 } }, result]
    const next = () => (how === 'next' ? results.shift() : Promise.resolve(results.shift()))
    const source = () => ({ [Symbol.asyncIterator]: () => ({ next }) }) as never
    const batches = batchesOf(iterableDatasource(source), '')
    expect((await batches.next()).value.records()).toEqual([{ id: 1 }])
    const expected = `Expected \`next\` of the iterator to give an object with \`done\` and \`value\`, got ${shown}.`
    await expect(batches.next()).rejects.toThrow(expected)
  })

  test('a source that fails: its own error, after the records before it', async () => {
    const broken = new RangeError('broken')
    const source = async function* () {
      yield { id: 1 }
      throw broken
    }
    const batches = batchesOf(iterableDatasource(source), '')
    expect((await batches.next()).value.length).toBe(1)
    expect(await rejectionOf(batches.next())).toBe(broken)
  })
})

describe('a source that hangs', () => {
  test('is closed by an abort, which does not wait for it', async () => {
    const source = hanging(12)
    const stop = new AbortController()
    const batches = batchesOf(iterableDatasource(source), '', { signal: stop.signal })
    await batches.next()
    const next = rejectionOf(batches.next())
    await source.hangs
    const reason = new RangeError('enough')
    stop.abort(reason)
    expect(await next).toBe(reason)
    expect(source.closed).toBe(1)
    expect(getEventListeners(stop.signal, 'abort')).toEqual([])
  })

  test('is closed by an abort of its job', async () => {
    const source = hanging(0)
    await using registry = new JobRegistry({ storage: memoryStorage() })
    registry.define({ id: 'hangs', datasource: iterableDatasource(source), target: () => {} })
    await registry.start('ingestion', 'hangs')
    await source.hangs
    expect(await registry.abort('ingestion', 'hangs')).toMatchObject({ state: 'aborted' })
    expect(source.closed).toBe(1)
  })
})

test('a reader that leaves early closes the source, and waits for it', async () => {
  let isClosed = false
  const source = async function* () {
    try {
      yield* countTo(100)
    } finally {
      await new Promise((resolve) => setImmediate(resolve))
      isClosed = true
    }
  }
  const { signal } = new AbortController()
  const batches = batchesOf(iterableDatasource(source), '', { signal })
  await batches.next()
  await batches.return?.()
  expect(isClosed).toBe(true)
  expect(getEventListeners(signal, 'abort')).toEqual([])
})

describe('batches bounded by bytes', () => {
  const lengthsOf = async (records: readonly object[], batchBytes: number, batchSize = 100) => {
    const reading = iterableDatasource(async function* () {
      yield* records as JobRecord[]
    }).read(
      { text: '', values: [] },
      { signal: new AbortController().signal, batchSize, batchBytes, lastId: undefined },
    )
    const lengths: number[] = []
    const read: JobRecord[] = []
    for await (const batch of reading) {
      lengths.push(batch.length)
      read.push(...batch.records())
    }
    expect(read).toEqual(records)
    return lengths
  }
  const small = { a: 'x'.repeat(10) }

  test.each([
    ['text', { a: 'x'.repeat(5000) }],
    ['bytes', { a: new Uint8Array(5000) }],
    ['a nested object', { a: { b: [{ c: 'x'.repeat(5000) }] } }],
    ['many values', { a: Array.from({ length: 5000 }, (_, n) => n) }],
  ])('give a larger record by itself: %s', async (_, large) => {
    expect(await lengthsOf([small, small, large, small, large, large, small], 1000)).toEqual([2, 1, 1, 1, 1, 1])
  })

  test('measures records that hold themselves many times, or cannot be read, in no time', async () => {
    const held: Record<string, unknown> = { text: 'x'.repeat(60) }
    for (let n = 0; n < 100; n++) held[`self${n}`] = held
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    const unreadable = {
      text: 'x'.repeat(60),
      proxy,
      inner: Object.defineProperty({}, 'a', { get: () => expect.unreachable(), enumerable: true }),
    }
    const measured = performance.now()
    expect(await lengthsOf([held, unreadable, { id: 1 }], 70)).toEqual([1, 1, 1])
    expect(performance.now() - measured).toBeLessThan(1000)
  })

  test('hold no more', async () => {
    expect(await lengthsOf(Array(250).fill(small), 1000)).toEqual([100, 100, 50])
    expect(await lengthsOf(Array(25).fill(small), 100)).toEqual([10, 10, 5])
    expect(await lengthsOf(Array(3).fill(small), 1)).toEqual([1, 1, 1])
  })

  test('come of records that hold themselves', async () => {
    const record: Record<string, unknown> = { id: 1, nothing: null, nowhere: undefined, at: new Date(0), big: 1n }
    record.self = record
    expect(await lengthsOf([record, record], 100_000)).toEqual([2])
  })

  test('come whole before an error', async () => {
    const batches = iterableDatasource(function* () {
      yield { a: 'x' }
      yield { a: 'x'.repeat(5000) }
      throw new RangeError('no more')
    }).read(
      { text: '', values: [] },
      { signal: new AbortController().signal, batchSize: 10, batchBytes: 100, lastId: undefined },
    )
    const lengths: number[] = []
    const reading = (async () => {
      for await (const batch of batches) lengths.push(batch.length)
    })()
    await expect(reading).rejects.toThrow('no more')
    expect(lengths).toEqual([1, 1])
  })
})

describe('a source that gives a promise', () => {
  test('is awaited', async () => {
    const datasource = iterableDatasource(async () => [{ id: 1 }, { id: 2 }])
    const batches = []
    for await (const batch of datasource.read(
      { text: '', values: [] },
      { signal: new AbortController().signal, batchSize: 10, lastId: undefined },
    )) {
      batches.push(...batch.records())
    }
    expect(batches).toEqual([{ id: 1 }, { id: 2 }])
  })

  test('is left by an abort, though it never settles', async () => {
    const datasource = iterableDatasource(() => new Promise(() => {}))
    const signal = AbortSignal.timeout(10)
    const read = datasource.read({ text: '', values: [] }, { signal, batchSize: 10, lastId: undefined })
    await expect(read[Symbol.asyncIterator]().next()).rejects.toMatchObject({ name: 'TimeoutError' })
  })
})

describe('a source that reuses one object', () => {
  function* reused(from: number, to: number, record: JobRecord = { id: 0 }) {
    for (let id = from; id <= to; id++) {
      record.id = id
      yield record
    }
  }
  const idsOf = async (source: Records<JobRecord>, batchSize: number) => {
    const ids: unknown[] = []
    const options = { signal: new AbortController().signal, batchSize, lastId: undefined }
    // A job reads a batch while it writes the one before.
    let before: RecordBatch | undefined
    const write = () => ids.push(...(before?.records() ?? []).map(({ id }) => id))
    const reading = async () => {
      for await (const batch of iterableDatasource(source).read({ text: '', values: [] }, options)) {
        write()
        before = batch
      }
    }
    const error = await reading().catch((error: unknown) => error)
    write()
    return { ids, error }
  }

  test.each([1, 2, 1000])('gives each record its own values: batches of %d', async (batchSize) => {
    expect(await idsOf(reused(1, 5), batchSize)).toEqual({ ids: [1, 2, 3, 4, 5], error: undefined })
    function* pages() {
      yield* reused(1, 3)
      yield* reused(4, 6)
    }
    expect((await idsOf(pages(), batchSize)).ids).toEqual([1, 2, 3, 4, 5, 6])
    async function* slow() {
      yield* reused(1, 3)
    }
    expect((await idsOf(slow(), batchSize)).ids).toEqual([1, 2, 3])
  })

  test.each([
    ['later', [], { id: 0 }],
    [
      'that is no plain one',
      undefined,
      new (class {
        id = 0
      })(),
    ],
  ])('fails without a record that has the values of another: an object %s', async (_, before, record) => {
    function* records() {
      if (before) yield* [{ id: 1 }, { id: 2 }]
      yield* reused(3, 5, record as never)
    }
    expect(await idsOf(records(), 1000)).toEqual({
      ids: before ? [1, 2] : [],
      error: expect.objectContaining({
        code: 'datasource',
        message: expect.stringMatching(
          /^Expected every record to be an object of its own, .*: return a new object for each/,
        ),
      }),
    })
  })

  test('is not a collection that holds an object twice', async () => {
    const record = { id: 1 }
    for (const source of [[record, record], [{ id: 0 }, record, record].values()])
      expect(await idsOf(source, 10)).toMatchObject({ error: undefined })
  })
})
