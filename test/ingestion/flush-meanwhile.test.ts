import { JobRegistry, memoryStorage, type RecordBatch, type TargetWriter } from 'headgate'
import { fakeClock, testDatasource } from 'headgate/testing'
import { describe, expect, test } from 'vitest'

const records = Array.from({ length: 6 }, (_, index) => ({ id: index + 1 }))

/** A job whose target takes records while it flushes; its flushes end when the test says so. */
function setup() {
  const clock = fakeClock()
  const registry = new JobRegistry({ storage: memoryStorage({ clock }), clock, progressInterval: 0 })
  const calls: string[] = []
  const flushes: PromiseWithResolvers[] = []
  const writer: TargetWriter = {
    takesMeanwhile: true,
    write: (batch: RecordBatch) => void calls.push(`write ${batch.valuesOf('id')}`),
    flush: (checkpoint) => {
      const { lastId = 'nothing' } = checkpoint as { lastId?: string }
      calls.push(`flush ${lastId}`)
      return new Promise((resolve, reject) => flushes.push({ resolve: () => resolve(lastId), reject }))
    },
    commit: async () => void calls.push('commit'),
    abort: async () => void calls.push('abort'),
  }
  registry.define({
    id: 'job',
    datasource: testDatasource(records),
    query: 'all {{#last_id}}{{last_id}}{{/last_id}}',
    pkField: 'id',
    batchSize: 2,
    target: { kind: 'fake', open: () => writer },
  })
  return { clock, registry, calls, flushes }
}

interface PromiseWithResolvers {
  resolve(): void
  reject(error: unknown): void
}

describe('a target that takes records while it flushes', () => {
  test('is given them, one flush at a time, and is ahead of what is told', async () => {
    const { clock, registry, calls, flushes } = setup()
    const { finished } = await registry.start('ingestion', 'job')
    await clock.advance(10)
    flushes.shift()?.resolve()
    await clock.advance(10)
    expect(calls.splice(0)).toEqual(['flush nothing', 'write 1,2', 'flush 2', 'write 3,4'])
    expect(await registry.status('ingestion', 'job')).toMatchObject({ state: 'running', count: 0 })
    flushes.shift()?.resolve()
    await clock.advance(10)
    expect(calls.splice(0)).toEqual(['flush 4', 'write 5,6'])
    expect(await registry.status('ingestion', 'job')).toMatchObject({ state: 'running', count: 2, lastId: '2' })
    while (!calls.includes('commit')) {
      flushes.shift()?.resolve()
      await clock.advance(10)
    }
    expect(await finished).toMatchObject({ state: 'successful', count: 6, lastId: '6' })
  })

  test('whose flush fails says no more than what it flushed before', async () => {
    const { clock, registry, calls, flushes } = setup()
    const { finished } = await registry.start('ingestion', 'job')
    await clock.advance(10)
    flushes.shift()?.resolve()
    await clock.advance(10)
    flushes.shift()?.resolve()
    await clock.advance(10)
    flushes.shift()?.reject(new RangeError('no room'))
    await clock.advance(10)
    const status = await finished
    expect(status).toMatchObject({ state: 'error', count: 2, lastId: '2' })
    expect((status as { error: string[] }).error).toContain('no room')
    expect(calls.at(-1)).toBe('abort')
  })
})
