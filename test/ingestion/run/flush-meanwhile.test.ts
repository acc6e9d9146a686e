import { JobRegistry, memoryStorage } from 'headgate'
import type { RecordBatch, TargetWriter } from 'headgate/adapter'
import { fakeClock, testDatasource } from 'headgate/testing'
import { describe, expect, test } from 'vitest'

const records = Array.from({ length: 6 }, (_, index) => ({ id: index + 1 }))

/** A job whose target takes records while it flushes; its flushes end when the test says so. Times are in milliseconds. */
function setup({ rows = records, progressInterval = 0, writeTime = 0 } = {}) {
  const clock = fakeClock()
  const registry = new JobRegistry({ storage: memoryStorage({ clock }), clock, progressInterval })
  const calls: string[] = []
  const flushes: PromiseWithResolvers[] = []
  const writer: TargetWriter = {
    write: async (batch: RecordBatch) => {
      calls.push(`write ${batch.valuesOf('id')}`)
      if (writeTime > 0) await new Promise<void>((resolve) => clock.setTimer(writeTime, resolve))
    },
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
    datasource: testDatasource(rows),
    query: 'all {{#last_id}}{{last_id}}{{/last_id}}',
    pkField: 'id',
    batchSize: 2,
    target: { kind: 'fake', capabilities: { writesDuringFlush: true }, open: () => ({ writer }) },
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

  test('goes on taking them until the next flush is due, an interval after that one began', async () => {
    const rows = Array.from({ length: 40 }, (_, index) => ({ id: index + 1 }))
    const { clock, registry, calls, flushes } = setup({ rows, progressInterval: 100, writeTime: 20 })
    const { finished } = await registry.start('ingestion', 'job')
    await clock.advance(10)
    flushes.shift()?.resolve()
    await clock.advance(110)
    expect(calls.splice(0)).toContain('flush 10')
    await clock.advance(80)
    expect(calls.splice(0)).toEqual(['write 13,14', 'write 15,16', 'write 17,18', 'write 19,20'])
    await clock.advance(20)
    expect(calls.splice(0)).toEqual([])
    while (!calls.includes('commit')) {
      flushes.shift()?.resolve()
      await clock.advance(10)
    }
    expect(await finished).toMatchObject({ state: 'successful', count: 40 })
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
