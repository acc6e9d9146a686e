import { JobRegistry, type Logger, memoryStorage } from 'headgate'
import { bullmqDispatcher } from 'headgate/bullmq'
import { expect, test, vi } from 'vitest'

vi.mock('bullmq', () => {
  throw new Error('not installed')
})

test('bullmqDispatcher without the package bullmq says what to install, and ends nothing', async () => {
  const log: unknown[] = []
  const write = (details: { error?: string[] }, message: string) => void log.push([message, details.error?.[0]])
  const logger: Logger = { debug: () => {}, info: () => {}, warn: write, error: write }
  const dispatcher = bullmqDispatcher({ connection: 'redis://127.0.0.1:1' })
  const registry = new JobRegistry({ storage: memoryStorage(), logger, dispatcher })
  registry.define({ type: 'test', id: 'a', run: () => {}, schedule: { every: 3_600_000 } })
  const message = 'Could not load the package `bullmq`: run `npm install bullmq`.'
  await expect(registry.queued()).rejects.toMatchObject({ code: 'dispatcher', message })
  const { status } = await registry.start('test', 'a')
  expect(status.state).toBe('queued')
  expect(log).toEqual([
    ['The queue [headgate] could not be opened.', message],
    ['Job [test/a] could not be queued yet.', message],
  ])
  await registry.close()
})
