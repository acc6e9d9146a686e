import { setTimeout } from 'node:timers/promises'
import fc from 'fast-check'
import { type IngestionJob, JobRegistry, type JobStorage, memoryStorage } from 'headgate'
import type { JobKey } from 'headgate/adapter'
import { iterableDatasource } from 'headgate/iterable'
import { postgresDatasource } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'

/** What storage held at one moment: the checkpoint of each job and partition. */
type Moment = ReadonlyMap<string, JobKey & { checkpoint: unknown }>

const templates = [
  'select * from source {{#last_id}}where id > {{last_id}}{{/last_id}} order by id',
  'select * from source {{#max_primary_key}}where id > {{max_primary_key}}{{/max_primary_key}} order by id',
  'select * from source {{#last_record}}where (a, id) > ({{last_record.1}}, {{last_record.0}}){{/last_record}} order by a, id',
  'select * from source where a > 2 {{#last_record_timestamp}}and now() > {{last_record_timestamp}}{{/last_record_timestamp}}',
]

const query = 'select * from source'

const jobs: fc.Arbitrary<Partial<IngestionJob>> = fc.oneof(
  fc.constantFrom(...templates).map((query) => ({ query, pkField: 'id' })),
  fc.constant<Partial<IngestionJob>>({
    query: ({ lastId = '0' }) => ({ text: 'select * from source where id > $1 order by id', values: [lastId] }),
    pkField: 'id',
  }),
  fc.constant<Partial<IngestionJob>>({
    datasource: iterableDatasource(({ lastId = '0' }) => people.filter(({ id }) => id > Number(lastId)), {
      resumes: true,
    }),
    pkField: 'id',
  }),
  fc
    .record({
      columns: fc.constantFrom(['id'], ['a', 'id'], ['t', 'id'], ['n', 'id']),
      nulls: fc.constantFrom('skip', 'first'),
      lookback: fc.constantFrom(0, 1),
      consistency: fc.constantFrom('statement', 'snapshot', 'pages'),
    } as const)
    .map((cursor) => ({ query, cursor })),
  fc
    .constantFrom('a', 'n')
    .map((columns) => ({ query, cursor: { columns, nulls: 'skip' as const, ties: 'drain' as const } })),
  fc.constantFrom(2, 3).map((parallel) => ({ query, cursor: ['a', 'id'], parallel })),
  fc
    .constantFrom<Partial<IngestionJob>['partitions']>(1, 3, ['4', '9'])
    .map((partitions) => ({ query, cursor: ['a', 'id'], partitions: partitions as number })),
  fc.constant<Partial<IngestionJob>>({
    query: `select * from source where id >= coalesce({{#from}}{{from}}::int{{/from}}{{^from}}null{{/from}}, 0)
      and id < coalesce({{#until}}{{until}}::int{{/until}}{{^until}}null{{/until}}, 1000)
      {{#last_id}}and id > {{last_id}}{{/last_id}} order by id`,
    pkField: 'id',
    partitions: [10, 20],
  }),
)

const people = Array.from({ length: 40 }, (_, index) => ({ id: index + 1 }))

describePostgres('a checkpoint, at any moment', (database) => {
  let pool: pg.Pool
  beforeAll(async () => {
    pool = new pg.Pool({ connectionString: database.url })
    pool.on('error', () => undefined)
    await pool.query(`create table source (id int primary key, a int not null, t timestamptz, n numeric)`)
  })
  afterAll(() => pool.end())

  const registryOver = (storage: JobStorage, job: Partial<IngestionJob>) => {
    const datasources = { postgres: postgresDatasource({ pool }) }
    const registry = new JobRegistry({ storage, datasources, progressInterval: 0, node: 'node' })
    const target = async () => setTimeout(0)
    registry.define({ id: 'job', datasource: 'postgres', batchSize: 4, target, ...job } as IngestionJob)
    return registry
  }

  /** A storage that remembers all that it held of checkpoints. */
  function remembering(): { storage: JobStorage; moments: Moment[] } {
    const storage = memoryStorage()
    const moments: Moment[] = [new Map()]
    const remember = async ({ type, id, partition }: JobKey) => {
      const { checkpoint } = (await storage.find(type, id, partition)) ?? {}
      const next = new Map(moments.at(-1))
      const key = `${type} ${id} ${partition}`
      const job = { type, id, ...(partition !== undefined && { partition }) }
      if (checkpoint === undefined) next.delete(key)
      else next.set(key, { ...job, checkpoint: structuredClone(checkpoint) })
      moments.push(next)
    }
    const save = storage.renew.bind(storage)
    storage.renew = async (lease, request) => {
      const saved = await save(lease, request)
      if (saved) await remember(saved)
      return saved
    }
    const finish = storage.finish.bind(storage)
    storage.finish = async (lease, request) => {
      const ended = await finish(lease, request)
      if (ended) await remember(ended)
      return ended
    }
    return { storage, moments }
  }

  /** A storage in which the last execution of each job failed at that moment. */
  async function failedAt(moment: Moment): Promise<JobStorage> {
    const storage = memoryStorage()
    for (const { checkpoint, ...job } of moment.values()) {
      const { execution } = await storage.begin({ ...job, state: 'running', node: 'node', lease: 60_000 })
      await storage.finish(execution, { state: 'error', error: ['It failed.'], checkpoint })
    }
    return storage
  }

  const run = async (registry: JobRegistry) => {
    const status = await (await registry.start('ingestion', 'job')).finished
    await registry.close()
    return status
  }

  it('is one that the next execution resumes from', async () => {
    const given = fc.record({
      job: jobs,
      rows: fc.integer({ min: 0, max: 40 }),
      picks: fc.array(fc.nat(), { maxLength: 3 }),
    })
    await fc.assert(
      fc.asyncProperty(given, async ({ job, rows, picks }) => {
        await pool.query('truncate source')
        await pool.query(`insert into source select n, n % 7, case when n % 5 > 0 then to_timestamp(n / 3) end,
          case when n % 4 > 0 then n / 2.0 end from generate_series(1, ${rows}) n`)
        const { storage, moments } = remembering()
        const first = registryOver(storage, job)
        expect(await run(first)).toMatchObject({ state: 'successful' })
        for (const moment of new Set([moments.at(-1), ...picks.map((pick) => moments[pick % moments.length])])) {
          const status = await run(registryOver(await failedAt(moment as Moment), job))
          expect(status, JSON.stringify([...(moment as Moment).values()])).toMatchObject({ state: 'successful' })
        }
      }),
      { numRuns: 30, endOnFailure: true },
    )
  }, 120_000)
})
