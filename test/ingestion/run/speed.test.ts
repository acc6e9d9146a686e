import { describe, expect, onTestFinished, test } from 'vitest'
import { type CountOptions, RecordBatch } from '../../../src/adapter.js'
import {
  type Datasource,
  type IngestionDetail,
  type IngestionJob,
  JobError,
  type JobParams,
  JobRegistry,
  memoryStorage,
} from '../../../src/index.js'
import { collectingTarget, fakeClock, testDatasource } from '../../../src/testing/index.js'

const start = Date.UTC(2024, 0, 1)

/** Runs a job on a clock that each batch advances by two seconds, and returns the details that it reported. */
async function run(job: Partial<IngestionJob>, datasource: Datasource, params?: JobParams) {
  const clock = fakeClock(start)
  const registry = new JobRegistry({ storage: memoryStorage({ clock }), clock, progressInterval: 0 })
  onTestFinished(() => registry.close({ timeout: 0 }))
  registry.define({ id: 'a', datasource: slow(datasource), target: collectingTarget(), ...job } as IngestionJob)
  const reported: IngestionDetail[] = []
  registry.on('progress', ({ status }) => {
    if ('detail' in status && status.detail) reported.push(status.detail as IngestionDetail)
  })
  const { finished } = await registry.start('ingestion', 'a', params && { params })
  let status: Awaited<typeof finished> | undefined
  void finished.then((ended) => {
    status = ended
  })
  for (let turn = 0; turn < 100 && !status; turn++) await clock.advance(1000)
  return { detail: (await finished).detail as IngestionDetail, reported }

  function slow(source: Datasource): Datasource {
    const paced = async function* <Read>(reads: AsyncIterable<Read>) {
      for await (const read of reads) {
        await new Promise<void>((resolve) => clock.setTimer(2000, resolve))
        yield read
      }
    }
    const { readByCursor } = source
    return {
      ...source,
      read: (...args) => paced(source.read(...args)),
      ...(readByCursor && { readByCursor: (...args) => paced(readByCursor.apply(source, args)) }),
    }
  }
}

const batchOf = (...records: object[]) => RecordBatch.fromRecords(records) as RecordBatch

const plain = (...batches: RecordBatch[]): Datasource => ({
  kind: 'test',
  async *read() {
    yield* batches
  },
})

test('an ingestion reports its attempt and its records per second', async () => {
  const { detail, reported } = await run({}, plain(batchOf({ id: 1 }, { id: 2 }), batchOf({ id: 3 }, { id: 4 })))
  expect(detail).toMatchObject({ read: 4, attempt: 1, rowsPerSecond: 1 })
  expect(reported.length).toBeGreaterThan(0)
  expect(detail).not.toHaveProperty('bytes')
  expect(detail).not.toHaveProperty('position')
})

test('a retry is a new attempt, whose rate does not count earlier records', async () => {
  let attempts = 0
  const datasource: Datasource = {
    kind: 'test',
    capabilities: { resumesAfterId: true },
    async *read(_, { lastId }) {
      if (attempts++ === 0) {
        yield batchOf({ id: 1 }, { id: 2 }, { id: 3 }, { id: 4 })
        throw new JobError('datasource', 'lost', { isTransient: true })
      }
      expect(lastId).toBe('4')
      yield batchOf({ id: 5 }, { id: 6 })
    },
  }
  const { detail } = await run({ pkField: 'id', retry: { limit: 1, delay: 0 } }, datasource)
  expect(detail).toMatchObject({ read: 6, attempt: 2, rowsPerSecond: 1 })
})

