import { type CursorOptions, JobError, type JobRecord, JobRegistry, memoryStorage } from 'headgate'
import { collectingTarget, fakeClock, type TestDatasource, testDatasource } from 'headgate/testing'
import { describe, expect, test } from 'vitest'

const records = (count: number): JobRecord[] => Array.from({ length: count }, (_, index) => ({ id: index + 1 }))

function read(source: TestDatasource, options: { signal?: AbortSignal; values?: unknown[] } = {}) {
  const { signal = new AbortController().signal, values = [] } = options
  return source.read({ text: 'all', values }, { signal, batchSize: 2, lastId: undefined })[Symbol.asyncIterator]()
}

async function idsOf(iterator: AsyncIterator<{ records(): JobRecord[] }>): Promise<unknown[]> {
  const ids: unknown[] = []
  for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
    ids.push(...next.value.records().map(({ id }) => id))
  }
  return ids
}

describe('testDatasource', () => {
  test('gives records in batches and remembers what it was asked', async () => {
    const source = testDatasource(records(3))
    const iterator = read(source)
    expect((await iterator.next()).value.length).toBe(2)
    expect(source.reads).toMatchObject([{ query: { text: 'all' }, batchSize: 2, count: 2, state: 'open' }])
    expect(await idsOf(iterator)).toEqual([3])
    expect(source.reads).toMatchObject([{ count: 3, state: 'read' }])
  })

  test('gives raw rows', async () => {
    const columns = [{ name: 'id', type: 'integer', decode: Number }] as const
    const { value: batch } = await read(testDatasource({ columns, rows: [['1'], ['2']] })).next()
    expect([batch.isRaw, batch.rows, batch.records()]).toEqual([true, [['1'], ['2']], [{ id: 1 }, { id: 2 }]])
  })

  test('asks a function for the records of a query', async () => {
    const source = testDatasource(({ values: [after] }) => records(4).filter(({ id }) => Number(id) > Number(after)))
    expect(await idsOf(read(source, { values: [2] }))).toEqual([3, 4])
  })

  test('fails after so many records, every time', async () => {
    const source = testDatasource(records(5), { failAfter: 3 })
    for (const _ of [1, 2]) {
      const iterator = read(source)
      expect((await iterator.next()).value.length).toBe(2)
      expect((await iterator.next()).value.length).toBe(1)
      await expect(iterator.next()).rejects.toSatisfy(
        (error) => JobError.isInstance(error) && error.code === 'datasource',
      )
    }
    expect(source.reads).toMatchObject([
      { count: 3, state: 'failed' },
      { count: 3, state: 'failed' },
    ])
  })

  test('fails once with the given error', async () => {
    const source = testDatasource(records(2), { failAfter: 0, error: new RangeError('ordered'), once: true })
    await expect(read(source).next()).rejects.toThrow('ordered')
    expect(await idsOf(read(source))).toEqual([1, 2])
  })

  test('fails after the last record too, and not when there are fewer', async () => {
    await expect(idsOf(read(testDatasource(records(2), { failAfter: 2 })))).rejects.toThrow('failed on demand')
    expect(await idsOf(read(testDatasource(records(2), { failAfter: 3 })))).toEqual([1, 2])
  })

  test('hangs after so many records until it is aborted', async () => {
    const source = testDatasource(records(5), { hangAfter: 1 })
    const stop = new AbortController()
    const iterator = read(source, { signal: stop.signal })
    expect((await iterator.next()).value.length).toBe(1)
    const hanging = iterator.next()
    stop.abort(new RangeError('enough'))
    await expect(hanging).rejects.toThrow('enough')
    expect(source.reads[0]?.state).toBe('aborted')
  })

  test('takes its time by the clock, and can be aborted meanwhile', async () => {
    const clock = fakeClock()
    const source = testDatasource(records(4), { delay: 100, clock })
    const stop = new AbortController()
    const iterator = read(source, { signal: stop.signal })
    const first = iterator.next()
    await clock.advance(99)
    expect(source.reads[0]?.count).toBe(0)
    await clock.advance(1)
    expect((await first).value.length).toBe(2)
    const second = iterator.next()
    await clock.advance(1)
    stop.abort(new RangeError('enough'))
    await expect(second).rejects.toThrow('enough')
    expect(clock.pending).toBe(0)
  })

  describe('by a cursor', () => {
    const job = async (given: JobRecord[], cursor: CursorOptions) => {
      await using registry = new JobRegistry({ storage: memoryStorage() })
      const ids: unknown[] = []
      registry.define({
        id: 'job',
        datasource: testDatasource(given),
        cursor,
        batchSize: 2,
        target: (batch) => {
          ids.push(...batch.records().map(({ id }) => id))
        },
      })
      const status = await (await registry.start('ingestion', 'job')).finished
      return { ids, error: status.state === 'error' ? String(status.error) : undefined, detail: status.detail }
    }

    test('orders big integers and dates', async () => {
      const given = [10n, 9n].map((big) => ({ id: big, at: new Date(Number(big)) }))
      expect((await job(given, { columns: 'id' })).ids).toEqual([9n, 10n])
      expect((await job(given, { columns: 'at' })).ids).toEqual([9n, 10n])
    })

    test('fails at nulls, or leaves them out', async () => {
      const given = [{ id: 2 }, { id: null }, { id: 1 }]
      expect(await job(given, { columns: 'id' })).toMatchObject({ ids: [], error: expect.stringContaining('null') })
      const skipped = await job(given, { columns: 'id', nulls: 'skip' })
      expect(skipped).toMatchObject({ ids: [1, 2], detail: { withoutCursor: 1 } })
    })

    test.each<[JobRecord[], CursorOptions, string]>([
      [[{ id: 1 }, { id: 1 }], { columns: 'id' }, 'such as the primary key; or read such records'],
      [[{ id: 1 }, { id: 1 }], { columns: 'id' }, 'Several records have the same `id` (1)'],
      [[{ id: 1 }], { columns: 'at' }, "Expected a column `at` among the records' columns, got `id`."],
      [[{ id: [1] }], { columns: 'id' }, 'Expected the cursor column `id` to be a number'],
    ])('%j by %j fails', async (given, cursor, message) => {
      expect((await job(given, cursor)).error).toContain(message)
    })
  })

  test('knows that a reader left early', async () => {
    const source = testDatasource(records(4))
    const iterator = read(source)
    await iterator.next()
    await iterator.return?.()
    expect(source.reads[0]?.state).toBe('left')
  })

  test('knows that it was closed', async () => {
    const source = testDatasource([])
    expect(source.isClosed).toBe(false)
    await source.close?.()
    expect(source.isClosed).toBe(true)
  })
})

