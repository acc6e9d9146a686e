import { setTimeout } from 'node:timers/promises'
import fc from 'fast-check'
import { type IngestionJob, isLive, type JobRegistry } from 'headgate'
import { postgresTarget } from 'headgate/postgres'
import { expect, it } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { PartWorld, whole } from './partitions-support.js'

/** What happens to a job that runs. */
type Event = 'abort' | 'close' | 'close the other' | 'insert' | 'restart of the connections'

const events = fc.array(
  fc.record({
    after: fc.integer({ min: 0, max: 60 }),
    what: fc.constantFrom<Event>('abort', 'close', 'close the other', 'insert', 'restart of the connections'),
  }),
  { maxLength: 4 },
)

const jobs = fc.record({
  rows: fc.integer({ min: 0, max: 120 }),
  /** How far the keys are apart. */
  spread: fc.constantFrom(1, 3, 1000),
  batchSize: fc.integer({ min: 1, max: 40 }),
  partitions: fc.oneof(
    fc.integer({ min: 1, max: 8 }),
    fc
      .uniqueArray(fc.integer({ min: -5, max: 400 }), { minLength: 1, maxLength: 5 })
      .map((all) => all.sort((a, b) => a - b)),
  ),
  concurrency: fc.constantFrom(1, 2, 4),
  isAlone: fc.boolean(),
  resume: fc.constantFrom<'manual' | 'auto'>('manual', 'auto'),
  mode: fc.constantFrom<'insert' | 'upsert'>('insert', 'upsert'),
  events,
})

describePostgres('an ingestion in parts, whatever happens to it', (database) => {
  it('ends with a target that equals its source', async () => {
    await fc.assert(
      fc.asyncProperty(jobs, async (given) => {
        const world = new PartWorld(database.url)
        try {
          await runThrough(world, given)
        } finally {
          await world.close()
        }
      }),
      { numRuns: 8, endOnFailure: true },
    )
  }, 60_000)

  type Given = typeof jobs extends fc.Arbitrary<infer Value> ? Value : never

  async function runThrough(world: PartWorld, given: Given) {
    const { rows, spread, batchSize, partitions, concurrency, isAlone, resume, mode } = given
    await world.fill(0)
    await world.admin.query('drop table if exists headgate_checkpoint; create unique index on copy (id)')
    await world.admin.query(`insert into source select n * ${spread}, 'name' from generate_series(1, ${rows}) n`)
    const job = (): Partial<IngestionJob> => ({
      ...{ batchSize, partitions, resume, retry: { delay: 1, maxDelay: 5, limit: 20 } },
      target: postgresTarget({
        connectionString: database.url,
        table: 'copy',
        ...(mode === 'upsert' && { mode, key: 'id' }),
      }),
      transform: async (record) => {
        await setTimeout(0)
        return record
      },
    })
    const add = () => {
      const registry = world.registry({ concurrency, isAlone, lease: 2000 })
      registry.define(world.job(job()))
      return registry
    }
    let [first, second] = [add(), add()]
    const start = (registry: JobRegistry) => registry.start('ingestion', 'copy').catch(() => undefined)
    await start(first)
    for (const { after, what } of given.events) {
      await setTimeout(after)
      if (what === 'abort') await second.abort('ingestion', 'copy')
      else if (what === 'insert') await insertMore(world)
      else if (what === 'close') {
        await first.close()
        first = add()
      } else if (what === 'close the other') {
        await second.close()
        second = add()
      } else await world.admin.query(terminate)
      await start(first)
    }
    await untilDone(world, first)
    await start(first)
    await untilDone(world, first)
    expect(await world.difference()).toEqual(whole)
  }

  const insertMore = (world: PartWorld) =>
    world.admin.query(
      `insert into source select n + (select coalesce(max(id), 0) from source), 'more' from generate_series(1, 10) n`,
    )

  const terminate = `select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()`

  /** Starts it again where nobody goes on with it by himself. */
  async function untilDone({ storage }: PartWorld, registry: JobRegistry) {
    for (;;) {
      const record = await storage.find('ingestion', 'copy')
      if (record?.state === 'successful') return
      if (record && !isLive(record.state)) await registry.start('ingestion', 'copy').catch(() => undefined)
      await setTimeout(5)
    }
  }
})