test.each<[string, Partial<IngestionJob>]>([
  ['as they came', {}],
  ['through a transform', { transform: ({ id }) => ({ id, more: 'text' }) }],
])('rows in the format of the server count their bytes as they were sent, also when they go %s', async (_, job) => {
  const encoded = {
    ...{ format: 'test', length: 1, chunks: [new Uint8Array(7)], rows: () => [['1']], values: () => ['1'] },
    ...{ lastValue: () => '1', slice: () => encoded },
  }
  const batches = [1, 2].map(() => RecordBatch.fromEncoded([{ name: 'id', type: 'bigint' }], encoded))
  const { detail } = await run(job, plain(...batches))
  expect(detail).toMatchObject({ read: 2, bytes: 14 })
  expect(detail.bytesPerSecond).toBeGreaterThan(0)
})

test('a cursor over times reports where it stands, and how far that is behind', async () => {
  const at = new Date(start - 60_000)
  const datasource: Datasource = {
    ...plain(),
    async *readByCursor() {
      yield { batch: batchOf({ at, id: 1 }), position: 1 }
    },
  }
  const { detail } = await run({ cursor: ['at', 'id'] }, datasource)
  expect(detail.position).toBe(at.toISOString())
  // Two seconds for the batch, and up to one more until it is reported.
  expect(detail.lag).toBeGreaterThanOrEqual(62_000)
  expect(detail.lag).toBeLessThanOrEqual(63_000)
})

test('a cursor over numbers reports where it stands, without a lag', async () => {
  const datasource: Datasource = {
    ...plain(),
    async *readByCursor() {
      yield { batch: batchOf({ id: 5 }, { id: 7 }), position: 7 }
      yield { batch: batchOf({ id: 6 }), isReplay: true, position: 7 }
    },
  }
  const { detail } = await run({ cursor: 'id' }, datasource)
  expect(detail.position).toBe('7')
  expect(detail).not.toHaveProperty('lag')
})

