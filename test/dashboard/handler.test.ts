import type { AddressInfo, Server } from 'node:net'
import { gzipSync } from 'node:zlib'
import express from 'express'
import fastify from 'fastify'
import Koa from 'koa'
import { describe, expect, test } from 'vitest'
import { JobsClient } from '../../src/client/index.js'
import { createDashboardHandler, type DashboardOptions } from '../../src/dashboard/index.js'
import { createJobsHandler, type JobsHandler, type JobsRequest } from '../../src/http/index.js'
import { toExpressMiddleware } from '../../src/http/mounts/express.js'
import { toFastifyPlugin } from '../../src/http/mounts/fastify.js'
import { toKoaMiddleware } from '../../src/http/mounts/koa.js'
import { toNodeHandler } from '../../src/http/mounts/node.js'
import { fakeClock } from '../../src/testing/index.js'
import { type Listener, listen, newRegistry, sendTo } from '../http/support.js'

function newDashboard(options?: DashboardOptions): JobsHandler {
  const registry = newRegistry()
  registry.define({ type: 'report', id: 'daily', run: () => {} })
  return createDashboardHandler(registry, options)
}

const bare = { method: 'GET', headers: new Headers(), native: undefined }

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}

/** What the handler answers to a web request. */
async function answerOf(handler: JobsHandler, path: string, init?: RequestInit) {
  const response = await handler(new Request(`http://localhost${path}`, init))
  return { status: response.status, headers: response.headers, text: await response.text() }
}

