/** A unit test of ingestion logic: no database, no server, no waiting. `npx vitest run examples`. */
// #region ingestion
import { type IngestionJob, type JobRecord, JobRegistry, memoryStorage } from 'headgate'
import { collectingTarget, fakeClock, recordEvents, testDatasource } from 'headgate/testing'
import { expect, test } from 'vitest'

/** The logic under test: what an application would define, with its datasource and target left open. */
function customers({ datasource, target }: Pick<IngestionJob, 'datasource' | 'target'>): IngestionJob {
  return {
    id: 'customers',
    datasource,
    query: 'select * from customers {{#last_id}}where id > {{last_id}}{{/last_id}} order by id',
    pkField: 'id',
    batchSize: 2,
    transform: ({ id, email }) => (email ? { id, email: String(email).toLowerCase() } : null),
    target,
  }
}

const people: JobRecord[] = [
  { id: 1, email: 'Ann@Example.org' },
  { id: 2, email: null },
  { id: 3, email: 'bob@example.org' },
]
// #endregion

// #region transform
test('addresses are in lower case, and records without one are dropped', async () => {
  const target = collectingTarget()
  await using registry = new JobRegistry({ storage: memoryStorage() })
  registry.define(customers({ datasource: testDatasource(people), target }))

  const { finished } = await registry.start('ingestion', 'customers')

  expect(await finished).toMatchObject({ state: 'successful', count: 3, lastId: '3' })
  expect(target.records).toEqual([
    { id: 1, email: 'ann@example.org' },
    { id: 3, email: 'bob@example.org' },
  ])
})
// #endregion

// #region resume
test('a failed run resumes where it stopped', async () => {
  const after = (id: unknown) => people.filter((person) => Number(person.id) > Number(id ?? 0))
  const datasource = testDatasource(({ values: [lastId] }) => after(lastId), { failAfter: 2, once: true })
  const target = collectingTarget()
  await using registry = new JobRegistry({ storage: memoryStorage() })
  registry.define(customers({ datasource, target }))
  const run = async () => (await registry.start('ingestion', 'customers')).finished

  expect(await run()).toMatchObject({ state: 'error', count: 2 })
  expect(await run()).toMatchObject({ state: 'successful', count: 1 })
  expect(datasource.reads[1]?.query.values).toEqual(['2'])
})
// #endregion

// #region cursor
test('a changed row comes again, after the others', async () => {
  const rows = [
    { id: 1, updated_at: '2024-01-01' },
    { id: 2, updated_at: '2024-01-02' },
  ]
  const target = collectingTarget()
  await using registry = new JobRegistry({ storage: memoryStorage() })
  registry.define({ id: 'orders', datasource: testDatasource(rows), cursor: ['updated_at', 'id'], target })
  const run = async () => (await registry.start('ingestion', 'orders')).finished

  expect(await run()).toMatchObject({ state: 'successful', count: 2 })
  rows[0] = { id: 1, updated_at: '2024-01-03' }
  expect(await run()).toMatchObject({ state: 'successful', count: 1, lastId: '1' })
  expect(target.records.map(({ id }) => id)).toEqual([1, 2, 1])
})
// #endregion

// #region parallel
test.each([{ parallel: 4 }, { partitions: 4 }])('orders arrive once with %o, also after a failure', async (how) => {
  const orders = Array.from({ length: 100 }, (_, n) => ({ id: n + 1 }))
  const datasource = testDatasource(orders, { failAfter: 10, once: true })
  const target = collectingTarget()
  await using registry = new JobRegistry({ storage: memoryStorage() })
  registry.define({ id: 'orders', datasource, cursor: 'id', batchSize: 5, target, ...how })
  const run = async () => (await registry.start('ingestion', 'orders')).finished

  expect(await run()).toMatchObject({ state: 'error' })
  expect(await run()).toMatchObject({ state: 'successful' })
  expect(target.records.map(({ id }) => Number(id)).sort((a, b) => a - b)).toEqual(orders.map(({ id }) => id))
})
// #endregion

// #region abort
test('an abort reaches a datasource that hangs', async () => {
  const datasource = testDatasource(people, { hangAfter: 2 })
  await using registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 0 })
  const events = recordEvents(registry)
  registry.define(customers({ datasource, target: collectingTarget() }))
  await registry.start('ingestion', 'customers')

  await events.waitFor('progress', ({ status }) => status.count === 2)
  expect(await registry.abort('ingestion', 'customers')).toMatchObject({ state: 'aborted', count: 2 })
  expect(events.states('ingestion', 'customers')).toEqual(['running', 'aborting', 'aborted'])
  expect(datasource.reads[0]?.state).toBe('aborted')
})
// #endregion

// #region clock
test('an abort stops waiting for a job that ignores it after its timeout', async () => {
  const clock = fakeClock()
  await using registry = new JobRegistry({ storage: memoryStorage({ clock }), clock })
  let finish = () => {}
  registry.define({
    type: 'report',
    id: 'stubborn',
    run: () =>
      new Promise<void>((resolve) => {
        finish = resolve
      }),
  })
  await registry.start('report', 'stubborn')

  const aborted = registry.abort('report', 'stubborn', { timeout: 60_000 })
  await clock.advance(60_000)
  expect(await aborted).toMatchObject({ state: 'aborting' })
  finish()
})
// #endregion
