import { describe, expect, test, vi } from 'vitest'
import { type JobStorage, memoryStorage } from '../../src/index.js'
import { fakeClock } from '../../src/testing/index.js'
// The docs show the code of these tests, with the public name.
import { describedHandler as createJobsHandler } from './described-handler.js'
import { faces } from './faces.js'
import { base, defineHeld, newRegistry } from './support.js'

/** A storage whose log can be taken away. */
function storageWith(search: JobStorage['search']): JobStorage {
  return Object.assign(memoryStorage(), { search })
}

const refused = () => Promise.reject(new Error('connect postgres://me:hunter2@10.0.0.7 refused'))

describe.each(Object.entries(faces))('%s', (_, open) => {
  test('a registry that is well', async () => {
    const registry = newRegistry({ concurrency: 1, node: 'node-1', lease: 9000 })
    for (const id of ['a', 'b']) {
      defineHeld(registry, 'copy', id)
      await registry.start('copy', id)
    }
    const send = await open(createJobsHandler(registry))
    const { status, text } = await send(`${base}/_health`)
    expect([status, JSON.parse(text)]).toEqual([
      200,
      {
        status: 'ok',
        node: 'node-1',
        storage: { reachable: true, latency_ms: expect.any(Number) },
        running: 1,
        queued: 1,
        lease_ms: 9000,
        oldest_renewal_ms: expect.any(Number),
      },
    ])
    expect((await send(`${base}/_health`, { method: 'HEAD' })).status).toBe(200)
  })

  test('a schedule that could not start for a minute', async () => {
    const clock = fakeClock()
    const storage = memoryStorage({ clock })
    const registry = newRegistry({ storage, clock })
    registry.define({ type: 'copy', id: 'a', run: () => {}, schedule: { every: 3_600_000 } })
    storage.begin = async () => Promise.reject(new Error('down'))
    const since = registry.nextRun('copy', 'a')
    await clock.advance(3_600_000 + 61_000)
    const { text } = await (await open(createJobsHandler(registry)))(`${base}/_health`)
    expect(JSON.parse(text)).toMatchObject({ overdue: [{ _id: 'a', type: 'copy', since }] })
    const closed = registry.close({ timeout: 0 })
    await clock.advance(10_000)
    await closed
  })

  test('a storage that is away', async () => {
    const registry = newRegistry({ storage: storageWith(refused), node: 'node-1' })
    const { status, text } = await (await open(createJobsHandler(registry)))(`${base}/_health`)
    expect([status, JSON.parse(text)]).toEqual([
      503,
      {
        status: 'unreachable',
        node: 'node-1',
        storage: {
          reachable: false,
          latency_ms: expect.any(Number),
          error: 'The storage could not be reached or could not complete the request.',
        },
        running: 0,
        queued: 0,
        lease_ms: 30_000,
      },
    ])
  })
})

const health = { method: 'GET', url: `${base}/_health`, headers: new Headers(), native: undefined }

test('a storage that is read-only', async () => {
  const storage = Object.assign(memoryStorage(), { isWritable: async () => false })
  const { status, body } = await createJobsHandler(newRegistry({ storage })).answer(health)
  expect([status, JSON.parse(String(body))]).toMatchObject([
    503,
    { status: 'readonly', storage: { reachable: true, error: 'The storage answers, but takes no writes.' } },
  ])
})

test.each([
  ['', 1000],
  ['?timeout=20ms', 20],
])('a storage that hangs is waited for, with %j for %i ms', async (query, timeout) => {
  const clock = fakeClock()
  const registry = newRegistry({ storage: storageWith(() => new Promise(() => {})), clock })
  const asked = createJobsHandler(registry).answer({ ...health, url: health.url + query })
  await clock.advance(timeout)
  const { status, body } = await asked
  expect([status, JSON.parse(String(body)).storage.latency_ms]).toEqual([503, timeout])
})

test('a registry that closes is closed to load balancers', async () => {
  const registry = newRegistry()
  const handler = createJobsHandler(registry)
  await registry.close()
  const { status, body } = await handler.answer(health)
  expect([status, JSON.parse(String(body)).status, JSON.parse(String(body)).storage.error]).toEqual([
    503,
    'closed',
    'The registry is closed.',
  ])
})

test('the logger is told why, and without secrets', async () => {
  const error = vi.fn()
  const handler = createJobsHandler(newRegistry({ storage: storageWith(refused) }), { logger: { error } })
  const { body } = await handler.answer(health)
  expect(body).not.toContain('10.0.0.7')
  expect(error).toHaveBeenCalledExactlyOnceWith(
    {
      method: 'GET',
      url: health.url,
      error: ['The storage could not answer.', 'connect postgres://me:***@10.0.0.7 refused'],
    },
    'Could not answer a call of the jobs API.',
  )
})

test('a probe without credentials is let in by who wants to', async () => {
  const registry = newRegistry()
  const token = 'abc'
  // #region probe
  const handler = createJobsHandler(registry, {
    authorize({ url, headers }) {
      const isProbe = url === '/_siren/connector/jobs/_health'
      return isProbe || headers.get('authorization') === `Bearer ${token}`
    },
  })
  // #endregion
  const statusOf = async (path: string) => (await handler.answer({ ...health, url: base + path })).status
  const paths = ['/_health', '/_search', '/copy/_health', '/_search#/_health']
  expect(await Promise.all(paths.map(statusOf))).toEqual([200, 403, 403, 404])
})
