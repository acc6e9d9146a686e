import { type BatchEvent, type JobContext, JobRegistry, memoryStorage } from 'headgate'
import { iterableDatasource } from 'headgate/iterable'
import { fakeClock } from 'headgate/testing'
import { describe, expect, onTestFinished, test, vi } from 'vitest'

function open() {
  const clock = fakeClock()
  const logger = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() }
  const datasources = { list: iterableDatasource([1, 2, 3, 4, 5].map((id) => ({ id }))) }
  const registry = new JobRegistry({ storage: memoryStorage({ clock }), clock, logger, datasources })
  onTestFinished(() => registry.close({ timeout: 0 }))
  return { clock, logger, registry }
}

describe('onBatch', () => {
  test('tells of every batch of an ingestion, with the time that it took', async () => {
    const { registry, clock } = open()
    const target = () => new Promise<void>((resolve) => clock.setTimer(20, resolve))
    registry.define({ id: 'a', datasource: 'list', query: 'all', batchSize: 2, target })
    const batches: BatchEvent[] = []
    registry.onBatch((batch) => batches.push(batch))
    const { executionId, finished } = await registry.start('ingestion', 'a')
    for (let step = 0; step < 20; step++) await clock.advance(10)
    expect((await finished).state).toBe('successful')
    const job = { type: 'ingestion', id: 'a', executionId }
    expect(batches).toEqual([2, 2, 1].map((records) => ({ ...job, records, duration: 20 })))
  })

  test('does not tell of a batch that failed', async () => {
    const { registry } = open()
    const target = () => Promise.reject(new Error('full'))
    registry.define({ id: 'a', datasource: 'list', query: 'all', target })
    const heard = vi.fn()
    registry.onBatch(heard)
    expect((await (await registry.start('ingestion', 'a')).finished).state).toBe('error')
    expect(heard).not.toHaveBeenCalled()
  })

  test('hears of what a job of any type says, until it is taken off', async () => {
    const { registry } = open()
    const first = vi.fn()
    const second = vi.fn()
    const forget = registry.onBatch(first)
    registry.onBatch(second)
    registry.define({
      type: 'copy',
      id: 'a',
      run({ batchDone }) {
        batchDone({ records: 1, duration: 5 })
        forget()
        batchDone({ records: 2, duration: 6 })
      },
    })
    const { executionId, finished } = await registry.start('copy', 'a')
    await finished
    expect(first.mock.calls).toEqual([[{ type: 'copy', id: 'a', executionId, records: 1, duration: 5 }]])
    expect(second).toHaveBeenCalledTimes(2)
  })

  test.each([
    ['nothing', null],
    [
      'a getter that throws',
      {
        duration: 1,
        get records(): number {
          throw new Error('of a getter')
        },
      },
    ],
    ['text', { records: '1', duration: 1 }],
  ])('warns once of a batch that is %s, and the job goes on', async (_, batch) => {
    const { registry, logger } = open()
    const heard = vi.fn()
    registry.onBatch(heard)
    const run = ({ batchDone }: JobContext) => {
      batchDone(batch as never)
      batchDone(batch as never)
    }
    registry.define({ type: 'copy', id: 'a', run })
    expect((await (await registry.start('copy', 'a')).finished).state).toBe('successful')
    expect(heard).not.toHaveBeenCalled()
    const warned = logger.warn.mock.calls.map(([, message]) => message)
    expect(warned).toEqual([
      'Job [copy/a]: A batch was not emitted. Expected `batchDone` to get `{ records, duration }`, two numbers.',
    ])
  })

  test('keeps listeners apart from each other and from the job', async () => {
    const { registry, logger } = open()
    const heard = vi.fn()
    registry.onBatch(() => {
      throw new Error('no')
    })
    registry.onBatch(() => Promise.reject(new Error('never')))
    registry.onBatch(heard)
    registry.define({ type: 'copy', id: 'a', run: ({ batchDone }) => batchDone({ records: 1, duration: 5 }) })
    expect((await (await registry.start('copy', 'a')).finished).state).toBe('successful')
    expect(heard).toHaveBeenCalledOnce()
    await vi.waitFor(() => expect(logger.error).toHaveBeenCalledTimes(2))
    expect(logger.error).toHaveBeenCalledWith(
      { type: 'copy', id: 'a', error: ['no'] },
      'A listener to job [copy/a] threw.',
    )
  })

  test('refuses what is no function', () => {
    expect(() => open().registry.onBatch(5 as never)).toThrow('Expected `listener` to be a function, got `5` (number)')
  })
})
