import { randomUUID } from 'node:crypto'
import { createPostgresBackend, Queue } from 'bullmq'
import { type JobContext, JobRegistry, memoryStorage } from 'headgate'
import { newExecutionId } from 'headgate/adapter'
import { bullmqDispatcher } from 'headgate/bullmq'
import { expect, test, vi } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { describeRedis } from '../../support/redis.js'
import { type EngineOptions, queueOfTest } from './queue-of-test.js'
import { executionOf, recordingWorker } from './worker.js'

const soon = { timeout: 10_000, interval: 20 }

/** What others than this version of headgate may have written to the engine, in place of an execution. */
const tampered: Record<string, (whole: object) => unknown> = {
  nothing: () => null,
  'a text': () => 'execution',
  'a list': (whole) => [whole],
  'an empty object': () => ({}),
  'no type': (whole) => ({ ...whole, type: undefined }),
  'a type that is no text': (whole) => ({ ...whole, type: { length: 1 } }),
  'a partition of an older version, whose type began with `_`': (whole) => ({ ...whole, type: '_test' }),
  'a partition that is no number': (whole) => ({ ...whole, partition: '1' }),
  'an id that is empty': (whole) => ({ ...whole, id: '' }),
  'the execution of another job': (whole) => ({ ...whole, executionId: newExecutionId('other', Date.now()) }),
  'another execution than its key says': (whole) => ({ ...whole, executionId: newExecutionId('a', 1) }),
  'an execution without a UUID': (whole) => ({ ...whole, executionId: 'a-1' }),
  'an epoch that is no number': (whole) => ({ ...whole, epoch: '1' }),
  'an epoch that is no whole number': (whole) => ({ ...whole, epoch: 1.5 }),
  'a priority beyond all': (whole) => ({ ...whole, priority: 1e9 }),
  'a datasource that is no text': (whole) => ({ ...whole, datasource: ['x'] }),
  'a time that is no number': (whole) => ({ ...whole, since: 'now' }),
  'a form of a later version': (whole) => ({ version: 2, execution: whole }),
}

function refuses(options: () => EngineOptions): void {
  const { open, look } = queueOfTest(() => ({ ...options(), lockDuration: 1000 }))

  const put = (message: unknown, executionId: string) =>
    look().add('execution', message as never, { jobId: executionId.slice(-36), priority: 1 })

  test('messages that are no executions are offered for a while, and removed', async () => {
    for (const [name, message] of Object.entries(tampered)) {
      const whole = { ...executionOf('a'), since: 1 }
      const { id } = await put(message(whole), whole.executionId)
      expect(id, name).toBe(whole.executionId.slice(-36))
    }
    const dispatcher = open()
    const worker = recordingWorker({ cluster: 1 })
    dispatcher.work(worker)
    const { hits } = await dispatcher.waiting({ from: 0, size: 100 })
    expect(hits).toEqual([])
    await vi.waitFor(() => expect(worker.warnings.join()).toContain('Expected a queued execution'), soon)
    await dispatcher.add([executionOf('b')])
    await vi.waitFor(() => expect(worker.taken.map(({ id }) => id)).toEqual(['b']), soon)
    const left = () => look().getJobCountByTypes('prioritized', 'delayed', 'active', 'completed')
    await vi.waitFor(async () => expect(await left()).toBe(0), soon)
    expect(worker.taken).toHaveLength(1)
    expect(worker.warnings).toHaveLength(10 * Object.keys(tampered).length)
  })

  test('jobs of others are dropped at their first offer, and hold up no execution', async () => {
    const others = Array.from({ length: 100 }, (_, i) => ({ name: 'mail', data: { i } as never }))
    await look().addBulk(others)
    await look().add('mail', {} as never, { jobId: executionOf('a').executionId.slice(-36), priority: 1 })
    const dispatcher = open()
    const worker = recordingWorker({ cluster: 1 })
    dispatcher.work(worker)
    await dispatcher.add([executionOf('b')])
    await vi.waitFor(() => expect(worker.taken.map(({ id }) => id)).toEqual(['b']), soon)
    const left = () => look().getJobCountByTypes('prioritized', 'waiting', 'delayed', 'active', 'completed', 'failed')
    await vi.waitFor(async () => expect(await left()).toBe(0), soon)
    expect(worker.warnings).toHaveLength(101)
  })

  test('an execution under the name of another job does not run as that', async () => {
    const storage = memoryStorage()
    const begun = await storage.begin({ type: 'test', id: 'a', state: 'queued', node: null, lease: null })
    const { executionId, epoch } = begun.execution
    await put({ type: 'other', id: 'a', executionId, epoch, priority: 0, since: 1 }, executionId)
    const registry = new JobRegistry({ storage, dispatcher: open(), lease: 1000 })
    const ran: string[] = []
    const run = ({ status }: JobContext) => void ran.push(status.type)
    registry.define({ type: 'test', id: 'a', run })
    registry.define({ type: 'other', id: 'a', run })
    await vi.waitFor(async () => expect((await storage.find('test', 'a'))?.state).not.toBe('queued'), soon)
    expect(await storage.find('test', 'a')).toMatchObject({ state: 'error', isOrphaned: true })
    expect(ran).toEqual([])
    await registry.close()
  })
}

