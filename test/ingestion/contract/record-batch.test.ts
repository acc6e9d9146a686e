import { JobRegistry, memoryStorage } from 'headgate'
import { RecordBatch } from 'headgate/adapter'
import { iterableDatasource } from 'headgate/iterable'
import { expect, test } from 'vitest'

/** Records of which each has names of its own: all rows together would have 200 million values. */
const sparse = () =>
  Array.from({ length: 1000 }, (_, n) => ({
    id: n,
    ...Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`name ${n}/${i}`, 'x'])),
  }))

test('a batch of objects that share few names reads a column, the last row and the size without all rows', () => {
  const batch = RecordBatch.fromRecords(sparse())
  expect(batch.columns).toHaveLength(200_001)
  expect(batch.valuesOf('id').slice(0, 3)).toEqual([0, 1, 2])
  expect(batch.valuesOf('name 1/0').slice(0, 3)).toEqual([null, 'x', null])
  expect([batch.lastValueOf('id'), batch.lastValueOf('name 999/0'), batch.lastValueOf('name 1/0')]).toEqual([
    999,
    'x',
    null,
  ])
  expect(batch.lastRow.filter((value) => value !== undefined)).toHaveLength(201)
  expect(batch.byteLength).toBe(200_000 + 10 + 2 * 90 + 3 * 900)
})

test('a job copies objects that share few names', async () => {
  const registry = new JobRegistry({ storage: memoryStorage() })
  let count = 0
  registry.define({
    id: 'a',
    datasource: iterableDatasource(sparse()),
    pkField: 'id',
    rateLimit: { bytes: 1e9 },
    target: (batch) => {
      count += batch.length
    },
  })
  expect(await (await registry.start('ingestion', 'a')).finished).toMatchObject({ state: 'successful', lastId: '999' })
  expect(count).toBe(1000)
})
