import { type Datasource, type IngestionJob, type JobRecord, JobRegistry, memoryStorage, type Target } from 'headgate'
import { RecordBatch } from 'headgate/adapter'
import { iterableDatasource } from 'headgate/iterable'
import { fakeClock, testDatasource } from 'headgate/testing'
import { describe, expect, it, vi } from 'vitest'
import { checkedPartitioning } from '../../../src/ingestion/run/adapter-answers.js'
import { checkTarget } from '../../../src/ingestion/run/target-check.js'

const records: JobRecord[] = [{ id: 1 }, { id: 2 }]

/** How a job ended over adapters that do not keep their contract. */
async function end(job: Partial<IngestionJob>): Promise<{ state: string; error: string; count: number }> {
  const registry = new JobRegistry({ storage: memoryStorage() })
  registry.define({ id: 'a', datasource: iterableDatasource(records), target: () => {}, ...job } as IngestionJob)
  const { finished } = await registry.start('ingestion', 'a')
  const status = await finished
  await registry.close()
  return { state: status.state, count: status.count, error: status.state === 'error' ? status.error.join('\n') : '' }
}

const reading = (read: () => unknown) => end({ datasource: { kind: 'odd', read } as Datasource })

const readingByCursor = (readByCursor: () => unknown) =>
  end({ cursor: 'id', datasource: { kind: 'odd', read: fail, readByCursor } as Datasource })

const iterating = (next: unknown) => reading(() => ({ [Symbol.asyncIterator]: () => ({ next: () => next }) }))

async function* giving(...batches: unknown[]): AsyncGenerator<unknown> {
  yield* batches
}

