import { type IngestionJob, JobRegistry, memoryStorage } from 'headgate'
import type { RecordBatch, TargetWriter } from 'headgate/adapter'
import { fakeClock, testDatasource } from 'headgate/testing'
import { describe, expect, test } from 'vitest'

const records = Array.from({ length: 6 }, (_, index) => ({ id: index + 1 }))

/** A job that reads two records at a time and flushes every 100 ms, with what its target is asked. */
function setup(more: Partial<IngestionJob>, { refusesFlush = false } = {}) {
  const clock = fakeClock()
  const registry = new JobRegistry({ storage: memoryStorage({ clock }), clock, progressInterval: 100 })
  const calls: string[] = []
  const writer: TargetWriter = {
    write: async (batch: RecordBatch) => void calls.push(`write ${batch.valuesOf('id')}`),
    flush: async (checkpoint) => {
      const { lastId = 'nothing' } = checkpoint as { lastId?: string }
      calls.push(`flush ${lastId}`)
      if (refusesFlush && lastId !== 'nothing') throw new RangeError('no room')
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
    target: { kind: 'fake', capabilities: { writesAtomically: true }, open: () => ({ writer }) },
    ...more,
  })
  const pause = (time: number) => new Promise<void>((resolve) => clock.setTimer(time, resolve))
  return { clock, registry, calls, pause }
}

const idOf = (record: object) => (record as { id: number }).id

describe('while the transform of a batch is slow', () => {
  test.each<Partial<IngestionJob>>([{}, { failures: { total: 5 } }])(
    'earlier records are flushed, once, after progressInterval (%j)',
    async (more) => {
      const { clock, registry, calls, pause } = setup({
        ...more,
        async transform(record) {
          if (idOf(record) === 3) await pause(1000)
          return record
        },
      })
      const { finished } = await registry.start('ingestion', 'job')
      await clock.advance(90)
      expect(calls).toEqual(['flush nothing', 'write 1,2'])
      await clock.advance(500)
      expect(calls).toEqual(['flush nothing', 'write 1,2', 'flush 2'])
      expect(await registry.status('ingestion', 'job')).toMatchObject({ state: 'running', count: 2, lastId: '2' })
      await clock.advance(1000)
      expect(await finished).toMatchObject({ state: 'successful', count: 6 })
      expect(calls.slice(3)).toEqual(['write 3,4', 'flush 4', 'write 5,6', 'flush 6', 'commit'])
    },
  )

  test('records of the same batch are not: no checkpoint describes them', async () => {
    let isRefused = false
    const { clock, registry, calls, pause } = setup({
      failures: { total: 5 },
      async transform(record) {
        // The second half of a batch that was refused.
        if (isRefused && idOf(record) === 4) await pause(1000)
        return record
      },
      target: {
        kind: 'fake',
        capabilities: { writesAtomically: true },
        open: () => ({
          writer: {
            write: async (batch: RecordBatch) => {
              isRefused ||= batch.length === 2 && idOf(batch.records()[0] as object) === 3
              if (isRefused && batch.length === 2) throw new RangeError('refused')
              calls.push(`write ${batch.valuesOf('id')}`)
            },
            flush: async (checkpoint) => void calls.push(`flush ${(checkpoint as { lastId?: string }).lastId}`),
          },
        }),
      },
    })
    await registry.start('ingestion', 'job')
    await clock.advance(900)
    expect(calls).toEqual(['flush undefined', 'write 1,2', 'write 3'])
    await clock.advance(2000)
    expect(calls.slice(3, 5)).toEqual(['write 4', 'flush 4'])
  })

  test('a flush that fails ends the job: no record is blamed for it, and none is skipped', async () => {
    const { clock, registry, calls, pause } = setup(
      {
        failures: { total: 5 },
        async transform(record) {
          if (idOf(record) === 3) await pause(1000)
          return record
        },
      },
      { refusesFlush: true },
    )
    const { finished } = await registry.start('ingestion', 'job')
    await clock.advance(2000)
    const status = await finished
    expect(status).toMatchObject({ state: 'error', count: 0 })
    expect((status as { error: string[] }).error).toContain('no room')
    expect(calls).toEqual(['flush nothing', 'write 1,2', 'flush 2', 'abort'])
  })
})
