import { type IngestionJob, JobRegistry, memoryStorage } from 'headgate'
import { fakeClock, testDatasource } from 'headgate/testing'
import { expect, test, vi } from 'vitest'

const records = Array.from({ length: 8 }, (_, n) => ({ id: n + 1 }))

function idsOf(batch: { records(): readonly object[] }): number[] {
  return batch.records().map((record) => Number((record as { id: unknown }).id))
}

test('the retries of a job end, though each adds up what its partitions read from the beginning', async () => {
  const datasource = testDatasource(({ text }) => records.filter(({ id }) => (id < 5 ? /until/ : /from/).test(text)))
  const registry = new JobRegistry({ storage: memoryStorage() })
  let writes = 0
  const target: IngestionJob['target'] = (batch) => {
    // The end of the test, if the retries have none.
    if (++writes > 1000 || idsOf(batch)[0] !== 3) return
    throw new Error('never')
  }
  const query = 'select {{#from}}from {{from}}{{/from}} {{#until}}until {{until}}{{/until}}'
  const retry = { limit: 2, delay: 1, maxDelay: 1, isTransient: () => true }
  registry.define({ id: 'copy', datasource, query, partitions: [5], batchSize: 1, target, retry })
  const { finished } = await registry.start('ingestion', 'copy')
  expect(await finished).toMatchObject({ state: 'error', error: expect.arrayContaining(['Partition 1 of 2 failed.']) })
  await registry.close()
})

test('partitions that ignore their abort are asked again ever more rarely, and their end is seen at once', async () => {
  const clock = fakeClock()
  const storage = memoryStorage({ clock })
  const asks = vi.spyOn(storage, 'requestAbort')
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const registry = new JobRegistry({ storage, clock })
  registry.define({
    id: 'copy',
    datasource: testDatasource(records),
    cursor: 'id',
    partitions: [3, 5, 7],
    target: (batch) => {
      if (idsOf(batch)[0] === 1) throw new Error('never')
      return held
    },
  })
  const { finished } = await registry.start('ingestion', 'copy')
  await clock.advance(120_000)
  expect(asks.mock.calls.length).toBeGreaterThan(2)
  expect(asks.mock.calls.length).toBeLessThan(30)
  release()
  expect(await finished).toMatchObject({ state: 'error' })
  await registry.close()
})