describe('a datasource', () => {
  it.each<[string, () => Promise<{ state: string; error: string }>, string]>([
    ['throws', () => reading(() => fail()), 'no'],
    [
      'gives nothing to read',
      () => reading(() => undefined),
      'read() of the datasource to return an async iterable, got nothing',
    ],
    [
      'gives an array',
      () => reading(() => [records]),
      'read() of the datasource to return an async iterable, got an array',
    ],
    [
      'gives a promise',
      () => reading(async () => giving()),
      'read() of the datasource to return an async iterable, got a promise',
    ],
    [
      'gives an iterator without `next`',
      () => reading(() => ({ [Symbol.asyncIterator]: () => ({}) })),
      'read() of the datasource to return an iterator with the method `next`, got a value of type object',
    ],
    [
      'gives nothing next',
      () => iterating(undefined),
      'next() of the iterator of read() to return an object with `done`',
    ],
    ['gives an empty object next', () => iterating({}), 'batches of the class `RecordBatch`, got nothing'],
    [
      'gives arrays as batches',
      () => reading(() => giving(records)),
      'batches of the class `RecordBatch`, got an array',
    ],
    [
      'gives look-alikes',
      () => reading(() => giving({ length: 2, records: () => records, columns: [], rows: [], slice: () => [] })),
      'batches of the class `RecordBatch`, got a value of type object',
    ],
    ['gives null', () => reading(() => giving(null)), 'batches of the class `RecordBatch`, got null'],
    [
      'gives bare batches by a cursor',
      () => readingByCursor(() => giving(RecordBatch.fromRecords(records))),
      'readByCursor() of the datasource to return objects whose `batch` is a `RecordBatch`, and whose `positionAfter`, if any, is a function, got a value of type object',
    ],
    [
      'gives nothing to read by a cursor',
      () => readingByCursor(() => undefined),
      'readByCursor() of the datasource to return an async iterable, got nothing',
    ],
  ])('that %s fails the job', async (_, run, message) => {
    const { state, error } = await run()
    expect(state).toBe('error')
    expect(error).toContain('Could not execute datasource query [odd].')
    expect(error).toContain(message)
  })

  it('may give empty batches, also without an end to them', async () => {
    const empty = RecordBatch.fromRecords([])
    const some = RecordBatch.fromRecords(records)
    const read = () => giving(empty, some, empty, RecordBatch.fromRows([], []), some, empty)
    for (const job of [{ pkField: 'id' }, { pkField: 'id', maxRecords: 4 }] as Partial<IngestionJob>[]) {
      const end4 = await end({ datasource: { kind: 'odd', read } as Datasource, ...job })
      expect(end4).toMatchObject({ state: 'successful', count: 4 })
    }
    const registry = new JobRegistry({ storage: memoryStorage() })
    const endless: Datasource = {
      kind: 'odd',
      async *read(_, { signal }) {
        for (;;) {
          signal.throwIfAborted()
          yield empty
        }
      },
    }
    registry.define({ id: 'a', datasource: endless, target: () => {} })
    await registry.start('ingestion', 'a')
    expect(await registry.abort('ingestion', 'a')).toMatchObject({ state: 'aborted', count: 0 })
    await registry.close()
  })

  it.each<[unknown, string]>([
    [undefined, 'placeholder() of the datasource [odd] to return a string that is not empty, got nothing'],
    [1, 'placeholder() of the datasource [odd] to return a string that is not empty, got `1` (number)'],
    [Promise.resolve('?'), 'placeholder() of the datasource [odd] to return a string that is not empty, got a promise'],
  ])('whose placeholder is %o is refused by its name', async (placeholder, message) => {
    const datasource = { kind: 'odd', read: () => giving(), placeholder: () => placeholder } as Datasource
    const query = 'select 1 {{#last_id}}where id > {{last_id}}{{/last_id}}'
    const ended = (async () => end({ datasource, query, pkField: 'id' }))()
    await expect(ended.then(({ error }) => error, String)).resolves.toContain(message)
  })

  it('and a target that throw in `needs` are named', async () => {
    const needs = () => {
      throw new TypeError('no')
    }
    const read = () => giving()
    const ofDatasource = await end({ datasource: { kind: 'odd', read, needs } as never })
    expect(ofDatasource).toMatchObject({ state: 'error', error: 'The datasource [odd] could not answer `needs`.\nno' })
    const ofTarget = await end({ target: { kind: 'odd', open: () => ({ writer: { write: () => {} } }), needs } })
    expect(ofTarget).toMatchObject({ state: 'error', error: 'The target [odd] could not answer `needs`.\nno' })
  })

  it('that throws in `release` of its partitions is named in the log, and fails no job', async () => {
    const warn = vi.fn()
    const registry = new JobRegistry({
      storage: memoryStorage(),
      logger: { debug: () => {}, info: () => {}, warn, error: () => {} },
    })
    const release = () => Promise.reject(new TypeError('no'))
    const partition = async () => ({ bounds: [], release })
    const datasource = { ...testDatasource([{ id: 1 }]), kind: 'odd', partition }
    registry.define({ id: 'a', datasource, query: 'all', cursor: 'id', partitions: 2, target: () => {} })
    expect(await (await registry.start('ingestion', 'a')).finished).toMatchObject({ state: 'successful', count: 1 })
    const error = ['The datasource [odd] could not answer `release`.', 'no']
    expect(warn).toHaveBeenCalledWith(expect.objectContaining({ error }), expect.stringContaining('snapshot'))
    await registry.close()
  })

  it('may have a placeholder that needs its object', async () => {
    class Marked implements Datasource {
      readonly kind = 'marked'
      readonly #sign = '?'
      placeholder = function (this: Marked, n: number) {
        return `${this.#sign}${n}`
      }
      read = () => giving(RecordBatch.fromRecords(records)) as AsyncIterable<RecordBatch>
    }
    const query = 'select 1 {{#last_id}}where id > {{last_id}}{{/last_id}} order by id'
    expect(await end({ datasource: new Marked(), query, pkField: 'id' })).toMatchObject({ state: 'successful' })
  })

  it.each([
    { remedy: () => '', capacity: 1 },
    { remedy: () => '', name: 'x' },
    { remedy: () => '', name: 'x', capacity: Number.NaN },
    { remedy: () => '', name: 'x', capacity: 1, spare: 'y' },
    { name: 'x', capacity: 1 },
  ])('that needs %o is refused', async (resource) => {
    const needs = () => [{ resource, count: 1 }]
    const { state, error } = await end({ datasource: { kind: 'odd', read: () => giving(), needs } as never })
    expect([state, error]).toEqual([
      'error',
      expect.stringContaining('needs() of the datasource to return an array of'),
    ])
  })

  it.each<[string, object]>([
    ['no bounds', { bounds: undefined }],
    ['numbers', { bounds: [1] }],
    ['too many', { bounds: ['1', '2', '3'] }],
    ['equal ones', { bounds: ['1', '1'] }],
    ['a snapshot that is no text', { bounds: ['1'], snapshot: 1 }],
    ['a start that is no JSON', { bounds: ['1'], start: 1n }],
  ])('whose partition() gives %s fails the job by its name, and releases the snapshot', async (_, partitioning) => {
    const release = vi.fn(async () => {})
    const partition = async () => ({ ...partitioning, release })
    const answer = checkedPartitioning((await partition()) as never, 3)
    await expect(answer).rejects.toThrow('Expected partition() of the datasource to return an object with the method')
    expect(release).toHaveBeenCalledTimes(1)
  })

  it('that gives what is no batch is told to stop', async () => {
    let stopped = 0
    await reading(async function* () {
      try {
        yield records
      } finally {
        stopped++
      }
    })
    expect(stopped).toBe(1)
  })

  it.each([[{}], [{ return: () => undefined }], [{ return: async () => ({}) }]])(
    'may have an iterator with %o',
    async (more) => {
      let left = 1
      const next = async () => (left-- > 0 ? { value: RecordBatch.fromRecords(records) } : { done: true })
      const datasource = { kind: 'odd', read: () => ({ [Symbol.asyncIterator]: () => ({ next, ...more }) }) }
      expect(await end({ datasource: datasource as never, maxRecords: 1 })).toMatchObject({
        state: 'successful',
        count: 1,
      })
    },
  )

  it('that throws as it stops fails the job with what it threw', async () => {
    const next = async () => ({ value: RecordBatch.fromRecords(records) })
    const datasource = { kind: 'odd', read: () => ({ [Symbol.asyncIterator]: () => ({ next, return: fail }) }) }
    expect(await end({ datasource: datasource as never, maxRecords: 1 })).toMatchObject({ state: 'error' })
  })
})

