import { JobRegistry, type Logger, memoryStorage } from 'headgate'
import { type BullmqDispatcherOptions, bullmqDispatcher } from 'headgate/bullmq'
import { afterEach, expect, test, vi } from 'vitest'

const connection = 'redis://127.0.0.1:1'

afterEach(() => {
  vi.doUnmock('bullmq')
})

async function expectMessage(options: BullmqDispatcherOptions, message: string): Promise<void> {
  const log: unknown[] = []
  const write = (details: { error?: string[] }, message: string) => void log.push([message, details.error?.[0]])
  const logger: Logger = { debug: () => {}, info: () => {}, warn: write, error: write }
  const registry = new JobRegistry({ storage: memoryStorage(), logger, dispatcher: bullmqDispatcher(options) })
  registry.define({ type: 'test', id: 'a', run: () => {}, schedule: { every: 3_600_000 } })
  await expect(registry.queued()).rejects.toMatchObject({ code: 'dispatcher', message })
  const { status } = await registry.start('test', 'a')
  expect(status.state).toBe('queued')
  expect(log).toEqual([
    ['The queue [headgate] could not be opened.', message],
    ['Job [test/a] could not be queued yet.', message],
  ])
  await registry.close()
}

test('bullmqDispatcher without the package bullmq says what to install, and ends nothing', async () => {
  vi.doMock('bullmq', () => {
    throw new Error('not installed')
  })
  await expectMessage({ connection }, 'Could not load the package `bullmq`: run `npm install bullmq`.')
})

test('bullmqDispatcher on Postgres says that it needs BullMQ 6', async () => {
  vi.doMock('bullmq', () => import('bullmq-5'))
  const message =
    'Expected the package `bullmq` in version 6, as the dispatcher has a `backend`: run `npm install bullmq@6`.'
  await expectMessage({ connection: 'postgres://127.0.0.1:1/none', backend: () => ({}) }, message)
})

test('bullmqDispatcher says that BullMQ is too old', async () => {
  vi.doMock('bullmq', () => ({ default: { Queue: class {} } }))
  const message = 'Expected the package `bullmq` in version 5.77 or later: run `npm install bullmq@6`.'
  await expectMessage({ connection }, message)
})