describe('total', () => {
  const batches = [batchOf({ id: 1 }, { id: 2 }), batchOf({ id: 3 }, { id: 4 }), batchOf({ id: 5 })]

  test('a datasource that counts gives the total, the percentage and the time that is left', async () => {
    const asked: boolean[] = []
    const count = async (_: unknown, { isEstimate }: CountOptions) => {
      asked.push(isEstimate)
      return 5
    }
    const { detail, reported } = await run({ total: 'count' }, { ...plain(...batches), count })
    expect(asked).toEqual([false])
    // A record per second: three are left after two of five.
    expect(reported).toContainEqual(expect.objectContaining({ read: 2, total: 5, percent: 40, eta: 3000 }))
    expect(detail).toMatchObject({ read: 5, total: 5, percent: 100, eta: 0 })
  })

  test('an estimate that is too low grows, and one that is too high gives way at the end', async () => {
    const count =
      (total: number) =>
      async (_: unknown, { isEstimate }: CountOptions) =>
        isEstimate ? total : undefined
    const low = await run({ total: 'estimate' }, { ...plain(...batches), count: count(3) })
    expect(low.reported).toContainEqual(expect.objectContaining({ read: 4, total: 4, percent: 100, eta: 0 }))
    expect(low.detail).toMatchObject({ read: 5, total: 5, percent: 100 })
    const high = await run({ total: 'estimate' }, { ...plain(...batches), count: count(50) })
    expect(high.reported).toContainEqual(expect.objectContaining({ read: 4, total: 50, percent: 8 }))
    expect(high.detail).toMatchObject({ read: 5, total: 5, percent: 100, eta: 0 })
  })

  test('the total has what earlier attempts have read, and at most `maxRecords`', async () => {
    let attempts = 0
    const datasource: Datasource = {
      kind: 'test',
      capabilities: { resumesAfterId: true },
      async *read(_, { lastId }) {
        yield batchOf({ id: Number(lastId ?? 0) + 1 }, { id: Number(lastId ?? 0) + 2 })
        if (attempts++ === 0) throw new JobError('datasource', 'lost', { isTransient: true })
      },
      count: async (_, { lastId }) => 10 - Number(lastId ?? 0),
    }
    const job = { pkField: 'id', retry: { limit: 1, delay: 0 }, total: 'count' } as const
    const { reported } = await run(job, datasource)
    expect(reported).toContainEqual(expect.objectContaining({ read: 2, total: 10, percent: 20 }))
    expect(reported).toContainEqual(expect.objectContaining({ read: 2, attempt: 2, total: 10 }))
    attempts = 1
    const limited = await run({ ...job, maxRecords: 1 }, datasource)
    expect(limited.detail).toMatchObject({ read: 1, total: 1, percent: 100 })
  })

  test.each([['5'], [5], [5n]])('a query of its own gives the total as %o', async (answer) => {
    const asked: unknown[] = []
    const datasource: Datasource = {
      kind: 'test',
      async *read({ text, values }) {
        asked.push({ text, values })
        if (text.includes('count')) yield batchOf({ count: answer })
        else yield* batches
      },
    }
    const total = { query: 'select count(*) from t where kind = {{params.kind}}' }
    const { detail } = await run({ query: 'all', total }, datasource, { kind: 'b' })
    expect(asked).toContainEqual({ text: 'select count(*) from t where kind = $1', values: ['b'] })
    expect(detail).toMatchObject({ total: 5, percent: 100 })
  })

  test.each<[string, Partial<Datasource>]>([
    ['fails', { count: () => Promise.reject(new Error('no')) }],
    ['is no number', { count: async () => -1 }],
    ['never comes', { count: () => new Promise(() => {}) }],
  ])('a count that %s neither fails nor delays the job', async (_, counting) => {
    const { detail } = await run({ total: 'count' }, { ...plain(...batches), ...counting })
    expect(detail).toMatchObject({ read: 5 })
    expect(detail).not.toHaveProperty('total')
  })

  test('a count that is still under way is cancelled when the read ends', async () => {
    let reason: unknown
    const count = (_: unknown, { signal }: CountOptions) =>
      new Promise<number>((_, reject) => {
        signal.addEventListener('abort', () => {
          reason = signal.reason
          reject(signal.reason)
        })
      })
    await run({ total: 'count' }, { ...plain(...batches), count })
    expect(reason).toBeDefined()
  })

  test.each<[Partial<IngestionJob>, string]>([
    [
      { total: 'count' },
      'Expected `total` to be omitted or an object with `query`, as the datasource [test] cannot count, got `count` (string)',
    ],
    [
      { total: 'all' as 'count' },
      'Expected `total` to be `count`, `estimate`, or an object with `query`, a string that is not empty, got `all` (string)',
    ],
    [{ total: { query: '' } }, 'Expected `total` to be `count`, `estimate`, or an object with `query`'],
  ])('%o is refused', async (job, message) => {
    const registry = new JobRegistry({ storage: memoryStorage() })
    onTestFinished(() => registry.close())
    const definition = { id: 'a', datasource: plain(), target: collectingTarget(), ...job } as IngestionJob
    expect(() => registry.define(definition)).toThrow(message)
  })
})

test.each(['count', 'estimate', { query: 'select 1' }] as const)(
  'a checkpoint that no read can begin at is logged once, also with the total %o',
  async (total) => {
    const logged: string[] = []
    const keep = (_: object, message: string) => logged.push(message)
    const logger = { debug() {}, info() {}, warn: keep, error: keep }
    await using registry = new JobRegistry({ storage: memoryStorage(), logger })
    const datasource = testDatasource([{ id: 1 }, { id: 2 }])
    const job = { id: 'a', datasource, target: () => {} }
    const run = async () => (await registry.start('ingestion', 'a')).finished
    registry.define({ ...job, query: 'a {{#last_id}}{{last_id}}{{/last_id}}', pkField: 'id' })
    await run()
    registry.remove('ingestion', 'a')
    registry.define({ ...job, cursor: 'id', total })
    expect(await run()).toMatchObject({
      state: 'error',
      error: [expect.any(String), expect.stringMatching(/without `cursor`/)],
    })
    expect(logged).toEqual([expect.stringMatching(/^Job \[ingestion\/a\] failed: /)])
  },
)