describe('a job by a cursor', () => {
  const job = (datasource: TestDatasource, target = collectingTarget()) =>
    ({ id: 'a', datasource, query: 'all', cursor: 'id', batchSize: 2, target }) as const

  test.each([[{ partitions: 3 }], [{ partitions: [4, 8] }], [{ parallel: 4 }], [{}]])('reads with %o', async (how) => {
    const target = collectingTarget()
    const datasource = testDatasource(records(10).toReversed())
    await using registry = new JobRegistry({ storage: memoryStorage() })
    registry.define({ ...job(datasource, target), ...how })
    const { state, count, detail } = await (await registry.start('ingestion', 'a')).finished
    expect([state, count]).toEqual(['successful', 10])
    if ('partitions' in how) expect(detail).toMatchObject({ consistency: 'snapshot', parts: { total: 3, done: 3 } })
    expect(target.records.toSorted((one, other) => Number(one.id) - Number(other.id))).toEqual(records(10))
    expect((await (await registry.start('ingestion', 'a')).finished).count).toBe(0)
  })

  test('resumes its partitions after a failure', async () => {
    const target = collectingTarget()
    const datasource = testDatasource(records(20), { failAfter: 3, once: true })
    await using registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 0 })
    registry.define({ ...job(datasource, target), partitions: 2 })
    expect((await (await registry.start('ingestion', 'a')).finished).state).toBe('error')
    expect((await (await registry.start('ingestion', 'a')).finished).state).toBe('successful')
    expect(target.records).toEqual(records(20))
  })
})