describe('a target', () => {
  it.each<[unknown, string]>([
    [undefined, 'open() of the target to return an object whose `writer` has the method `write`, got nothing'],
    [null, 'open() of the target to return an object whose `writer` has the method `write`, got null'],
    [{}, 'open() of the target to return an object whose `writer` has the method `write`, got a value of type object'],
    [
      { writer: { write: () => {}, flush: 1 } },
      'open() of the target to return a writer whose `flush` is a function, got `1` (number)',
    ],
    [{ writer: { write: () => {}, commit: {} } }, 'a writer whose `commit` is a function, got a value of type object'],
    [{ write: () => {} }, 'an object whose `writer` has the method `write`, got a value of type object'],
    [
      { writer: { write: () => {} }, resume: 'checkpoint' },
      '`resume` is `position`, `restart` or an object with `checkpoint`, got `checkpoint` (string)',
    ],
  ])('that opens as %o fails the job', async (writer, message) => {
    const target = { kind: 'odd', open: () => writer } as Target
    for (const job of [{ target }, { failures: { total: 1, deadLetters: target } }] as Partial<IngestionJob>[]) {
      const { state, error } = await end(job)
      expect([state, error]).toEqual(['error', expect.stringContaining(message)])
    }
  })

  it('whose isReset gives no boolean fails the job by its name', async () => {
    const writer = { write: () => {}, isReset: async () => 'yes' as never }
    await expect(checkTarget({ writer, resume: 'position' }, { written: 1, ifTargetReset: 'fail' })).rejects.toThrow(
      'Expected isReset() of the target to return true or false, got `yes` (string).',
    )
  })

  it.each<[string, () => unknown]>([
    ['a bigint', () => ({ at: 1n })],
    ['a function', () => () => {}],
    [
      'an endless object',
      () => {
        const endless: Record<string, unknown> = {}
        endless.self = endless
        return endless
      },
    ],
  ])('whose flush gives %s fails the job by its name', async (_, flush) => {
    const target = {
      kind: 'odd',
      capabilities: { writesAtomically: true },
      open: () => ({ writer: { write: () => {}, flush } }),
    } as Target
    for (const job of [
      { target },
      { failures: { total: 9, deadLetters: target }, transform: fail },
    ] as Partial<IngestionJob>[]) {
      const { state, error } = await end({ pkField: 'id', ...job })
      expect([state, error]).toEqual([
        'error',
        expect.stringMatching(/flush\(\) of the target to (return nothing or a JSON value|have done its work)/),
      ])
    }
  })

  it('may write without a promise, and have no other method', async () => {
    let written = 0
    const write = (batch: RecordBatch) => {
      written += batch.length
    }
    const target: Target = { kind: 'plain', open: () => ({ writer: { write } }) }
    expect(await end({ target })).toMatchObject({ state: 'successful', count: 2 })
    expect(written).toBe(2)
  })
})

