import { once } from 'node:events'
import { PassThrough, Readable } from 'node:stream'
import { setTimeout } from 'node:timers/promises'
import { type Datasource, type JobRecord, JobRegistry, memoryStorage, type Query } from 'headgate'
import { type OpenStream, type StreamDatasourceOptions, streamDatasource } from 'headgate/stream'
import { datasourceSuite } from 'headgate/testing'
import { describe, expect, test, vi } from 'vitest'
import { allBatches, allRecords, batchesOf, rejectionOf } from '../postgres/datasource-read.js'

function* countTo(count: number, from = 1): Generator<JobRecord> {
  for (let id = from; id <= count; id++) yield { id }
}

/** A stream of Node over the records of a generator. */
const readable = (records: Iterable<unknown> | AsyncIterable<unknown>) => Readable.from(records, { highWaterMark: 1 })

/** A cursor as that of `pg-cursor`. */
function cursorOf(records: JobRecord[]) {
  let at = 0
  return {
    isClosed: false,
    async read(count: number) {
      at += count
      return records.slice(at - count, at)
    },
    async close() {
      this.isClosed = true
    },
  }
}

/** A cursor as the `FindCursor` of mongodb: it is iterated over, and has to be closed. */
function findCursor(records: JobRecord[]) {
  return {
    isClosed: false,
    async *[Symbol.asyncIterator]() {
      yield* records
    },
    async close() {
      this.isClosed = true
    },
  }
}

