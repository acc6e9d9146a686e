import { type Datasource, type IngestionJob, JobRegistry, type JobStatus, memoryStorage, type Target } from 'headgate'
import { newExecutionId, RecordBatch, type TargetWriter } from 'headgate/adapter'
import { afterEach, beforeEach, expect, test } from 'vitest'

type Job = Partial<IngestionJob>

/** What these tests need of a system. Each test begins without tables, apart from what `run` of another test has made. */
export interface EmptiedTable {
  datasource(): Datasource
  /** A target over the table `t`, which it may create. */
  target(): Target
  run(...statements: string[]): Promise<void>
  rows(query: string): Promise<unknown[][]>
  /** Why jobs have no partitions. */
  readonly hasNoPartitions?: string
}

const ids = Array.from({ length: 100 }, (_, n) => n + 1)
const source = ids.map((id) => `(${id}, '${id % 2 === 0 ? 'acme' : 'bolt'}')`).join(', ')
const createT = 'create table t (id int, customer varchar(10))'

/** Tests of several jobs that append to one table which somebody has emptied. */
export function foundEmptyTests({ datasource, target, run: execute, rows, hasNoPartitions }: EmptiedTable): void {
  let registry: JobRegistry
  let warnings: string[]
  let writers: TargetWriter[]

  beforeEach(async () => {
    warnings = []
    writers = []
    const ignore = () => undefined
    const warn = (_: object, text: string) => void warnings.push(text)
    const logger = { debug: ignore, info: ignore, error: ignore, warn }
    registry = new JobRegistry({ storage: memoryStorage(), logger, progressInterval: 0 })
    await execute(
      ...['source', 't', 'kept', 'headgate_checkpoint'].map((name) => `drop table if exists ${name}`),
      'create table source (id int primary key, customer varchar(10))',
      `insert into source values ${source}`,
      createT,
    )
  })
  afterEach(async () => {
    await registry.close()
    for (const writer of writers) await writer.abort?.({ reason: 'over', leaseLost: false })
  })

  const define = (customer: string, more: Job = {}) => {
    registry.remove('ingestion', customer)
    registry.define({
      id: customer,
      datasource: datasource(),
      query: `select * from source where customer = '${customer}'`,
      cursor: 'id',
      batchSize: 20,
      target: target(),
      ...more,
    })
  }
  const run = async (id: string): Promise<JobStatus> => (await registry.start('ingestion', id)).finished
  const counts = async () => {
    const found = await rows('select customer, count(*) from t group by customer order by customer')
    return Object.fromEntries(found.map(([customer, count]) => [customer, Number(count)]))
  }
  const marks = async () => {
    const found = await rows('select id, checkpoint from headgate_checkpoint order by id')
    const kept = found.map(([id, checkpoint]) => [id, JSON.parse(String(checkpoint))?.emptiedBy?.id])
    return Object.fromEntries(kept.filter(([, by]) => by !== undefined))
  }
  const all = { acme: 50, bolt: 50 }
  const successful = { state: 'successful' }
  const lost = expect.stringMatching(/Job \[ingestion\/acme\] has found `.*t` empty.*`reset`/)
  const isLost = { state: 'error', error: expect.arrayContaining([lost]) }
  const load = async (more: Job = {}) => {
    for (const id of ['acme', 'bolt']) {
      define(id, more)
      expect(await run(id)).toMatchObject(successful)
    }
  }
  const empty = () => execute('delete from t')

  const restart = { ifTargetReset: 'restart' } as const
  const ways: Record<string, { more?: Job; again(): Promise<JobStatus> }> = {
    'loads everything again': { more: restart, again: () => run('acme') },
    'has failed, and was reset': {
      again: async () => {
        expect(await run('acme')).toMatchObject({ state: 'error' })
        await registry.reset('ingestion', 'acme')
        return run('acme')
      },
    },
    'loads only what is new': {
      more: { ifTargetReset: 'continue' },
      again: async () => {
        await execute(`insert into source values (102, 'acme')`)
        return run('acme')
      },
    },
    ...(!hasNoPartitions && { 'has partitions': { more: { ...restart, partitions: 2 }, again: () => run('acme') } }),
  }

  test.each(Object.entries(ways))('fails the other jobs once a job %s', async (_, { more, again }) => {
    define('acme', more)
    define('bolt')
    await run('acme')
    await run('bolt')
    await empty()
    expect(await again()).toMatchObject(successful)
    expect(await marks()).toEqual({ bolt: 'acme' })
    expect(await run('bolt')).toMatchObject(isLost)
    expect(await run('acme')).toMatchObject(successful)
    await registry.reset('ingestion', 'bolt')
    expect(await run('bolt')).toMatchObject(successful)
    expect(await counts()).toMatchObject({ bolt: 50 })
  })

  test('one job after the other loads everything again, once', async () => {
    await load(restart)
    await empty()
    for (const id of ['acme', 'bolt', 'acme', 'bolt']) expect(await run(id)).toMatchObject(successful)
    expect(await counts()).toEqual(all)
    expect(warnings).toEqual([
      expect.stringMatching(/`.*t` is empty, though 1 other job has written to it: \[ingestion\/bolt\]/),
    ])
  })

  test('two jobs that find it at once load everything again, once', async () => {
    await load({ ...restart, resume: 'auto', retry: { limit: 5, delay: 1 } })
    for (let n = 0; n < 2; n++) {
      await empty()
      expect(await Promise.all([run('acme'), run('bolt')])).toMatchObject([successful, successful])
      expect(await Promise.all([run('acme'), run('bolt')])).toMatchObject([successful, successful])
      expect(await counts()).toEqual(all)
    }
  })

  const opened = async (id: string) => {
    const { signal } = new AbortController()
    const executionId = newExecutionId(id, Date.now())
    const state = { position: undefined, isResumed: true, isResumable: true, ifReset: 'restart' } as const
    const { writer } = await target().open({ type: 'ingestion', id, executionId, signal, ...state })
    writers.push(writer)
    const commit = async (record: number) => {
      const context = { type: 'ingestion', id, executionId, signal, idempotencyKey: `${id}:${record}` }
      await writer.write(RecordBatch.fromRecords([{ id: record, customer: id }]), context)
      await writer.flush?.({ sequence: record })
    }
    return { commit, isReset: async () => writer.isReset?.() }
  }

  test.each(['before', 'after'])(
    'a job that opens it %s another one has marked it commits all that it loads again',
    async (when) => {
      await load()
      await empty()
      const early = when === 'before' ? await opened('bolt') : undefined
      const acme = await opened('acme')
      expect(await acme.isReset()).toBe(true)
      const bolt = early ?? (await opened('bolt'))
      expect(await bolt.isReset()).toBe(true)
      for (const record of [1, 2]) for (const { commit } of [bolt, acme]) await commit(record)
      expect(await counts()).toEqual({ acme: 2, bolt: 2 })
      expect(await marks()).toEqual({})
    },
  )

  test('a new job lets the others know', async () => {
    await load()
    await empty()
    define('new', { query: 'select 1 as id' })
    expect(await run('new')).toMatchObject(successful)
    expect(await marks()).toEqual({ acme: 'new', bolt: 'new' })
  })

  test('a run that fails marks no job, so that all go on when the rows are restored', async () => {
    await load()
    await execute('create table kept as select * from t')
    await empty()
    expect(await run('acme')).toMatchObject({ state: 'error' })
    await execute('insert into t select * from kept')
    expect(await run('acme')).toMatchObject(successful)
    expect(await run('bolt')).toMatchObject(successful)
    expect(await counts()).toEqual(all)
  })

  test('a job is not marked whose rows are there, and one that has written none', async () => {
    await load(restart)
    define('none', { query: 'select 1 as id from source where id < 0' })
    await run('none')
    await execute(`delete from t where customer = 'acme'`)
    await registry.reset('ingestion', 'acme')
    expect(await run('acme')).toMatchObject(successful)
    expect(await marks()).toEqual({})
    await empty()
    expect(await run('acme')).toMatchObject(successful)
    expect(await marks()).toEqual({ bolt: 'acme' })
  })

  test('a job that creates the table again lets the others know', async () => {
    await load()
    await execute('drop table t')
    await registry.reset('ingestion', 'acme')
    expect(await run('acme')).toMatchObject(successful)
    expect(await marks()).toEqual({ bolt: 'acme' })
    expect(await run('bolt')).toMatchObject({ state: 'error' })
  })
}