describe('a batch', () => {
  const columns = [{ name: 'id', type: 'text' }] as const
  it.each<[string, () => unknown, string]>([
    ['fromRows', () => RecordBatch.fromRows(null as never, []), 'Expected `columns` to be an array of columns'],
    ['fromRows', () => RecordBatch.fromRows([null] as never, []), 'Expected `columns` to be an array of columns'],
    [
      'fromRows',
      () => RecordBatch.fromRows(columns, null as never),
      'Expected `rows` to be an array of arrays of values',
    ],
    [
      'fromRows',
      () => RecordBatch.fromRows(columns, [{}] as never),
      'Expected `rows` to be an array of arrays of values',
    ],
    ['fromRecords', () => RecordBatch.fromRecords(null as never), 'Expected `records` to be an array of objects'],
    ['fromRecords', () => RecordBatch.fromRecords([1] as never), 'Expected `records` to be an array of objects'],
    ['fromEncoded', () => RecordBatch.fromEncoded(columns, null as never), 'Expected `encoded` to be an object with'],
  ])('%s names what is wrong', (_, make, message) => {
    expect(() => make()).toThrow(message)
  })

  it('is known across copies of the package', () => {
    expect(RecordBatch.isInstance(RecordBatch.fromRecords([]))).toBe(true)
    expect([null, [], {}].some(RecordBatch.isInstance)).toBe(false)
  })
})

function fail(): never {
  throw new Error('no')
}

describe('an adapter that does not stop', () => {
  const never = () => new Promise<never>(() => {})

  async function start(job: Partial<IngestionJob>) {
    const clock = fakeClock()
    const warn = vi.fn()
    const logger = { debug: () => {}, info: () => {}, warn, error: () => {} }
    const registry = new JobRegistry({ storage: memoryStorage({ clock }), clock, logger })
    registry.define({ id: 'a', datasource: iterableDatasource(records), target: () => {}, ...job } as IngestionJob)
    const execution = await registry.start('ingestion', 'a')
    await clock.advance(10_000)
    return { registry, execution, clock, logged: JSON.stringify(warn.mock.calls) }
  }

  it('is left behind as a datasource, and its job ends with what failed', async () => {
    const iterator = { next: async () => ({ done: false, value: 3 }), return: never }
    const read = () => ({ [Symbol.asyncIterator]: () => iterator })
    const { registry, execution, logged } = await start({ datasource: { kind: 'odd', read } as unknown as Datasource })
    expect(await execution.finished).toMatchObject({ state: 'error' })
    expect(logged).toContain('The datasource did not stop reading within 10000 ms and was left behind.')
    await registry.close()
  })

  it('hides no failure as a target', async () => {
    const writer = { write: () => Promise.reject(new Error('the reason')), abort: never }
    const { registry, execution, clock, logged } = await start({ target: { kind: 'odd', open: () => ({ writer }) } })
    expect(logged).toContain('the reason')
    expect(logged).toContain('is still being stopped after 10000 ms')
    await clock.advance(60_000)
    expect(await execution.finished).toMatchObject({ state: 'error', error: expect.arrayContaining(['the reason']) })
    await registry.close()
  })

  it('is left behind as a target of an aborted job, which ends in error', async () => {
    const target: Target = {
      kind: 'odd',
      open: ({ signal }) => {
        const write = () =>
          new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
        return { writer: { write, abort: never } }
      },
    }
    const { registry, execution, clock } = await start({ target })
    const aborted = registry.abort('ingestion', 'a', { timeout: 200_000 })
    await clock.advance(30_000)
    await clock.advance(40_000)
    expect(await execution.finished).toMatchObject({
      state: 'error',
      error: expect.arrayContaining(['It did not stop within 60000 ms and was left behind.']),
    })
    await aborted
    await registry.close()
  })
})
