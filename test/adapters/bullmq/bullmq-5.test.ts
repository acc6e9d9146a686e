import { randomUUID } from 'node:crypto'
import { Queue, Worker } from 'bullmq-5'
import type { WaitingExecution } from 'headgate'
import { bullmqDispatcher } from 'headgate/bullmq'
import { dispatcherSuite } from 'headgate/testing'
import { expect, test, vi } from 'vitest'
import { backendOf } from '../../../src/adapters/bullmq/backend.js'
import { describeRedis } from '../../support/redis.js'
import { redisFixture } from './redis-fixture.js'
import { executionOf, recordingWorker } from './worker.js'

vi.mock('bullmq', () => import('bullmq-5'))

const soon = { timeout: 10_000, interval: 20 }

test('BullMQ 5 has no backends', () => {
  expect('getBackend' in Queue.prototype).toBe(false)
})

describeRedis('bullmqDispatcher with BullMQ 5 keeps the contract of a dispatcher', (redis) => {
  dispatcherSuite({ test, create: () => redisFixture(redis) })
})

describeRedis('bullmqDispatcher with BullMQ 5', (redis) => {
  const open = (queue: string, connection: string | object = redis.url) =>
    bullmqDispatcher({ connection, prefix: redis.prefix, queue, lockDuration: 60_000 })

  test.each([
    ['a text', 'set', []],
    ['a field `rjk` of x:y', 'hset', ['rjk', 'x:y']],
    ['a field `defa`', 'hset', ['defa', 'x']],
    ['a field `opts` of {', 'hset', ['opts', '{']],
  ] as const)('a message with %s holds no slot', async (_, command, field) => {
    const queue = randomUUID()
    const putDamaged = async (id: string) => {
      const key = `${redis.prefix}:${queue}:${id}`
      if (command === 'set') await redis.client.set(key, 'x')
      else await redis.client.hset(key, 'name', 'execution', 'data', '{}', 'opts', '{}', 'timestamp', 1, ...field)
      await redis.client.lpush(`${redis.prefix}:${queue}:wait`, id)
    }
    const dispatcher = open(queue)
    const worker = recordingWorker({ cluster: 1 })
    // BullMQ takes the second one as it completes an execution.
    const run = async (waiting: WaitingExecution) => {
      if (waiting.id === 'a') await putDamaged('second')
      return worker.run(waiting)
    }
    await putDamaged('first')
    dispatcher.work({ ...worker, run })
    for (const id of ['a', 'b']) {
      await dispatcher.add([executionOf(id)])
      await vi.waitFor(() => expect(worker.taken.at(-1)?.id).toBe(id), soon)
    }
    await dispatcher.close?.()
  })

  test('the dispatchers of the suite use it', async () => {
    const add = vi.spyOn(Queue.prototype, 'add')
    const { open: openOne, close } = redisFixture(redis)
    const dispatcher = openOne()
    dispatcher.work(recordingWorker())
    await dispatcher.add([executionOf('a')])
    expect(add).toHaveBeenCalled()
    await dispatcher.close?.()
    await close?.()
  })

  test('a worker calls the methods of the backend that it gets', async () => {
    const options = { connection: { url: redis.url }, prefix: redis.prefix, autorun: false }
    const worker = new Worker(randomUUID(), async () => {}, options)
    const backend = backendOf(worker) as unknown as Record<string, (...given: unknown[]) => Promise<unknown>>
    expect(backendOf(worker)).toBe(backend)
    const methods = ['waitForJob', 'moveToActive', 'moveToCompleted', 'reconnectBlocking']
    const asked = methods.map((name) => {
      const method = backend[name] as (...given: unknown[]) => Promise<unknown>
      return new Promise((resolve) => {
        backend[name] = (...given) => {
          resolve(name)
          return method(...given)
        }
      })
    })
    const queue = new Queue(worker.name, options)
    await queue.add('job', {})
    const running = worker.run()
    expect(await Promise.all(asked.slice(0, 3))).toEqual(methods.slice(0, 3))
    await worker.pause()
    expect(await asked[3]).toBe('reconnectBlocking')
    await running
    await Promise.all([worker.close(), queue.close()])
  })

  test('closes while it opens', async () => {
    const dispatcher = open(randomUUID())
    dispatcher.work(recordingWorker({}))
    await dispatcher.close?.()
  })
})
