import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import fastify, { type FastifyRequest } from 'fastify'
import { expect, test } from 'vitest'
import type { JobsHandlerOptions } from '../../src/http/index.js'
import { toFastifyPlugin } from '../../src/http/mounts/fastify.js'
import { describedHandler } from './described-handler.js'
import { base, defineHeld, newRegistry, sendTo } from './support.js'

function plugin(options?: JobsHandlerOptions) {
  const registry = newRegistry()
  defineHeld(registry, 'copy', 'a')
  return toFastifyPlugin(describedHandler(registry, options))
}

test.each([
  ['/', '', '/copy/a'],
  ['/', '/api/jobs', '/api/jobs/copy/a'],
  ['/jobs', '', '/jobs/copy/a'],
  ['/jobs', '/api', '/api/jobs/copy/a'],
  ['/jobs', '/tenants/:tenant', '/tenants/jobs/jobs/copy/a'],
  ['/jobs', '/tenants/:tenant', '/tenants/a%20b/jobs/copy/a'],
  ['/jobs', '/', '/jobs/copy/a'],
  ['/', '/', '/copy/a'],
  ['/jobs', '/api/', '/api/jobs/copy/a'],
  ['/', '/api/', '/api/copy/a'],
  ['/jobs', 'api', '/api/jobs/copy/a'],
  ['/jobs', '/:t(^\\d+$)', '/42/jobs/copy/a'],
  ['/jobs', '/a/:x-:y', '/a/1-2/jobs/copy/a'],
])('the base path %s under the prefix %j', async (basePath, prefix, url) => {
  const app = fastify().register(plugin({ basePath }), { prefix })
  expect((await app.inject(url)).statusCode).toBe(200)
  expect((await app.inject(`${url}?pretty`)).body).toContain('\n')
})

test.each([
  [{ ignoreDuplicateSlashes: true }, '//api/jobs/copy/a', 200],
  [{ ignoreDuplicateSlashes: true }, '/api//jobs/copy/a', 404],
  [{ ignoreDuplicateSlashes: true }, '/api/jobs/copy//a/_start', 404],
  [{ ignoreTrailingSlash: true }, '/api/jobs/copy/a/', 404],
  [{ caseSensitive: false }, '/API/jobs/copy/a', 200],
  [{ caseSensitive: false }, '/api/JOBS/copy/a', 404],
  [{}, '/api/%6Aobs/copy/a', 404],
  [{}, '/api/jobs/c%6Fpy/a', 200],
  [{}, '/%61pi/jobs/copy/a', 404],
])('a router with %j: %s answers %i, as calls and the base path are literal', async (routerOptions, url, status) => {
  const app = fastify({ routerOptions }).register(plugin({ basePath: '/jobs' }), { prefix: '/api' })
  expect((await app.inject(url)).statusCode).toBe(status)
})

test('inside another plugin', async () => {
  const app = fastify().register(async (api) => void api.register(plugin({ basePath: '/jobs' }), { prefix: '/v1' }), {
    prefix: '/api',
  })
  expect((await app.inject('/api/v1/jobs/copy/a')).statusCode).toBe(200)
})

test('leaves the routes and the body parsers of the host alone', async () => {
  const app = fastify().register(plugin())
  app.post('/other', async ({ body }) => body)
  app.get('/*', async (_, reply) => reply.code(418).send())
  expect((await app.inject({ method: 'POST', url: '/other', body: { a: 1 } })).json()).toEqual({ a: 1 })
  expect((await app.inject('/any')).statusCode).toBe(418)
})

test.each([
  ['', 201],
  ['{', 400],
])('a body of %j answers %i', async (body, status) => {
  const app = fastify().register(plugin())
  const headers = { 'content-type': 'application/json' }
  const call = { method: 'POST', url: `${base}/copy/a/_start`, headers, body } as const
  expect((await app.inject(call)).statusCode).toBe(status)
})

test('OPTIONS are left to the host, which may answer for CORS', async () => {
  const app = fastify().register(plugin())
  app.options('*', async (_, reply) => reply.header('access-control-allow-origin', '*').code(204).send())
  const { statusCode, headers } = await app.inject({ method: 'OPTIONS', url: `${base}/copy/a` })
  expect([statusCode, headers['access-control-allow-origin']]).toEqual([204, '*'])
})

test('OPTIONS that nobody answers are not found', async () => {
  const app = fastify().register(plugin())
  expect((await app.inject({ method: 'OPTIONS', url: `${base}/copy/a` })).statusCode).toBe(404)
})

test('hooks of the host see the answer', async () => {
  const app = fastify().register(plugin())
  app.addHook('onSend', async (_request, reply, payload) => {
    reply.header('x-host', 'yes')
    return `${payload} `
  })
  const { headers, body } = await app.inject(`${base}/copy/a`)
  expect([headers['x-host'], headers['content-length']]).toEqual(['yes', String(body.length)])
})

test('a server that closes ends the streams of events', async () => {
  const app = fastify().register(plugin())
  await app.listen({ port: 0 })
  const { body } = await sendTo((app.server.address() as AddressInfo).port).begin(`${base}/_events`).opened
  const ended = once(body.resume(), 'end')
  await app.close()
  await ended
})

test('authorize sees the request of Fastify', async () => {
  const authorize: JobsHandlerOptions['authorize'] = ({ native }) =>
    (native as FastifyRequest).headers['x-user'] === 'ann'
  const app = fastify().register(plugin({ authorize }))
  expect((await app.inject({ url: `${base}/copy/a`, headers: { 'x-user': 'ann' } })).statusCode).toBe(200)
  expect((await app.inject(`${base}/copy/a`)).statusCode).toBe(403)
})
