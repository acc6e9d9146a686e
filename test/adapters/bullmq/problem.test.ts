import { JobRegistry, memoryStorage } from 'headgate'
import { bullmqDispatcher } from 'headgate/bullmq'
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
  return { ask, logger }
}

test('a queue whose server is away is told by the health and by each queued execution', async () => {
  const { ask } = await open(bullmqDispatcher({ connection: 'redis://:hunter22@127.0.0.1:1', queue: 'away' }))
  const problem = expect.stringMatching(/^The queue \[away\] cannot be reached: .*ECONNREFUSED/)
  expect(await ask('_health')).toMatchObject({ queue_problem: problem })
  const infos = expect.stringMatching(/^The job is waiting\. The queue \[away\] cannot be reached: .*ECONNREFUSED/)
  expect(await ask('report/a/_start', 'POST')).toMatchObject({ status: { infos } })
  expect(await ask('report/a?include_queued=true')).toMatchObject({ status: { infos } })
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