describeRedis('messages in a line on Redis', (redis) => {
  refuses(() => ({ connection: redis.url, prefix: redis.prefix }))

  test.each([
    ['data', '{', { cluster: 1 }],
    ['data', 'null', { cluster: 1 }],
    ['returnvalue', '{', { cluster: 1 }],
    ['stacktrace', '{', { cluster: 1 }],
    ['rjk', 'x:y', { cluster: 1 }],
    ['defa', 'x', { cluster: 1 }],
    ['priority', 'x', { cluster: 1 }],
    // BullMQ fails to take these, and makes them active first.
    ['opts', '{', { cluster: 1 }],
    ['progress', '{', { cluster: 1 }],
    ['parent', '{', { cluster: 1 }],
    ['ats', 'x', { cluster: 1 }],
  ])('a message with a field `%s` of %s, which BullMQ cannot read, does not stop it', async (field, value, limits) => {
    const queue = randomUUID()
    const dispatcher = bullmqDispatcher({ connection: redis.url, prefix: redis.prefix, queue, lockDuration: 1000 })
    const worker = recordingWorker(limits)
    const each = new Queue(queue, { connection: { url: redis.url }, prefix: redis.prefix })
    const { executionId } = executionOf(field)
    await each.add('execution', {}, { jobId: executionId.slice(-36), priority: 1 })
    await redis.client.hset(`${redis.prefix}:${queue}:${executionId.slice(-36)}`, field, value)
    dispatcher.work(worker)
    await dispatcher.add([executionOf('b')])
    await vi.waitFor(() => expect(worker.taken.map(({ id }) => id)).toEqual(['b']), soon)
    expect(await dispatcher.waiting({ from: 0, size: 10 })).toMatchObject({ hits: [] })
    expect(worker.warnings.length).toBeLessThan(20)
    await dispatcher.close?.()
    await each.close()
  })
})

describeRedis('keys of another kind in a line on Redis', (redis) => {
  test.each([
    ['a text', (key: string) => redis.client.set(key, 'x')],
    ['a list', (key: string) => redis.client.lpush(key, 'x')],
  ])('%s in place of a message is removed, and holds no slot', async (_, write) => {
    const queue = randomUUID()
    const dispatcher = bullmqDispatcher({ connection: redis.url, prefix: redis.prefix, queue, lockDuration: 60_000 })
    const worker = recordingWorker({ cluster: 1 })
    await write(`${redis.prefix}:${queue}:damaged`)
    await redis.client.lpush(`${redis.prefix}:${queue}:wait`, 'damaged')
    dispatcher.work(worker)
    await dispatcher.add([executionOf('b')])
    await vi.waitFor(() => expect(worker.taken.map(({ id }) => id)).toEqual(['b']), soon)
    expect(worker.warnings.join()).toContain('Removed job damaged of BullMQ, which cannot be read.')
    expect(await redis.client.exists(`${redis.prefix}:${queue}:damaged`)).toBe(0)
    await dispatcher.close?.()
  })
})

describePostgres('messages in a line on Postgres', (database) => {
  const connection = () => ({ connectionString: database.url, migrate: true, schema: 'lines', max: 4 })
  refuses(() => ({ connection: connection(), backend: createPostgresBackend }))
})
