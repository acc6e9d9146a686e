import {
  type Datasource,
  type IngestionDetail,
  type IngestionJob,
  isIngestion,
  JobRegistry,
  memoryStorage,
} from 'headgate'
import { type CountOptions, RecordBatch } from 'headgate/adapter'
import { iterableDatasource } from 'headgate/iterable'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { people } from '../people.js'
import { deferred, Gate, PartWorld } from './partitions-support.js'

/** The first detail of a job that is as wanted. */
function detailWith(registry: JobRegistry, isWanted: (detail: IngestionDetail) => boolean): Promise<IngestionDetail> {
  return new Promise((resolve) => {
    registry.on('progress', ({ status }) => {
      if (isIngestion(status) && status.detail && isWanted(status.detail)) resolve(status.detail)
    })
  })
}

const readOf = ({ partitions }: IngestionDetail, number: number) => partitions?.list[number]?.read

/** The part of 300 records, with one decimal. */
const percentOf = (read: number) => Math.floor((1000 * read) / 300) / 10

describePostgres('the total of a job with partitions in Postgres', (database) => {
  let world: PartWorld
  beforeEach(async () => {
    world = new PartWorld(database.url)
    await world.fill(300)
    await world.admin.query('drop table if exists headgate_checkpoint')
  })
  afterEach(() => world.close())

  it.each<[string, NonNullable<IngestionJob['total']>]>([
    ['the datasource counts', 'count'],
    ['a query of its own counts', { query: 'select count(*) from source' }],
  ])('is that of all partitions, when %s', async (_, total) => {
    const registry = world.registry({ concurrency: 2, isAlone: true })
    const gate = new Gate((id) => id === 150)
    world.define({ partitions: [101, 201], total, transform: gate.transform })
    const held = detailWith(registry, (detail) => readOf(detail, 1) === 40 && detail.total !== undefined)
    const execution = await registry.start('ingestion', 'copy')
    const { read, ...detail } = await held
    expect(detail).toMatchObject({ total: 300, percent: percentOf(read), eta: expect.any(Number) })
    gate.open()
    expect((await execution.finished).detail).toMatchObject({ read: 300, total: 300, percent: 100, eta: 0 })
  })

  it('is that of the rest, when partitions resume', async () => {
    const registry = world.registry({ concurrency: 2, isAlone: true })
    const gates = [new Gate((id) => id === 150), new Gate((id) => id === 250)]
    let gate = gates[0] as Gate
    const transform: IngestionJob['transform'] = (record, context) => gate.transform(record, context)
    world.define({ partitions: [101, 201], total: 'count', transform })
    await registry.start('ingestion', 'copy')
    await gate.reached
    const first = (await registry.abort('ingestion', 'copy'))?.detail?.read ?? 0
    expect(first).toBeGreaterThan(0)
    gate = gates[1] as Gate
    const held = detailWith(registry, ({ total }) => total !== undefined)
    const execution = await registry.start('ingestion', 'copy')
    expect((await held).total).toBe(300 - first)
    gate.open()
    const { detail } = await execution.finished
    expect(detail).toMatchObject({ read: 300 - first, total: 300 - first, percent: 100 })
  })
})

describe('the total of a job with partitions', () => {
  let registry: JobRegistry
  beforeEach(() => {
    registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 0, concurrency: 2 })
  })
  afterEach(() => registry.close({ timeout: 1000 }))

  type Counting = NonNullable<Datasource['count']>

  const define = (job: Partial<IngestionJob>, count?: Counting) => {
    const datasource = iterableDatasource(people(1, 300))
    const counting = count && { count }
    const definition = { id: 'people', cursor: 'id', partitions: 3, batchSize: 10, target: () => undefined, ...job }
    registry.define({ ...definition, datasource: { ...datasource, ...counting } } as IngestionJob)
  }

  it('is asked once, by the parent, of the whole query', async () => {
    const asked: Pick<CountOptions, 'isEstimate' | 'cursor'>[] = []
    const gate = new Gate((id) => id === 150)
    define({ total: 'estimate', transform: gate.transform }, async (_, { isEstimate, cursor }) => {
      asked.push({ isEstimate, cursor: cursor as NonNullable<typeof cursor> })
      return 600
    })
    const held = detailWith(registry, ({ total }) => total !== undefined)
    const execution = await registry.start('ingestion', 'people')
    expect((await held).total).toBe(600)
    gate.open()
    expect((await execution.finished).detail).toMatchObject({ read: 300, total: 300, percent: 100, eta: 0 })
    expect(asked).toMatchObject([{ isEstimate: true, cursor: { columns: ['id'], isStart: true } }])
    expect(asked[0]?.cursor).not.toHaveProperty('range')
  })

  it('counts from where the job has come to', async () => {
    const source = people(1, 300)
    const counts: unknown[] = []
    let counted = deferred()
    const datasource = iterableDatasource(() => source)
    const count: Counting = async (...args) => {
      const left = await datasource.count?.(...args)
      counts.push(left)
      counted.resolve()
      return left
    }
    const target = () => counted.promise
    registry.define({
      id: 'a',
      cursor: 'id',
      partitions: 3,
      total: 'count',
      target,
      datasource: { ...datasource, count },
    })
    for (const more of [people(301, 310), []]) {
      await (await registry.start('ingestion', 'a')).finished
      source.push(...more)
      counted = deferred()
    }
    expect(counts).toEqual([300, 10])
  })

  it('is that of all ranges, without a cursor', async () => {
    const between = (from = 0, until = 999) =>
      people(1, 300).filter(({ id }) => Number(id) >= from && Number(id) < until)
    const number = (bound: unknown) => (bound === undefined ? undefined : Number(bound))
    const datasource: Datasource = {
      kind: 'ranges',
      capabilities: { readsRanges: true },
      async *read(_, { range = {} }) {
        yield RecordBatch.fromRecords(between(number(range.from), number(range.until))) as RecordBatch
      },
      count: async () => between().length,
    }
    const gate = new Gate((id) => id === 150)
    const transform = gate.transform
    registry.define({ id: 'a', datasource, partitions: [101, 201], total: 'count', transform, target: () => undefined })
    const held = detailWith(registry, ({ total, read }) => total !== undefined && read > 0)
    const execution = await registry.start('ingestion', 'a')
    const { read, total, percent } = await held
    expect({ total, percent }).toEqual({ total: 300, percent: percentOf(read) })
    gate.open()
    expect((await execution.finished).detail).toMatchObject({ read: 300, total: 300, percent: 100 })
  })

  it.each<[string, Counting]>([
    ['fails', () => Promise.reject(new Error('no'))],
    ['is no number', async () => -1],
    ['is not known', async () => undefined],
  ])('that %s neither fails nor delays the job', async (_, count) => {
    define({ total: 'count' }, count)
    const { state, detail } = await (await registry.start('ingestion', 'people')).finished
    expect({ state, read: detail?.read }).toEqual({ state: 'successful', read: 300 })
    expect(detail).not.toHaveProperty('total')
  })

  it('is no longer counted when the partitions have ended', async () => {
    const aborted = deferred()
    define({ total: 'count' }, (_, { signal }) => {
      signal.addEventListener('abort', () => aborted.resolve())
      return new Promise(() => {})
    })
    const { state, detail } = await (await registry.start('ingestion', 'people')).finished
    await aborted.promise
    expect(state).toBe('successful')
    expect(detail).not.toHaveProperty('total')
  })
})
