import { expect, onTestFinished, test } from 'vitest'
import { RecordBatch } from '../../../src/adapter.js'
import {
  type Datasource,
  type IngestionDetail,
  type IngestionJob,
  JobError,
  JobRegistry,
  memoryStorage,
} from '../../../src/index.js'
import { collectingTarget, fakeClock } from '../../../src/testing/index.js'

const start = Date.UTC(2024, 0, 1)

/** Runs a job on a clock that each batch advances by two seconds, and returns the details that it reported. */
async function run(job: Partial<IngestionJob>, datasource: Datasource) {
  const clock = fakeClock(start)
  const registry = new JobRegistry({ storage: memoryStorage({ clock }), clock, progressInterval: 0 })
  onTestFinished(() => registry.close({ timeout: 0 }))
  registry.define({ id: 'a', datasource: slow(datasource), target: collectingTarget(), ...job } as IngestionJob)
  const reported: IngestionDetail[] = []
  registry.on('progress', ({ status }) => {
    if ('detail' in status && status.detail) reported.push(status.detail as IngestionDetail)
  })
  const { finished } = await registry.start('ingestion', 'a')
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
