import { type IngestionJob, type JobRecord, JobRegistry, type JobStorage, memoryStorage, type Target } from 'headgate'
import type { Datasource } from 'headgate/adapter'
import { collectingTarget, fakeClock, testDatasource } from 'headgate/testing'
import { expect, onTestFinished, test, vi } from 'vitest'
import { plainStorage } from '../../support/plain-storage.js'
import { sharedLine } from '../../support/shared-line.js'

const people = (count: number): JobRecord[] => Array.from({ length: count }, (_, n) => ({ id: n + 1 }))

/** The lines that a job has logged, without their times. */
async function linesOf(job: Omit<IngestionJob, 'id'>): Promise<string[]> {
  await using registry = new JobRegistry({ storage: memoryStorage() })
  registry.define({ id: 'a', ...job })
  const status = await (await registry.start('ingestion', 'a')).finished
  return (status.log ?? []).map((line) => line.slice(line.indexOf(' ') + 1))
}

test('lines of a transform and of a function target are in the status, without secrets', async () => {
  const lines = await linesOf({
    datasource: testDatasource(people(2)),
    batchSize: 1,
    transform: (person, { log }) => {
      log(`read ${person.id} with password=hunter2`)
      return person
    },
    target: (batch, { log }) => log(`wrote ${batch.length}`),
  })
  expect(lines).toEqual(['read 1 with password=***', 'wrote 1', 'read 2 with password=***', 'wrote 1'])
})

test('so are those of a transform of batches, of a function for dead letters, and of a datasource and a target', async () => {
  const inner = testDatasource(people(2))
  const datasource: Datasource = {
    kind: 'spoken',
    read: (query, options) => {
      options.log?.('reads')
      return inner.read(query, options)
    },
  }
  const collecting = collectingTarget({ refuses: ({ id }) => id === 2 })
  const target: Target = {
    ...collecting,
    open: (context) => {
      context.log?.('opens')
      return collecting.open(context)
    },
  }
  const lines = await linesOf({
    datasource,
    transformBatch: (batch, { log }) => {
      log(`transforms ${batch.length}`)
      return batch.records()
    },
    target,
    failures: { deadLetters: (_, { log }) => log('sets aside') },
  })
  expect(lines).toEqual(['opens', 'reads', 'transforms 2', 'transforms 1', 'transforms 1', 'sets aside'])
})

/** Counts the writes of a storage. */
function countingStorage(clock: ReturnType<typeof fakeClock>): { storage: JobStorage; writes: () => number } {
  const storage = plainStorage(memoryStorage({ clock }))
  const spies = (['begin', 'renew', 'claim', 'run', 'finish'] as const).map((name) => vi.spyOn(storage, name))
  return { storage, writes: () => spies.reduce((sum, { mock }) => sum + mock.calls.length, 0) }
}

test('10,000 lines per second cause no writes beside those of the progress, and keep 100 lines', async () => {
  const copy = async (linesPerRecord: number) => {
    const clock = fakeClock()
    const { storage, writes } = countingStorage(clock)
    await using registry = new JobRegistry({ storage, clock })
    const long = 'x'.repeat(2000)
    registry.define({
      id: 'a',
      datasource: testDatasource(people(2000), { delay: 100, clock }),
      batchSize: 100,
      transform: (person, { log }) => {
        for (let n = 1; n <= linesPerRecord; n++) log(`${person.id}.${n} ${long}`)
        return person
      },
      target: () => {},
    })
    const { finished } = await registry.start('ingestion', 'a')
    for (let n = 0; n < 25; n++) await clock.advance(100)
    return { status: await finished, writes: writes() }
  }
  const [silent, loud] = [await copy(0), await copy(10)]
  expect(loud.status).toMatchObject({ state: 'successful', count: 2000 })
  expect(loud.writes).toBe(silent.writes)
  expect(loud.status.log).toHaveLength(100)
  expect(loud.status.log?.every(({ length }) => length <= 1000)).toBe(true)
  expect(loud.status.log?.at(-1)).toContain(' 2000.10 x')
})

test.each([1, 2])(
  'the lines of partitions in %d processes are in the status of their job, once each',
  async (count) => {
    const storage = memoryStorage()
    const line = sharedLine()
    const registries = Array.from({ length: count }, () => {
      const registry = new JobRegistry({ storage, dispatcher: line.dispatcher(), progressInterval: 0 })
      onTestFinished(() => registry.close())
      registry.define({
        id: 'a',
        datasource: testDatasource(people(4), { delay: 300 }),
        query: 'x',
        cursor: 'id',
        partitions: [3],
        batchSize: 1,
        transform: (person, { log }) => {
          log(`read ${person.id}`)
          return person
        },
        target: collectingTarget(),
      })
      return registry
    })
    const [registry] = registries as [JobRegistry]
    const { log = [] } = await (await registry.start('ingestion', 'a')).finished
    expect(log.map((text) => text.slice(text.indexOf(' ') + 1)).sort()).toEqual([
      '[partition 0] read 1',
      '[partition 0] read 2',
      '[partition 1] read 3',
      '[partition 1] read 4',
    ])
    expect(log).toEqual(expect.arrayContaining([expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]{12}Z \[partition/)]))
  },
)
