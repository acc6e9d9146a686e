import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type JobRegistry, memoryStorage } from 'headgate'
import { JobsClient } from 'headgate/client'
import { createDashboardHandler } from 'headgate/dashboard'
import { createJobsHandler } from 'headgate/http'
import { toExpressMiddleware } from 'headgate/http/express'
import { toFastifyPlugin } from 'headgate/http/fastify'
import { toKoaMiddleware } from 'headgate/http/koa'
import { toNodeHandler } from 'headgate/http/node'
import { describe, expect, test, vi } from 'vitest'
import { newRegistry } from './support.js'

const mounts = Object.entries({ toNodeHandler, toExpressMiddleware, toFastifyPlugin, toKoaMiddleware })

describe.each(mounts)('%s', (_, mount) => {
  test.each<[string, () => unknown]>([
    ['a registry', newRegistry],
    ['nothing', () => undefined],
    ['a function', () => () => new Response()],
  ])('refuses %s at once', (_, make) => {
    expect(() => mount(make() as never)).toThrow(
      'Expected `handler` to be what `createJobsHandler(registry)` or `createDashboardHandler(registry)` returns, got',
    )
  })

  test('accepts the handlers of the API and of the dashboard', () => {
    expect(mount(createJobsHandler(newRegistry()))).toBeInstanceOf(Function)
    expect(mount(createDashboardHandler(newRegistry()))).toBeInstanceOf(Function)
  })
})

test.each([
  ['createJobsHandler', createJobsHandler],
  ['createDashboardHandler', createDashboardHandler],
])('%s refuses what is no registry', (_, create) => {
  for (const value of [undefined, {}, memoryStorage()]) {
    expect(() => create(value as unknown as JobRegistry)).toThrow(
      'Expected `registry` to be a registry, an object with',
    )
  }
})

test('a handler or a client in place of a registry is told from other objects', () => {
  const handler = createJobsHandler(newRegistry()) as never
  const isHandler =
    'got a function that is a handler already, as `createJobsHandler(registry)` returns it: give the registry'
  expect(() => createJobsHandler(handler)).toThrow(isHandler)
  expect(() => createDashboardHandler(handler)).toThrow(isHandler)
  expect(() => createDashboardHandler({} as never)).toThrow(
    '`health`, `on`, or a `JobsClient`, got a value of type object',
  )
  const client = new JobsClient({ url: 'http://localhost/jobs' })
  expect(() => createJobsHandler(client as never)).toThrow(
    'got a value of type object that looks like a client: `createDashboardHandler(client)` takes one',
  )
  expect(createDashboardHandler(client)).toBeInstanceOf(Function)
})

test.each<[string, unknown, string]>([
  ['a text', 'yes', '`yes` (string)'],
  ['a number', 1, '`1` (number)'],
  ['nothing', undefined, 'nothing'],
  ['another status', { status: 200 }, '`status: 200` (string)'],
  ['a user', { name: 'ann' }, 'a value of type object'],
])('a verdict that is %s refuses each call, and is logged once', async (_, verdict, shown) => {
  const error = vi.fn()
  const handler = createJobsHandler(newRegistry(), { authorize: async () => verdict as boolean, logger: { error } })
  for (let call = 0; call < 3; call++) {
    const { status } = await handler(new Request('http://localhost/_siren/connector/jobs/a/b'))
    expect(status).toBe(403)
  }
  const message = `Expected \`authorize()\` to be true, false or an object with the \`status\` 401 or 403, got ${shown}`
  expect(error.mock.calls.map(([details]) => details.error)).toEqual([[message]])
})

test.each([false, { status: 403 }, { status: 401, reason: 'Log in.' }])(
  'the verdict %j is not logged',
  async (verdict) => {
    const error = vi.fn()
    const handler = createJobsHandler(newRegistry(), { authorize: () => verdict as boolean, logger: { error } })
    await handler(new Request('http://localhost/_siren/connector/jobs/a/b'))
    expect(error).not.toHaveBeenCalled()
  },
)

describe('a handler that is given to a server itself, without a mount', () => {
  const notMounted = 'Expected the handler of the jobs API to get a web `Request`. Mount it with `toExpressMiddleware`'

  test('tells Express, or a plugin of Fastify, the error', async () => {
    const handler = createJobsHandler(newRegistry()) as unknown as (...given: unknown[]) => Promise<Response>
    const next = vi.fn()
    await handler({ headers: {} }, { end() {} }, next)
    expect(next.mock.lastCall).toMatchObject([
      { code: 'invalid_options', message: expect.stringContaining(notMounted) },
    ])
  })

  test('rejects for others, such as Koa', async () => {
    const handler = createJobsHandler(newRegistry()) as unknown as (...given: unknown[]) => Promise<Response>
    await expect(handler({ request: {} }, async () => {})).rejects.toThrow(notMounted)
  })

  test('answers as a listener of node:http', async () => {
    const server = createServer(createJobsHandler(newRegistry()) as never)
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/mine`)
    expect([answer.status, await answer.text()]).toEqual([500, expect.stringContaining(notMounted)])
    server.close()
  })
})
