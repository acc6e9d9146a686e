import express from 'express'
import { Hono } from 'hono'
import { expect, test } from 'vitest'
import type { JobsRequest } from '../../src/http/index.js'
import { toExpressMiddleware } from '../../src/http/mounts/express.js'
// The docs show the code of these tests, with the public name.
import { describedHandler as createJobsHandler } from './described-handler.js'
import { base, listen, newRegistry, sendTo } from './support.js'

// What the pages of docs/reference/http show.

function withReport() {
  const registry = newRegistry()
  registry.define({ type: 'report', id: 'daily', run: () => {} })
  return registry
}

test('Hono decodes the path of what it mounts, unless the request is not replaced', async () => {
  const registry = withReport()
  const rewritten = new Hono().mount(base, createJobsHandler(registry, { basePath: '/' }))
  const literal = new Hono().mount(base, createJobsHandler(registry, { basePath: base }), {
    replaceRequest: false,
  })
  const statusOf = async (app: Hono) =>
    (await app.fetch(new Request(`http://localhost${base}/report/daily/_%73tart`, { method: 'POST' }))).status
  expect(await statusOf(literal)).toBe(404)
  // When this fails, Hono keeps the path, and the pages about Hono and security have a warning too many.
  expect(await statusOf(rewritten)).not.toBe(404)
})

test('a web request', async () => {
  const registry = withReport()
  // #region fetch
  const handler = createJobsHandler(registry)

  const response = await handler(new Request('http://localhost/_siren/connector/jobs/report/daily'))
  // #endregion
  expect(await response.json()).toEqual({ _id: 'daily', type: 'report', found: true })
})

test('who may do what', async () => {
  const registry = withReport()
  const token = 'abc'
  // #region authorize
  const handler = createJobsHandler(registry, {
    authorize({ headers }, action, { type }) {
      if (headers.get('authorization') !== `Bearer ${token}`) {
        return { status: 401, reason: 'Send the token.', headers: { 'www-authenticate': 'Bearer' } }
      }
      // What is not allowed here is refused, also an action of a later version.
      const isRead = action === 'read' || action === 'events'
      return isRead || (action === 'start' && type === 'report')
    },
  })
  // #endregion
  const statusOf = async (path: string, method: string, headers: Record<string, string>) =>
    (await handler(new Request(`http://localhost${base}${path}`, { method, headers }))).status
  const headers = { authorization: 'Bearer abc' }
  expect(await statusOf('/report/daily', 'GET', {})).toBe(401)
  expect(await statusOf('/_search', 'GET', headers)).toBe(200)
  expect(await statusOf('/report/daily/_start', 'POST', headers)).toBe(201)
  const refused = ['/ingestion/a/_start', '/report/daily/_abort', '/report/daily/_reset', '/report/daily/_pause']
  for (const path of [...refused, '/_pause', '/_unpause']) expect(await statusOf(path, 'POST', headers)).toBe(403)
})

test('who may see one job', async () => {
  const registry = withReport()
  // #region one
  const handler = createJobsHandler(registry, {
    authorize: (_request, action, { type, id }) =>
      ['read', 'events'].includes(action) && type === 'report' && id === 'daily',
  })
  // #endregion
  const statusOf = async (path: string, method = 'HEAD') =>
    (await handler(new Request(`http://localhost${base}${path}`, { method }))).status
  for (const path of ['/report/daily', '/_search?type=report&id=daily', '/_events?type=report&id=daily']) {
    expect(await statusOf(path)).toBe(200)
  }
  for (const path of ['/_search', '/_events', '/_events?id=daily', '/report']) expect(await statusOf(path)).toBe(403)
  for (const call of ['_start', '_abort', '_reset', '_pause', '_unpause']) {
    expect(await statusOf(`/report/daily/${call}`, 'POST')).toBe(403)
  }
})

