import { type JobContext, JobRegistry, memoryStorage } from 'headgate'
import { fakeClock, heldJob } from 'headgate/testing'
import { expect, onTestFinished, test, vi } from 'vitest'
import { plainStorage } from '../../support/plain-storage.js'

async function start() {
  const clock = fakeClock()
  const storage = plainStorage(memoryStorage({ clock }))
  const [renew, finish] = [vi.spyOn(storage, 'renew'), vi.spyOn(storage, 'finish')]
  const logger = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() }
  const registry = new JobRegistry({ storage, clock, logger })
  onTestFinished(() => registry.close())
  const held = heldJob({ type: 'test', id: 'a' })
  registry.define(held.job)
  const execution = await registry.start('test', 'a')
  await clock.advance(1)
  const logOf = async () => Object(await registry.status('test', 'a')).log as string[] | undefined
  const context = held.contexts[0] as JobContext
  return { clock, renew, finish, logger, execution, held, context, logOf }
}

test('the lines of a job are in its status, with their times and without secrets', async () => {
  const { clock, context, logOf, held, execution, logger } = await start()
  expect(await logOf()).toBeUndefined()
  context.log('begins')
  await clock.advance(1000)
  expect(await logOf()).toEqual(['2020-01-01T00:00:00.001Z begins'])
  context.log('logs in with password=hunter2')
  held.finish()
  expect(Object(await execution.finished).log).toEqual([
    '2020-01-01T00:00:00.001Z begins',
    '2020-01-01T00:00:01.001Z logs in with password=***',
  ])
  expect(JSON.stringify(logger.info.mock.calls)).not.toContain('begins')
})

test('10,000 lines per second cause no more calls of storage than progress does, and no more text than a tail', async () => {
  const { clock, context, renew, logOf } = await start()
  renew.mockClear()
  for (let round = 0; round < 100; round++) {
    for (let line = 0; line < 100; line++) context.log(`line ${round * 100 + line} ${'x'.repeat(2000)}`)
    await clock.advance(10)
  }
  expect(renew.mock.calls.length).toBeLessThanOrEqual(5)
  await clock.advance(1000)
  const lines = (await logOf()) ?? []
  expect(lines).toHaveLength(100)
  expect(lines.every(({ length }) => length <= 1000)).toBe(true)
  expect(lines.at(-1)).toContain('line 9999 ')
  const calls = renew.mock.calls.length
  await clock.advance(1000)
  expect(renew.mock.calls).toHaveLength(calls)
})

test('a line that is no text does not fail the job', async () => {
  const { clock, context, logOf } = await start()
  context.log(undefined as never)
  context.log(Object.create(null) as never)
  await clock.advance(1000)
  expect(await logOf()).toEqual(['2020-01-01T00:00:00.001Z undefined', '2020-01-01T00:00:00.001Z '])
})
