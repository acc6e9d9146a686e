import { type IngestionJob, JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource, postgresTarget } from 'headgate/postgres'
import { collectingTarget } from 'headgate/testing'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { afterLastId, people, resumable } from '../people.js'

/** A registry whose job is defined anew for each run, with the warnings that its runs log. */
function registryOf(common: Partial<IngestionJob>) {
  const warnings: string[] = []
  const ignore = () => undefined
  const warn = (_: object, text: string) => void warnings.push(text)
  const logger = { debug: ignore, info: ignore, error: ignore, warn }
  const registry = new JobRegistry({ storage: memoryStorage(), logger, progressInterval: 0 })
  onTestFinished(() => registry.close())
  const run = async (job: Partial<IngestionJob>, options = {}) => {
    warnings.length = 0
    registry.remove('ingestion', 'a')
    registry.define({ id: 'a', ...common, ...job } as IngestionJob)
    const { state } = await (await registry.start('ingestion', 'a', options)).finished
    return [state, ...warnings]
  }
  return { registry, run }
}

const warning = expect.stringMatching(
  /^Job \[ingestion\/a\]: The `query` of the job has changed since .* `fullRefresh: true` .* or call `reset`\. Once a run/,
)
const { query } = resumable

describe('a job whose query has changed since its checkpoint was made', () => {
  const templateJob = () => {
    const [records, target] = [people(1, 3), collectingTarget()]
    return { records, target, ...registryOf({ datasource: afterLastId(records), target, ...resumable }) }
  }

  test.each(['there is nothing new', 'there are new records'])('warns once, when %s', async (when) => {
    const { records, run } = templateJob()
    expect(await run({})).toEqual(['successful'])
    expect(await run({})).toEqual(['successful'])
    if (when === 'there are new records') records.push(...people(4, 5))
    expect(await run({ query: `new ${query}` })).toEqual(['successful', warning])
    expect(await run({ query: `new ${query}` })).toEqual(['successful'])
    expect(await run({ query })).toEqual(['successful', warning])
  })

  test('warns again after a run that failed, as the next one goes on from the same checkpoint', async () => {
    const { records, target, run } = templateJob()
    await run({})
    records.push(...people(4, 5))
    target.faults = { failAt: 1 }
    expect(await run({ query: `new ${query}` })).toEqual(['error', warning])
    target.faults = {}
    expect(await run({ query: `new ${query}` })).toEqual(['successful', warning])
    expect(await run({ query: `new ${query}` })).toEqual(['successful'])
  })

  test('does not warn when only the spaces between its words differ', async () => {
    const { run } = templateJob()
    await run({})
    expect(await run({ query: `\n  ${query.replaceAll(' ', '\n\t ')}\n` })).toEqual(['successful'])
  })

  const repeats = expect.stringContaining('begins from the beginning')

  test('does not warn after a reset, and without a position', async () => {
    const { registry, run } = templateJob()
    await run({})
    await registry.reset('ingestion', 'a', { checkpoint: { lastId: '2' } })
    expect(await run({ query: `new ${query}` })).toEqual(['successful'])
    await registry.reset('ingestion', 'a')
    expect(await run({ query: `other ${query}` })).toEqual(['successful', repeats])
    expect(await run({ query: 'without positions' })).toEqual(['successful', repeats])
  })

  test('does not warn when a function returns the query, which may return another one for each run', async () => {
    const { run } = templateJob()
    const returned =
      (text: string) =>
      ({ lastId }: { lastId?: string }) => ({ text, values: lastId ? [lastId] : [] })
    for (const text of ['one', 'other']) expect(await run({ query: returned(text) })).toEqual(['successful'])
    expect(await run({ query: `new ${query}` })).toEqual(['successful'])
  })
})

describePostgres('a job with a cursor whose query has changed', (database) => {
  let pool: pg.Pool
  beforeEach(async () => {
    pool = new pg.Pool({ connectionString: database.url })
    await pool.query(`drop table if exists source, t, headgate_checkpoint; create table t (id int, name text);
      create table source as select id, 'person' as name from generate_series(1, 10) id`)
  })
  afterEach(() => pool.end())

  test.each<[string, Partial<IngestionJob>]>([
    ['of one run', {}],
    ['of partitions', { partitions: 2 }],
  ])('warns once, by the checkpoint that the target keeps: a job %s', async (_, job) => {
    const { run } = registryOf({
      datasource: postgresDatasource({ pool }),
      target: postgresTarget({ pool, table: 't' }),
      cursor: 'id',
      ...job,
    })
    const odd = 'select * from source where id % 2 = 1'
    expect(await run({ query: odd })).toEqual(['successful'])
    expect(await run({ query: 'select * from source' })).toEqual(['successful', warning])
    expect(await run({ query: 'select * from source' })).toEqual(['successful'])
    await pool.query(`insert into source values (11, 'person')`)
    expect(await run({ query: odd })).toEqual(['successful', warning])
    expect(await run({ query: odd })).toEqual(['successful'])
  })
})