test('other servers', async () => {
  const handler = createJobsHandler(withReport())
  // #region face
  const { status, headers, body } = await handler.answer({
    method: 'POST',
    url: '/_siren/connector/jobs/report/daily/_start',
    headers: new Headers(),
    native: undefined,
  })
  // #endregion
  expect([status, headers['content-length']]).toEqual([201, String(Buffer.byteLength(String(body)))])
})

test('a fetch server with more to serve', async () => {
  const jobs = createJobsHandler(withReport())
  // #region covers
  const fetch = (request: Request) => (jobs.covers(request.url) ? jobs(request) : new Response('Hello.'))
  // #endregion
  expect((await fetch(new Request(`http://localhost${base}/report/daily`))).status).toBe(200)
  expect(await (await fetch(new Request('http://localhost/'))).text()).toBe('Hello.')
})

test('origins', async () => {
  const registry = withReport()
  // #region origins
  const handler = createJobsHandler(registry, { allowedOrigins: ['http://jobs.internal:8080'] })
  // #endregion
  const headers = { origin: 'http://jobs.internal:8080' }
  const sent = new Request(`http://localhost${base}/report/daily/_start`, { method: 'POST', headers })
  expect((await handler(sent)).status).toBe(201)
})

test('hosts', async () => {
  const registry = withReport()
  // #region hosts
  const handler = createJobsHandler(registry, { allowedHosts: ['localhost', '127.0.0.1', '[::1]'] })
  // #endregion
  const statusOf = async (host: string) => (await handler(new Request(`http://${host}${base}/report/daily`))).status
  expect(await statusOf('localhost:3000')).toBe(200)
  expect(await statusOf('evil.example:3000')).toBe(403)
})

test('probes', async () => {
  const registry = withReport()
  const token = 'abc'
  // #region probes
  const probe = '/_siren/connector/jobs/_health'
  const isProbe = ({ url }: JobsRequest) => new URL(url, 'http://localhost').pathname === probe

  const handler = createJobsHandler(registry, {
    authorize: (request) => isProbe(request) || request.headers.get('authorization') === `Bearer ${token}`,
  })
  // #endregion
  const statusOf = async (path: string) => (await handler(new Request(`http://localhost${base}${path}`))).status
  expect(await statusOf('/_health')).not.toBe(403)
  expect(await statusOf('/_search')).toBe(403)
})

test.each([
  ['/', '/api/jobs'],
  ['/api/jobs', '/api/jobs'],
  ['/api/jobs', '/'],
  ['/api', '/jobs'],
])('Express at %s with the base path %s', async (mount, basePath) => {
  const serve = toExpressMiddleware(createJobsHandler(withReport(), { basePath }))
  const { port } = await listen(express().use(mount, serve))
  expect((await sendTo(port)('/api/jobs/report/daily')).status).toBe(200)
})

test('the user of Express', async () => {
  const registry = withReport()
  // #region user
  const handler = createJobsHandler(registry, {
    authorize: ({ native }) => (native as { user?: string }).user === 'ann' || { status: 401 },
  })
  // #endregion
  const app = express()
  app.use((request, _, next) => {
    Object.assign(request, { user: request.get('x-user') })
    next()
  })
  app.use(toExpressMiddleware(handler))
  const send = sendTo((await listen(app)).port)
  expect((await send(`${base}/report/daily`, { headers: { 'x-user': 'ann' } })).status).toBe(200)
  expect((await send(`${base}/report/daily`)).status).toBe(401)
})

test.each(['.', '..'])('the id %s cannot be asked for with a Request', async (id) => {
  const registry = newRegistry()
  registry.define({ type: 'copy', id, run: () => {} })
  const handler = createJobsHandler(registry)
  await (await registry.start('copy', id)).finished
  for (const part of [id, id.replaceAll('.', '%2E')]) {
    const response = await handler(new Request(`http://localhost${base}/copy/${part}`))
    // `..` leads to the list of jobs.
    expect(await response.json()).not.toHaveProperty('_id')
  }
  const found = await handler(new Request(`http://localhost${base}/_search?id=${id}`))
  expect(await found.json()).toMatchObject({ hits: { total: 1 } })
})
