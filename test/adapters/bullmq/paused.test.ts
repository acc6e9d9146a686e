import { createPostgresBackend } from 'bullmq'
import { JobRegistry, memoryStorage } from 'headgate'
import { createJobsHandler } from 'headgate/http'
import { fakeClock } from 'headgate/testing'
import { expect, test, vi } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { describeRedis } from '../../support/redis.js'
import { type EngineOptions, queueOfTest } from './queue-of-test.js'

function isSeen(options: () => EngineOptions): void {
  const queue = queueOfTest(options)

  test('is logged once, as its end is, and shown in the health', async () => {
    const clock = fakeClock()
    const warn = vi.fn()
    await using registry = new JobRegistry({
      storage: memoryStorage({ clock }),
      dispatcher: queue.open(),
      logger: { debug: () => {}, info: () => {}, error: () => {}, warn },
      clock,
    })
    registry.define({ type: 'copy', id: 'a', run: () => {} })
    await registry.ready()
    const health = async () => {
      await clock.advance(5000)
      return (await registry.health()).queueProblem
    }
    expect(await registry.health()).not.toHaveProperty('queueProblem')
    const problem = `The queue [${queue.name}] is paused in BullMQ: it hands out no executions until \`resume()\` of the queue is called.`
    await queue.look().pause()
    await expect.poll(health, { timeout: 10_000 }).toBe(problem)
    const handler = createJobsHandler(registry)
    const response = await handler(new Request('http://localhost/_siren/connector/jobs/_health'))
    expect([response.status, await response.json()]).toMatchObject([200, { status: 'ok', queue_problem: problem }])
    for (let times = 0; times < 3; times++) expect(await health()).toBe(problem)
    const execution = await registry.start('copy', 'a')
    await queue.look().resume()
    await expect.poll(health, { timeout: 10_000 }).toBeUndefined()
    expect(await execution.finished).toMatchObject({ state: 'successful' })
    const ended = `The queue [${queue.name}] is no longer paused in BullMQ.`
    expect(warn.mock.calls).toEqual([
      [{ error: [problem] }, 'The state of a queue has changed.'],
      [{ error: [ended] }, 'The state of a queue has changed.'],
    ])
  })
}

describeRedis('a pause of the queue in BullMQ on Redis', ({ url, prefix }) => {
  isSeen(() => ({ connection: url, prefix }))
})

describePostgres('a pause of the queue in BullMQ on Postgres', (database) => {
  const connection = () => ({ connectionString: database.url, migrate: true, schema: 'lines', max: 4 })
  isSeen(() => ({ connection: connection(), backend: createPostgresBackend }))
})