describe('streamDatasource keeps the contract of a datasource', () => {
  datasourceSuite({
    test,
    create() {
      let held = 0
      let fetched = 0
      const open: OpenStream<Readable> = ({ text, values }, { lastId, range, signal }) => {
        held++
        async function* records() {
          if (text === 'blocked') await once(signal, 'abort')
          const from = Number(range?.from ?? Number(lastId ?? 0) + 1)
          const until = Math.min(Number(range?.until ?? Number.POSITIVE_INFINITY), Number(values[0]) + 1)
          for (let id = from; id < until; id++) {
            fetched++
            yield { id, ...(text === 'wide' && { text: 'x'.repeat(10_000) }) }
          }
          if (text === 'failing') throw new RangeError('broken')
          if (text === 'stalling') await once(signal, 'abort')
        }
        return readable(records()).once('close', () => held--)
      }
      return {
        datasource: streamDatasource(open, { resumes: true }),
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
      readByCursor: 'its records come in the order in which they are there',
      check: 'a read begins with the first record',
      count: 'a stream does not tell its length',
      values: 'its queries are up to the source',
      bigIntegers: 'its records are passed on as they are',
    },
  })
})

describe('what can be read', () => {
  const sources: Record<string, OpenStream> = {
    'a stream of Node': () => readable(countTo(25)),
    'a stream of Node with all in its buffer': () => Readable.from([...countTo(25)], { highWaterMark: 100 }),
    'a stream of the web': () =>
      new Response().body ?? (Readable.toWeb(readable(countTo(25))) as ReadableStream<object>),
    'an async iterable': async function* () {
      yield* countTo(25)
    },
    'an array': () => [...countTo(25)],
    'a cursor with `read`': () => cursorOf([...countTo(25)]),
    'a cursor that is iterated over': () => findCursor([...countTo(25)]),
    'a promise of a stream': async () => readable(countTo(25)),
  }

  test.each(Object.entries(sources))('%s', async (_, open) => {
    const batches = await allBatches(streamDatasource(open), '')
    expect(batches.map(({ length }) => length)).toEqual([10, 10, 5])
    expect(batches.flatMap((batch) => batch.records())).toEqual([...countTo(25)])
  })

  test('the function is told the query and how to read it', async () => {
    const open = vi.fn(() => [])
    const { signal } = new AbortController()
    const query = { text: 'some', values: [1] }
    await allBatches(streamDatasource(open, { resumes: true }), query, { signal, lastId: '7', batchSize: 3 })
    expect(open.mock.calls).toEqual([[query, { signal, lastId: '7', batchSize: 3 }]])
  })

  test('the values of a template have the placeholders of the driver', async () => {
    const texts: string[] = []
    const registry = new JobRegistry({ storage: memoryStorage() })
    registry.define({
      id: 'orders',
      datasource: streamDatasource(
        ({ text, values }) => {
          texts.push(`${text} ${JSON.stringify(values)}`)
          return [{ id: values.length + 1 }]
        },
        { placeholder: () => '?' },
      ),
      query: 'select id from orders where shop = {{params.shop}}{{#last_id}} and id > {{last_id}}{{/last_id}}',
      pkField: 'id',
      target: () => undefined,
    })
    for (let run = 0; run < 2; run++) {
      const { finished } = await registry.start('ingestion', 'orders', { params: { shop: 7 } })
      await finished
    }
    expect(texts).toEqual([
      'select id from orders where shop = ? [7]',
      'select id from orders where shop = ? and id > ? [7,"2"]',
    ])
    await registry.close()
  })
})

describe('what cannot be read', () => {
  const failing = (error: unknown, options: StreamDatasourceOptions = {}) =>
    streamDatasource(() => {
      throw error
    }, options)

  test.each([
    ["Unknown column '$1' in 'where clause'"],
    ["You have an error in your SQL syntax near '$2'"],
    ['ORA-01036: illegal variable name/number'],
    ['Too many parameter values were provided'],
  ])('an error about placeholders names the option for them: %s', async (message) => {
    const query = { text: 'select 1 where shop = $1', values: [7] }
    const cause = new Error(message)
    const hint = { code: 'datasource', message: expect.stringContaining('set the option `placeholder`'), cause }
    await expect(allBatches(failing(cause), query)).rejects.toMatchObject(hint)
    // Not when the placeholders are those of the driver, nor without values, nor when Postgres says it.
    const others: [Datasource, Query, unknown][] = [
      [failing(cause, { placeholder: () => '?' }), { text: 'shop = ?', values: [7] }, cause],
      [failing(cause), { text: 'select 1', values: [] }, cause],
    ]
    const ofPostgres = Object.assign(new Error('could not determine data type of parameter $1'), { severity: 'ERROR' })
    const away = new Error('connect ECONNREFUSED')
    for (const error of [ofPostgres, away]) others.push([failing(error), query, error])
    for (const [datasource, asked, error] of others) await expect(allBatches(datasource, asked)).rejects.toBe(error)
  })

  test('options are checked', () => {
    const wrong = (open: unknown, options?: object) => () =>
      streamDatasource(open as OpenStream, options as StreamDatasourceOptions)
    expect(wrong([])).toThrow('Expected `open` to be a function, got an array')
    expect(wrong(() => [], { cancel: true })).toThrow('Expected `cancel` to be')
    expect(wrong(() => [], { timeout: 0 })).toThrow('Expected `timeout` to be')
    expect(wrong(() => [], { resume: true })).toThrow('`resume`')
  })

  test.each([
    ['bytes', () => Readable.from([Buffer.from('{"id":1}\n')]), 'got bytes'],
    ['texts', () => Readable.from(['{"id":1}\n']), 'got a string'],
    ['arrays', () => [[1]], 'got an array'],
    ['no stream', () => ({}), 'Expected the source to return a stream, an iterable or a cursor with `read`'],
    ['nothing', () => undefined, 'Expected the source to return a stream'],
    ['an empty text', () => '', 'Expected the source to return a stream'],
  ] as [string, () => unknown, string][])('%s', async (_, open, message) => {
    const error = await rejectionOf(allRecords(streamDatasource(open as OpenStream), ''))
    expect(error).toMatchObject({ code: 'datasource', message: expect.stringContaining(message) })
  })

  const page = [...countTo(3)]
  const wrongAnswers: [string, unknown, string][] = [
    ['a result with `rows`', { rows: page, rowCount: 3 }, 'an object'],
    ['a result without rows', { rows: [], rowCount: 0 }, 'an object'],
    ['a set', new Set(page), 'an object of the class Set'],
    ['an empty set', new Set(), 'an object of the class Set'],
    ['a map', new Map(page.map((record) => [record.id, record])), 'an object of the class Map'],
    ['an iterator', page.values(), 'an object'],
    ['a generator', countTo(3), 'a generator'],
    ['a step of an iterator', { done: false, value: { id: 1 } }, 'an object'],
    ['an empty object', {}, 'an object'],
    ['a list that is no array', { 0: { id: 1 }, length: 1 }, 'an object'],
    ['a length that is no number', { length: Number.NaN }, 'an object'],
    ['an empty typed array', new Uint8Array(), 'bytes'],
    ['a function', () => page, 'a function'],
    ['a number', 5, 'a number'],
    ['zero', 0, 'a number'],
    ['false', false, 'a boolean'],
    ['a text', '', 'a string'],
    ['null', null, 'null'],
    ['undefined', undefined, 'nothing'],
  ]

  test.each(wrongAnswers)('%s is not the end of a cursor', async (_, wrong, found) => {
    let calls = 0
    let isClosed = false
    const cursor = {
      read: async () => (calls++ === 0 ? page : calls === 2 ? wrong : []),
      close() {
        isClosed = true
      },
    }
    const reading = batchesOf(
      streamDatasource(() => cursor as never),
      '',
      { batchSize: 3 },
    )
    expect((await reading.next()).value).toHaveLength(3)
    const error = await rejectionOf(reading.next())
    const expected = `Expected \`read\` of the cursor to give an array of records, got ${found}`
    expect(error).toMatchObject({ code: 'datasource', message: expect.stringContaining(expected) })
    expect(isClosed).toBe(true)
  })

  test('a stream that is destroyed before its end fails the read', async () => {
    const open = () => {
      const stream = readable(countTo(100))
      stream.on('data', () => undefined).pause()
      setTimeout(5).then(() => stream.destroy())
      return stream
    }
    const reading = allRecords(streamDatasource(open), '', { batchSize: 1 })
    const [late] = await Promise.allSettled([reading])
    // All of them, or an error: never a part.
    if (late.status === 'fulfilled') expect(late.value).toHaveLength(100)
    else expect(late.reason).toMatchObject({ code: 'ERR_STREAM_PREMATURE_CLOSE' })
  })
})

describe('a stream that is not read to its end', () => {
  const withCancel = (open: OpenStream, cancel?: (stream: never) => unknown): Datasource =>
    streamDatasource(open, cancel ? { cancel: cancel as (stream: unknown) => unknown } : {})

  test.each([
    ['a stream of Node is destroyed', () => readable(countTo(100)), (stream: Readable) => stream.destroyed],
    ['a cursor is closed', () => cursorOf([...countTo(100)]), (cursor: { isClosed: boolean }) => cursor.isClosed],
    [
      'so is one that is iterated over',
      () => findCursor([...countTo(100)]),
      (cursor: { isClosed: boolean }) => cursor.isClosed,
    ],
  ] as [string, OpenStream, (stream: unknown) => boolean][])('%s', async (_, open, isFree) => {
    for (const end of ['return', 'abort'] as const) {
      const opened: unknown[] = []
      const datasource = withCancel((query, context) => {
        const stream = open(query, context)
        opened.push(stream)
        return stream
      })
      const stop = new AbortController()
      const batches = batchesOf(datasource, '', { signal: stop.signal })
      await batches.next()
      if (end === 'return') await batches.return?.()
      else {
        stop.abort(new RangeError('stopped'))
        await expect(batches.next()).rejects.toThrow('stopped')
      }
      expect(opened.map(isFree)).toEqual([true])
    }
  })

  test('the function of the user cancels it, also while it gives no record', async () => {
    const cancelled: unknown[] = []
    const stream = new PassThrough({ objectMode: true })
    const stop = new AbortController()
    const datasource = withCancel(
      () => stream,
      (each) => cancelled.push(each),
    )
    const reading = allRecords(datasource, '', { signal: stop.signal })
    stop.abort(new RangeError('stopped'))
    await expect(reading).rejects.toThrow('stopped')
    expect(cancelled).toEqual([stream])
  })

  test('one that opens after the abort is cancelled too', async () => {
    const cancelled = deferred()
    const stop = new AbortController()
    const opening = setTimeout(20, cursorOf([]))
    const datasource = withCancel(() => opening, cancelled.resolve)
    const reading = allRecords(datasource, '', { signal: stop.signal })
    stop.abort(new RangeError('stopped'))
    await expect(reading).rejects.toThrow('stopped')
    expect(await cancelled.promise).toBe(await opening)
  })

  test('one that cannot be cancelled does not keep the job', async () => {
    const warnings: string[] = []
    const read = async (cancel: () => unknown) => {
      const stream = new PassThrough({ objectMode: true })
      stream.write({ id: 1 })
      const stop = new AbortController()
      const options = {
        signal: stop.signal,
        batchSize: 1,
        lastId: undefined,
        warn: (text: string) => warnings.push(text),
      }
      const iterator = withCancel(() => stream, cancel)
        .read({ text: '', values: [] }, options)
        [Symbol.asyncIterator]()
      await iterator.next()
      stop.abort(new RangeError('stopped'))
      await expect(iterator.next()).rejects.toThrow('stopped')
    }
    await read(() => Promise.reject(new Error('the connection is gone')))
    await read(() => new Promise(() => undefined))
    expect(warnings).toEqual([
      'The stream could not be cancelled: the connection is gone',
      'The stream was not cancelled within 1000 ms. It may still hold a connection.',
    ])
  })

  test('an error that it emits afterwards ends no process', async () => {
    const stream = readable(countTo(100))
    const batches = batchesOf(
      withCancel(
        () => stream,
        () => undefined,
      ),
      '',
    )
    await batches.next()
    await batches.return?.()
    stream.emit('error', new Error('late'))
  })

  test('a late record fails the read with a transient error, and cancels the stream', async () => {
    const stream = new PassThrough({ objectMode: true })
    stream.write({ id: 1 })
    const datasource = streamDatasource(() => stream, { timeout: 20 })
    const batches = batchesOf(datasource, '', { batchSize: 1 })
    expect((await batches.next()).value.records()).toEqual([{ id: 1 }])
    await expect(batches.next()).rejects.toMatchObject({
      message: 'The source gave no records within 20 ms.',
      isTransient: true,
    })
    expect(stream.destroyed).toBe(true)
    const opening = streamDatasource(() => new Promise<Readable>(() => undefined), { timeout: 20 })
    await expect(allRecords(opening, '')).rejects.toThrow('The source gave no records within 20 ms.')
  })
})

function deferred() {
  let resolve: (value: unknown) => void = () => undefined
  const promise = new Promise((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}

describe('a source that holds one object for several records', () => {
  function* reused() {
    const record = { id: 0 }
    for (let id = 1; id <= 50; id++) yield Object.assign(record, { id })
  }

  test.each([
    ['a stream', () => Readable.from(reused())],
    ['a cursor', () => cursorOf([...reused()])],
    ['a promise of a stream', async () => Readable.from(reused())],
  ] as [string, OpenStream][])('fails, as its values are lost already: %s', async (_, open) => {
    for (const batchSize of [1, 7, 100]) {
      await expect(allBatches(streamDatasource(open), '', { batchSize })).rejects.toMatchObject({
        code: 'datasource',
        message: expect.stringMatching(/^Expected every record to be an object of its own/),
      })
    }
  })
})
