import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { createPostgresBackend } from 'bullmq'
import { errorMessages, JobRegistry, memoryStorage } from 'headgate'
import { type BullmqDispatcherOptions, bullmqDispatcher } from 'headgate/bullmq'
import { createJobsHandler } from 'headgate/http'
import { expect, onTestFinished, test, vi } from 'vitest'

const url = 'http://localhost/_siren/connector/jobs'

/** A registry with a queue that cannot be used, and what it answers. */
async function open(dispatcher: ReturnType<typeof bullmqDispatcher>) {
  const logger = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() }
  const registry = new JobRegistry({ storage: memoryStorage(), dispatcher, logger })
  onTestFinished(() => registry.close({ timeout: 0 }))
  registry.define({ type: 'report', id: 'a', run() {} })
  const handler = createJobsHandler(registry)
  await vi.waitUntil(async () => (await registry.health()).queueProblem, 5000)
  const ask = async (path: string, method = 'GET') => (await handler(new Request(`${url}/${path}`, { method }))).json()
  return { registry, ask, logger }
}

test('a queue whose server is away is told by the health and by each queued execution', async () => {
  const { ask } = await open(bullmqDispatcher({ connection: 'redis://:hunter22@127.0.0.1:1', queue: 'away' }))
  const problem = expect.stringMatching(
    /^The queue \[away\] cannot be reached at 127\.0\.0\.1:1, where `connection` expects Redis: .*ECONNREFUSED/,
  )
  expect(await ask('_health')).toMatchObject({ queue_problem: problem })
  const infos = expect.stringMatching(
    /^The job is waiting\. The queue \[away\] cannot be reached at 127\.0\.0\.1:1, .*ECONNREFUSED/,
  )
  expect(await ask('report/a/_start', 'POST')).toMatchObject({ status: { infos } })
  expect(await ask('report/a?include_queued=true')).toMatchObject({ status: { infos } })
})

test.each<[string, object | string, BullmqDispatcherOptions['backend']?]>([
  ['Redis', ''],
  ['Redis', { port: 0 }],
  ['Postgres', 'postgres:', createPostgresBackend as never],
])('a queue on a port where another server than %s answers names that: %j', async (expected, how, backend) => {
  // It takes every connection, and ends it as soon as it gets something.
  const server = createServer((socket) => socket.on('error', () => {}).on('data', () => socket.resetAndDestroy()))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  const connection =
    typeof how === 'object' ? { host: '127.0.0.1', port } : `${how || 'redis:'}//:hunter22@127.0.0.1:${port}/x`
  const dispatcher = bullmqDispatcher({ connection, queue: 'other', ...(backend && { backend }) })
  const { registry, ask } = await open(dispatcher)
  const place = `The queue [other] cannot be reached at 127.0.0.1:${port}, where \`connection\` expects ${expected}: `
  expect(await ask('_health')).toMatchObject({ queue_problem: expect.stringContaining(place) })
  const messages = errorMessages(await registry.ready({ timeout: 1500 }).catch((error) => error))
  expect(messages[1]).toContain(place)
  expect(messages.join()).not.toContain('hunter22')
})

test('a queue that cannot be opened is told, and is an error in the log', async () => {
  vi.doMock('bullmq', () => {
    throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' })
  })
  onTestFinished(() => vi.doUnmock('bullmq'))
  const dispatcher = bullmqDispatcher({ connection: 'redis://127.0.0.1:1', queue: 'gone' })
  const { ask, logger } = await open(dispatcher)
  const problem = 'The queue [gone] could not be opened: Could not load the package `bullmq`: run `npm install bullmq`.'
  expect(await ask('_health')).toMatchObject({ queue_problem: problem })
  expect(await ask('report/a/_start', 'POST')).toMatchObject({ status: { infos: `The job is waiting. ${problem}` } })
  expect(logger.error.mock.calls.map(([, message]) => message)).toEqual(['The queue [gone] could not be opened.'])
})

test.each(['mysql://:hunter22@host', 'http://host:6379'])(
  'the address of another server is refused, and not shown: %s',
  (connection) => {
    const refused = /^Expected `connection` to be a URL such as `redis:\/\/host:6379`, got a text that is not one$/
    expect(() => bullmqDispatcher({ connection })).toThrow(refused)
  },
)
