import { JobRegistry, memoryStorage } from 'headgate'
import { fakeClock, testDatasource } from 'headgate/testing'
import { beforeEach, expect, test } from 'vitest'

type Json = Record<string, unknown>

/** What the target stores with the records. */
let kept: Json | undefined
let ids: { id: number }[]
let registry: JobRegistry

beforeEach(() => {
  kept = undefined
  ids = [1, 2].map((id) => ({ id }))
  const clock = fakeClock()
  registry = new JobRegistry({ storage: memoryStorage({ clock }), clock, progressInterval: 0 })
  registry.define({
    id: 'job',
    datasource: testDatasource(() => ids),
    query: 'all {{#last_id}}{{last_id}}{{/last_id}}',
    pkField: 'id',
    batchSize: 2,
    target: {
      kind: 'fake',
      open: () => ({
        writer: {
          write() {},
          flush: async (checkpoint) => {
            kept = asStored(checkpoint as Json)
          },
        },
        resume: { checkpoint: kept ?? null },
      }),
    },
  })
})

const asStored = (checkpoint: Json): Json => JSON.parse(JSON.stringify(checkpoint))

const run = async () => (await registry.start('ingestion', 'job')).finished

/** As after a crash: the target has committed what storage was not told. */
function commitUnreported(more: Json): void {
  const { sequence } = kept as { sequence: number }
  kept = asStored({ ...kept, sequence: sequence + 2, lastId: '6', ...more })
  ids = [7, 8].map((id) => ({ id }))
}

test('records that a target committed, and storage was not told of, count in the next execution', async () => {
  expect(await run()).toMatchObject({ count: 2 })
  expect(kept).toMatchObject({ read: 2, written: 2, failed: 0, skipped: 0 })
  commitUnreported({ read: 6, written: 4, failed: 1, skipped: 1 })
  const detail = { read: 6, written: 4, failed: 1, skipped: 1 }
  expect(await run()).toMatchObject({ state: 'successful', count: 6, lastId: '8', detail })
  // Once.
  ids = []
  expect(await run()).toMatchObject({ state: 'successful', count: 0 })
})

test.each([
  ['an earlier version stored no counts', { read: undefined, written: undefined, fields: undefined }],
  ['another run began from the start', { read: 6, origin: 'job-019aaaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa' }],
  ['the target was restored from a backup', { read: 0, sequence: 0 }],
])('none count where %s', async (_, more) => {
  expect(await run()).toMatchObject({ count: 2 })
  commitUnreported(more)
  expect(await run()).toMatchObject({ state: 'successful', count: 2 })
})
