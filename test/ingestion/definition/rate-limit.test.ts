import { type IngestionJob, JobRegistry, memoryStorage, type RateLimit } from 'headgate'
import { RecordBatch } from 'headgate/adapter'
import { collectingTarget, fakeClock, testDatasource } from 'headgate/testing'
import { describe, expect, test } from 'vitest'
import { RateLimiter } from '../../../src/ingestion/definition/rate-limit.js'

const people = Array.from({ length: 10 }, (_, index) => ({ id: index, name: 'x'.repeat(99) }))

const batchOf = (length: number) => RecordBatch.fromRecords(people.slice(0, length))

describe('a rate limit', () => {
  const setup = (options: { rateLimit?: RateLimit } = {}) => {
    const clock = fakeClock()
    const registry = new JobRegistry({ storage: memoryStorage({ clock }), clock, ...options })
    /** When each batch came, in milliseconds from the start, and how many records it had. */
    const came: [number, number][] = []
    const start = clock.now()
    const define = (id: string, job: Partial<IngestionJob>) =>
      registry.define({
        id,
        datasource: testDatasource(people),
        target: ({ length }) => void came.push([clock.now() - start, length]),
        ...job,
      })
    return { clock, registry, came, define }
  }

  test('of records lets a batch go when those before it had their time', async () => {
    const { clock, registry, came, define } = setup()
    define('job', { batchSize: 4, rateLimit: { rows: 8 } })
    const { finished } = await registry.start('ingestion', 'job')
    await clock.advance(5000)
    expect(await finished).toMatchObject({ state: 'successful', count: 10 })
    expect(came).toEqual([
      [0, 4],
      [500, 4],
      [1000, 2],
    ])
  })

  test('keeps batches to what a second takes', async () => {
    const { clock, registry, came, define } = setup()
    define('job', { rateLimit: { rows: 3 } })
    await registry.start('ingestion', 'job')
    await clock.advance(5000)
    expect(came).toEqual([
      [0, 3],
      [1000, 3],
      [2000, 3],
      [3000, 1],
    ])
  })

  test('of bytes counts what rows hold', async () => {
    const { clock, registry, came, define } = setup()
    define('job', { batchSize: 5, rateLimit: { bytes: 1000 } })
    await registry.start('ingestion', 'job')
    await clock.advance(5000)
    expect(came).toEqual([
      [0, 5],
      [500, 5],
    ])
  })

  test('of a registry is shared by its ingestions', async () => {
    const { clock, registry, came, define } = setup({ rateLimit: { rows: 10 } })
    define('a', { batchSize: 5 })
    define('b', { batchSize: 5 })
    await registry.start('ingestion', 'a')
    await registry.start('ingestion', 'b')
    await clock.advance(5000)
    expect(came.map(([time]) => time)).toEqual([0, 500, 1000, 1500])
  })

  test('makes durable what was written while it waits', async () => {
    const { clock, registry, define } = setup()
    const target = collectingTarget()
    define('job', { batchSize: 5, rateLimit: { rows: 5 }, target })
    await registry.start('ingestion', 'job')
    await clock.advance(999)
    expect(target.calls.map(({ name }) => name)).toEqual(['open', 'write', 'flush'])
  })

  test('does not keep an abort waiting', async () => {
    const { clock, registry, define } = setup()
    define('job', { batchSize: 1, rateLimit: { rows: 1 } })
    await registry.start('ingestion', 'job')
    await clock.advance(500)
    expect(await registry.abort('ingestion', 'job')).toMatchObject({ state: 'aborted', count: 1 })
  })

  test('waits no longer when the clock was put back', () => {
    const pace = new RateLimiter({ rows: 10 })
    expect(pace.reserve(1_000_000, batchOf(10))).toBe(0)
    expect(pace.reserve(1_000_400, batchOf(10))).toBe(600)
    expect(pace.reserve(500, batchOf(10))).toBe(1600)
  })

  test.each([
    [{}, 'Expected `rateLimit` to be an object with `rows`, `bytes` or both, got a value of type object'],
    [{ rows: 0 }, 'Expected `rateLimit.rows` to be a whole number from 1 up, got `0` (number)'],
    [{ rowz: 1 }, 'Expected `rateLimit` to be an object with `rows`, `bytes`, got `rowz` (string)'],
    [5, 'Expected `rateLimit` to be an object, got `5` (number)'],
  ])('%j is refused', (rateLimit, message) => {
    expect(() => setup().define('job', { rateLimit: rateLimit as never })).toThrow(message)
    expect(() => setup({ rateLimit: rateLimit as never })).toThrow(message)
  })
})