describe('the page', () => {
  test('has up to 60 kB when it is compressed, and loads nothing from elsewhere', async () => {
    const handler = newDashboard()
    const files = await Promise.all(['/', '/app.js', '/app.css'].map((file) => answerOf(handler, `/dashboard${file}`)))
    const size = files.reduce((sum, { text }) => sum + gzipSync(text).byteLength, 0)
    expect(size).toBeLessThan(60_000)
    for (const { text } of files) expect(text.match(/(?:src|href)="?https?:|url\(["']?http|@import/g)).toBeNull()
  })

  test('has a strict policy, and a length in bytes', async () => {
    const { headers, text } = await answerOf(newDashboard({ title: 'Grüße' }), '/dashboard/')
    expect(headers.get('content-security-policy')).toContain("default-src 'none'; script-src 'self'; style-src 'self'")
    expect(headers.get('content-length')).toBe(String(Buffer.byteLength(text)))
    expect(text).not.toMatch(/<script>|style=|onload=/)
  })

  test('has its title as text', async () => {
    const { text } = await answerOf(newDashboard({ title: '"><script>alert(1)</script>' }), '/dashboard/')
    expect(text).not.toContain('<script>alert')
    expect(text).toContain('&quot;>&lt;script>')
  })

  test('keeps its files for as long as they have the same version', async () => {
    const handler = newDashboard()
    const { text } = await answerOf(handler, '/dashboard/')
    const [, script = ''] = /src="(app\.js\?v=\w+)"/.exec(text) ?? []
    const { headers } = await answerOf(handler, `/dashboard/${script}`)
    expect(headers.get('cache-control')).toContain('immutable')
    expect(headers.get('content-type')).toBe('text/javascript; charset=utf-8')
  })

  test.each(['/dashboard', '/dashboard?x=1'])('is found by %s', async (path) => {
    const { status, headers } = await answerOf(newDashboard(), path)
    expect([status, headers.get('location')]).toEqual([302, `./dashboard/${path.slice(10)}`])
  })

  test('answers GET and HEAD only', async () => {
    const handler = newDashboard()
    const head = await answerOf(handler, '/dashboard/', { method: 'HEAD' })
    expect([head.status, head.text]).toEqual([200, ''])
    const put = await answerOf(handler, '/dashboard/', { method: 'PUT' })
    expect([put.status, put.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
  })
})

describe.each<[string, string, (handler: JobsHandler) => Listener | Promise<Listener>, string?]>([
  ['node:http', '/dashboard/', (handler) => toNodeHandler(handler)],
  ['node:http at the root', '/', (handler) => toNodeHandler(handler), '/'],
  ['Express', '/dashboard/', (handler) => express().use(toExpressMiddleware(handler))],
  ['Express below a path', '/ops/dashboard/', (handler) => express().use('/ops', toExpressMiddleware(handler))],
  ['Express at a path of its own', '/ops/', (handler) => express().use('/ops', toExpressMiddleware(handler)), '/'],
  ['Koa', '/dashboard/', (handler) => new Koa().use(toKoaMiddleware(handler)).callback()],
  ['Fastify', '/dashboard/', (handler) => byFastify(handler, '')],
  ['Fastify under a prefix', '/ops/dashboard/', (handler) => byFastify(handler, '/ops')],
  ['Fastify at a prefix of its own', '/ops/', (handler) => byFastify(handler, '/ops'), '/'],
])('mounted by %s', (_, path, mount, basePath = '/dashboard') => {
  test('the page, its files and its API are beside each other', async () => {
    const { port } = await listen(await mount(newDashboard({ basePath })))
    const send = sendTo(port)
    const page = await send(path)
    expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8'])
    for (const [file, text] of [
      ['app.js', 'Failing now'],
      ['app.css', '--accent'],
      ['api', '"_id":"daily"'],
      ['api/report/daily', '"found":true'],
    ] as const)
      expect((await send(path + file)).text.includes(text), file).toBe(true)
    if (path === '/') return
    const slashless = await send(path.slice(0, -1))
    const location = new URL(String(slashless.headers.get('location')), `http://x${path.slice(0, -1)}`)
    expect([slashless.status, location.pathname]).toEqual([302, path])
  })
})

async function byFastify(handler: JobsHandler, prefix: string): Promise<Listener> {
  const app = fastify()
  app.register(toFastifyPlugin(handler), { prefix })
  await app.ready()
  return app.routing as Listener
}

describe('who may do what', () => {
  const post = { method: 'POST' }

  test('authorize is asked for the page and for each call', async () => {
    const asked: unknown[] = []
    const handler = newDashboard({
      authorize({ headers }, action, job) {
        asked.push([action, job])
        return (
          headers.get('authorization') === 'Bearer abc' || { status: 401, headers: { 'www-authenticate': 'Bearer' } }
        )
      },
    })
    for (const path of ['/', '/app.js', '/app.css', '/api/', '/api/_events']) {
      const { status, headers } = await answerOf(handler, `/dashboard${path}`)
      expect([path, status, headers.get('www-authenticate')]).toEqual([path, 401, 'Bearer'])
    }
    expect((await answerOf(handler, '/dashboard/', { headers: { authorization: 'Bearer abc' } })).status).toBe(200)
    await answerOf(handler, '/dashboard/api/report/daily/_start', post)
    expect(asked[0]).toEqual(['read', {}])
    expect(asked.at(-1)).toEqual(['start', { type: 'report', id: 'daily' }])
  })

  test('some may see, and others change', async () => {
    const registry = newRegistry()
    registry.define({ type: 'report', id: 'daily', run: () => {} })
    const roleOf = (cookie: string | null) => /role=(\w+)/.exec(cookie ?? '')?.[1]
    // #region authorize
    const handler = createDashboardHandler(registry, {
      basePath: '/ops/jobs',
      authorize({ headers }, action) {
        const role = roleOf(headers.get('cookie')) // from your session
        if (role === undefined) return { status: 401, reason: 'Log in at /login.' }
        return role === 'operator' || action === 'read' || action === 'events'
      },
    })
    // #endregion
    const statusOf = async (path: string, role?: string, init: RequestInit = {}) =>
      (await answerOf(handler, `/ops/jobs${path}`, { ...init, headers: role ? { cookie: `role=${role}` } : {} })).status
    expect(await statusOf('/')).toBe(401)
    expect(await statusOf('/', 'guest')).toBe(200)
    expect(await statusOf('/api/report/daily/_start', 'guest', post)).toBe(403)
    expect(await statusOf('/api/report/daily/_start', 'operator', post)).toBe(201)
  })

  test('a browser logs in by Basic auth', async () => {
    const registry = newRegistry()
    const password = 'secret'
    // #region basic
    const login = `Basic ${btoa(`ops:${password}`)}`
    const handler = createDashboardHandler(registry, {
      authorize: ({ headers }) =>
        headers.get('authorization') === login || { status: 401, headers: { 'www-authenticate': 'Basic' } },
    })
    // #endregion
    for (const path of ['/dashboard/', '/dashboard/app.js', '/dashboard/api/']) {
      // A browser asks for the password when it sees this header, and then sends it with every request.
      const refused = await answerOf(handler, path)
      expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([401, 'Basic'])
      const headers = { authorization: `Basic ${Buffer.from('ops:secret').toString('base64')}` }
      expect((await answerOf(handler, path, { headers })).status).toBe(200)
    }
  })

  test.each([
    '/report/daily/_start',
    '/report/daily/_start?force=true&full_refresh=true',
    '/report/daily/_abort',
    '/report/daily/_reset',
    '/report/daily/_pause',
    '/report/daily/_unpause',
    '/_pause',
    '/_unpause',
    '/report/daily/_START',
    '/report/daily/%5Fstart',
  ])('readOnly lets nobody call %s', async (path) => {
    const handler = newDashboard({ readOnly: true })
    const { status, text } = await answerOf(handler, `/dashboard/api${path}`, post)
    expect([403, 404]).toContain(status)
    if (status === 403) expect(text).toContain('The dashboard is read-only.')
    expect((await answerOf(handler, '/dashboard/api/report/daily')).text).not.toContain('status')
  })

  test('readOnly lets everybody read whom authorize lets read', async () => {
    expect((await answerOf(newDashboard({ readOnly: true }), '/dashboard/api/')).status).toBe(200)
    const authorize = () => ({ status: 401 }) as const
    const handler = newDashboard({ readOnly: true, authorize })
    expect((await answerOf(handler, '/dashboard/api/')).status).toBe(401)
    expect((await answerOf(handler, '/dashboard/api/report/daily/_start', post)).status).toBe(401)
  })

  test('pages of other sites, and other hosts, are refused', async () => {
    const handler = newDashboard({ allowedHosts: ['jobs.example.com'] })
    expect((await answerOf(handler, '/dashboard/')).status).toBe(403)
    const headers = { host: 'jobs.example.com', 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }
    expect((await answerOf(handler, '/dashboard/', { headers })).status).toBe(200)
    expect((await answerOf(handler, '/dashboard/api/report/daily/_start', { ...post, headers })).status).toBe(403)
  })
})

describe('of another server', () => {
  /** A dashboard, the registry that it shows over HTTP, and what the server of that has heard. */
  async function remote(options?: DashboardOptions) {
    const registry = newRegistry()
    const params: unknown[] = []
    registry.define({ type: 'report', id: 'a/b', run: (context) => void params.push(context.params) })
    const authorize = ({ headers }: JobsRequest) => headers.get('authorization') === 'Bearer abc'
    const served = createJobsHandler(registry, { authorize })
    const { port, server } = await listen(toNodeHandler(served))
    // #region client
    const client = new JobsClient({
      url: `http://127.0.0.1:${port}/_siren/connector/jobs`,
      headers: { authorization: 'Bearer abc' },
    })
    const handler = createDashboardHandler(client, options)
    // #endregion
    return { registry, params, handler, server, served }
  }

  test('calls are passed on as they are, with the headers of the client', async () => {
    const { handler, params } = await remote()
    expect((await answerOf(handler, '/dashboard/')).status).toBe(200)
    const list = await answerOf(handler, '/dashboard/api/')
    expect([list.status, list.headers.get('content-type')]).toEqual([200, 'application/json; charset=utf-8'])
    expect(JSON.parse(list.text).hits.total).toBe(1)
    const start = await answerOf(handler, '/dashboard/api/report/a%2Fb/_start?detail=true&pretty', {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer of the user', cookie: 'secret' },
      body: '{"params":{"days":3}}',
    })
    expect(start.status).toBe(201)
    await expect.poll(() => params).toEqual([{ days: 3 }])
    expect((await answerOf(handler, '/dashboard/api/_search?size=x')).status).toBe(400)
    expect((await answerOf(handler, '/dashboard/api/report/nobody')).status).toBe(404)
    expect((await answerOf(handler, '/dashboard/api/report/a%2Fb', { method: 'HEAD' })).text).toBe('')
  })

  test('a body that does not arrive is given up after 10 seconds', async () => {
    const clock = fakeClock()
    const { handler, params } = await remote({ clock })
    const headers = new Headers({ 'content-type': 'application/json' })
    const request = { ...bare, method: 'POST', url: '/dashboard/api/report/a%2Fb/_start', headers }
    const answered = handler.answer({ ...request, body: () => new Promise(() => {}) })
    await clock.advance(10_000)
    const { status, body } = await answered
    expect([status, body, params]).toEqual([400, expect.stringContaining('did not arrive within 10000 ms'), []])
  })

  test('no path leads out of the API', async () => {
    const { handler } = await remote()
    for (const path of ['/%2E%2E/_health', '/../x', '/%2e%2e/%2e%2e/_start', '/./a'])
      expect((await handler.answer({ ...bare, url: `/dashboard/api${path}` })).status, path).toBeGreaterThanOrEqual(400)
  })

  test('authorize and readOnly hold here', async () => {
    const asked: unknown[] = []
    const authorize: DashboardOptions['authorize'] = (_, ...call) => asked.push(call) > 0
    const { handler, params } = await remote({ authorize, readOnly: true })
    const { status } = await answerOf(handler, '/dashboard/api/report/a%2Fb/_start', { method: 'POST' })
    expect([status, asked, params]).toEqual([403, [['start', { type: 'report', id: 'a/b' }]], []])
  })

  test('events arrive, until the streams are ended', async () => {
    const { handler, registry } = await remote()
    const { body } = await handler(new Request('http://localhost/dashboard/api/_events'))
    const reader = (body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader()
    await registry.start('report', 'a/b')
    let text = ''
    while (!text.includes('successful')) text += (await reader.read()).value
    handler.endStreams()
    await expect(reader.read()).rejects.toThrow()
  })

  test('a server that is away, or refuses this one, is an error of this server', async () => {
    const logged: unknown[] = []
    const { handler, server, served } = await remote({ logger: { error: (details) => logged.push(details) } })
    const wrong = createDashboardHandler(
      new JobsClient({ url: `http://127.0.0.1:${portOf(server)}${served.basePath}` }),
    )
    expect((await answerOf(wrong, '/dashboard/api/')).status).toBe(500)
    server.close()
    expect((await answerOf(handler, '/dashboard/api/')).status).toBe(500)
    expect(logged).toMatchObject([{ error: expect.arrayContaining([expect.stringContaining('could not be reached')]) }])
  })
})

test.each([
  [{ basePath: 'x' }, 'basePath'],
  [{ readOnly: 'yes' }, 'readOnly'],
  [{ title: '' }, 'title'],
  [{ colour: 'red' }, 'colour'],
])('%o is refused', (options, name) => {
  expect(() => newDashboard(options as DashboardOptions)).toThrow(name)
})
