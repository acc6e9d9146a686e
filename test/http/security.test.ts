import { describe, expect, test, vi } from 'vitest'
import type { JobsHandlerOptions, JobsRequest } from '../../src/http/index.js'
import { toNodeHandler } from '../../src/http/mounts/node.js'
import { JobError, type JobStorage, memoryStorage } from '../../src/index.js'
import { fakeClock } from '../../src/testing/index.js'
import { storageMethods } from '../support/plain-storage.js'
import { smallestOf } from '../support/smallest-of.js'
import { describedHandler } from './described-handler.js'
import { base, listen, newRegistry, sendTo } from './support.js'

// What docs/reference/http/security.md promises, threat by threat.

function request(path: string, method = 'GET', headers: Record<string, string> = {}): JobsRequest {
  return { method, url: base + path, headers: new Headers(headers), native: undefined }
}

function served(options: JobsHandlerOptions = {}, storage?: JobStorage) {
  const registry = newRegistry(storage ? { storage } : {})
  const run = vi.fn()
  registry.define({ type: 'copy', id: 'a', run })
  return { registry, run, handler: describedHandler(registry, options) }
}

const secrets = /secret|select|\bat .*:\d+|ECONNREFUSED/

/** An error as drivers make them: the query, a password and a stack in its chain. */
function telling(): Error {
  const cause = Object.assign(new Error('password=secret'), { query: 'select secret from users' })
  return new Error('connect ECONNREFUSED postgres://ann:secret@db/x', { cause })
}

/** A storage of which every call does that. */
function storageThat(act: () => Promise<never>): JobStorage {
  const names = [...storageMethods.filter((name) => name !== 'watch'), 'reset']
  return Object.fromEntries(names.map((name) => [name, act])) as unknown as JobStorage
}

const calls = [
  ['GET', '/copy'],
  ['GET', '/copy/a'],
  ['GET', '/_search'],
  ['POST', '/copy/a/_start'],
  ['POST', '/copy/a/_abort'],
  ['POST', '/copy/a/_reset'],
] as const

describe('who is not allowed learns nothing', () => {
  test('whatever the path, the method and the registry, the refusal is the same', async () => {
    const { handler, registry } = served({ authorize: () => false })
    await (await registry.start('copy', 'a')).finished
    const paths = [
      '/copy/a',
      '/copy/nobody',
      '/other',
      '/_search',
      '/_nothing',
      '/copy/%zz',
      '/copy/',
      '/copy/a?bad=1',
      '',
    ]
    const answers = await Promise.all(
      paths.flatMap((path) => ['GET', 'POST', 'DELETE'].map((method) => handler.answer(request(path, method)))),
    )
    expect(new Set(answers.map((answer) => JSON.stringify(answer)))).toHaveLength(1)
    expect(answers[0]?.status).toBe(403)
  })
})

describe('a page of another site', () => {
  const own = { host: 'jobs.example' }
  test.each([
    ['no browser', {}, 201],
    ['the same site', { 'sec-fetch-site': 'same-origin', origin: 'https://jobs.example' }, 201],
    ['behind a proxy that changes Host', { 'sec-fetch-site': 'same-origin', origin: 'https://front.example' }, 201],
    ['the address bar', { 'sec-fetch-site': 'none' }, 201],
    ['an old browser', { origin: 'http://jobs.example' }, 201],
    ['TLS that ended before', { origin: 'https://jobs.example' }, 201],
    ['a port that is the default one', { origin: 'https://jobs.example', host: 'jobs.example:443' }, 201],
    ['an allowed site', { 'sec-fetch-site': 'cross-site', origin: 'https://admin.example' }, 201],
    ['an allowed site, by an old browser', { origin: 'https://admin.example' }, 201],
    ['another site', { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }, 403],
    ['another site, without a word of which', { 'sec-fetch-site': 'cross-site' }, 403],
    ['a sister', { 'sec-fetch-site': 'same-site', origin: 'https://evil.jobs.example' }, 403],
    ['another site by an old browser', { origin: 'https://evil.example' }, 403],
    ['another port', { origin: 'http://jobs.example:8080' }, 403],
    ['a sandbox', { origin: 'null' }, 403],
    ['nonsense', { origin: 'https://' }, 403],
    ['a site that pretends', { 'sec-fetch-site': 'cross-site', origin: 'https://jobs.example' }, 403],
    ['words of tomorrow', { 'sec-fetch-site': 'other-planet' }, 403],
    ['a Host that is none', { origin: 'https://jobs.example', host: '[' }, 403],
    ['no Host, which a name could stand for', { origin: 'http://null', host: undefined }, 403],
    ['an empty Host', { origin: 'http://undefined', host: '' }, 403],
  ])('%s', async (_, headers, status) => {
    const authorize = vi.fn(() => true)
    const { handler, run } = served({ authorize, allowedOrigins: ['https://admin.example'] })
    const sent = Object.entries({ ...own, ...headers }).filter(([, value]) => value !== undefined)
    const answer = await handler.answer(
      request('/copy/a/_start', 'POST', Object.fromEntries(sent as [string, string][])),
    )
    expect(answer.status).toBe(status)
    expect([authorize, run].map(({ mock }) => mock.calls.length)).toEqual(status === 403 ? [0, 0] : [1, 1])
  })

  test('is told why', async () => {
    const answer = await served().handler.answer(request('/copy/a/_abort', 'POST', { origin: 'https://evil.example' }))
    const reason =
      'Expected `origin` to be that of this server, or one of `allowedOrigins`, got `https://evil.example` (string)'
    expect(JSON.parse(String(answer.body))).toEqual({ error: { type: 'forbidden', reason }, status: 403 })
  })

  test('may read as far as CORS of the host lets it', async () => {
    const answer = await served().handler.answer(request('/copy/a', 'GET', { 'sec-fetch-site': 'cross-site' }))
    expect(answer.status).toBe(200)
    expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control'))).toEqual([])
  })
})

describe('a name that leads to the address of this server', () => {
  const allowedHosts = ['localhost', '127.0.0.1:3000', '[::1]', 'Jobs.Example']
  test.each([
    ['localhost', 200],
    ['localhost:8080', 200],
    ['LOCALHOST:1', 200],
    ['127.0.0.1:3000', 200],
    ['[::1]', 200],
    ['[::1]:3000', 200],
    ['jobs.example:443', 200],
    ['127.0.0.1', 403],
    ['127.0.0.1:30000', 403],
    ['evil.example', 403],
    ['evil.example:3000', 403],
    ['localhost.evil.example', 403],
    ['localhost:x.evil.example', 403],
    ['localhost@evil.example', 403],
    ['', 403],
    [undefined, 403],
  ])('Host %j answers %i', async (host, status) => {
    const authorize = vi.fn(() => true)
    const { handler } = served({ authorize, allowedHosts })
    for (const path of ['/copy/a', '/_search', '/_events']) {
      const answer = await handler.answer(request(path, 'HEAD', host === undefined ? {} : { host }))
      expect(answer.status).toBe(status)
    }
    expect(authorize.mock.calls.length).toBe(status === 200 ? 3 : 0)
  })

  test('is told so, whatever the browser says', async () => {
    const headers = { host: 'evil.example', 'sec-fetch-site': 'same-origin', origin: 'http://evil.example' }
    const { handler, run } = served({ allowedHosts })
    const { body } = await handler.answer(request('/copy/a/_start', 'POST', headers))
    const reason = 'Expected `host` to be one of `allowedHosts`, got `evil.example` (string)'
    expect(JSON.parse(String(body))).toEqual({ error: { type: 'forbidden', reason }, status: 403 })
    expect(run).not.toHaveBeenCalled()
  })

  test('of a web request is that of its address', async () => {
    const { handler } = served({ allowedHosts })
    expect((await handler(new Request(`http://localhost${base}/copy/a`))).status).toBe(200)
    expect((await handler(new Request(`http://evil.example${base}/copy/a`))).status).toBe(403)
  })
})

describe('bounds', () => {
  test('what an address says is looked at once somebody may call', async () => {
    const { handler } = served({ authorize: () => false })
    const timeOf = async (length: number) => {
      const long = request(`/x/y/z/${'a://:'.repeat(length / 5)}`)
      const times: number[] = []
      for (let run = 0; run < 10; run++) {
        const start = performance.now()
        for (let call = 0; call < 20; call++) await handler.answer(long)
        times.push(performance.now() - start)
      }
      return Math.min(...times)
    }
    await timeOf(1500)
    // Ten times the length takes no more than so many times as long: quoting it before took the square.
    const growth = await smallestOf(30, async () => (await timeOf(15_000)) / Math.max(await timeOf(1500), 1))
    expect(growth).toBeLessThan(30)
  })

  test.each(['/copy/', '/copy?id=', '/_search?id='])('an address of 100 kB under %s is a 414', async (path) => {
    const { handler } = served()
    const long = path + 'x'.repeat(100_000)
    expect((await handler.answer(request(long))).status).toBe(414)
    const { status, headers } = await handler(new Request(`http://localhost${base}${long}`))
    expect([status, headers.get('content-type')]).toEqual([414, 'application/json; charset=utf-8'])
  })

  test('the longest ids that there may be fit', async () => {
    const { handler } = served()
    const part = encodeURIComponent('€'.repeat(512))
    const after = encodeURIComponent(`${'€'.repeat(512)}019a0000-0000-7000-8000-000000000000`)
    const url = `/_search?type=${part}&id=${part}&search_after=${after}&state=successful&from=0&size=1000&pretty`
    expect((await handler.answer(request(url))).status).toBe(200)
  })

  test('an endless body is not read', async () => {
    const { handler } = served()
    let pulled = 0
    const endless = () =>
      new ReadableStream({
        pull(controller) {
          pulled++
          controller.enqueue(new Uint8Array(65_536))
        },
      })
    const body = endless()
    const sent = { method: 'POST', body, duplex: 'half' } as RequestInit
    expect((await handler(new Request(`http://localhost${base}/copy/a/_abort`, sent))).status).toBe(400)
    expect(pulled).toBeLessThan(3)
    const headers = { 'content-type': 'application/json' }
    const start = new Request(`http://localhost${base}/copy/a/_start`, { ...sent, body: endless(), headers })
    expect((await handler(start)).status).toBe(413)
    expect(pulled).toBeLessThan(8)
  })
})

describe('what went wrong inside stays inside', () => {
  test.each(calls)('%s %s, of a storage that fails', async (method, path) => {
    const error = vi.fn()
    const { handler } = served(
      { logger: { error } },
      storageThat(() => Promise.reject(telling())),
    )
    const { status, body } = await handler.answer(request(path, method))
    expect([status, JSON.parse(String(body)).error.type]).toEqual([503, 'storage'])
    expect(body).not.toMatch(secrets)
    expect(JSON.stringify(error.mock.calls)).not.toContain('secret')
  })

  test.each(calls)('%s %s, of a storage that throws a JobError of its own', async (method, path) => {
    const storage = storageThat(async () => {
      throw new JobError('storage', 'select secret', { cause: telling() })
    })
    const { status, body } = await served({}, storage).handler.answer(request(path, method))
    expect(status).toBe(503)
    expect(body).not.toMatch(secrets)
  })

  test('a failed job shows the messages of its errors: no stack, no query, no password', async () => {
    const { handler, registry } = served()
    registry.define({ type: 'copy', id: 'b', run: () => Promise.reject(telling()) })
    await (await registry.start('copy', 'b')).finished
    const { body } = await handler.answer(request('/copy/b'))
    expect(JSON.parse(String(body)).status.error).toEqual([
      'connect ECONNREFUSED postgres://ann:***@db/x',
      'password=***',
    ])
  })

  test('nothing of a browser makes a page of an answer', async () => {
    const { headers, body } = await served().handler.answer(request('/_search?<script>=1'))
    expect(headers).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
    })
    expect(body).toContain('script')
  })
})

describe('a storage that is down', () => {
  test('2,000 requests are answered with 503, each with a reason', async () => {
    const { handler } = served(
      {},
      storageThat(() => Promise.reject(telling())),
    )
    const { port } = await listen(toNodeHandler(handler))
    const send = sendTo(port)
    const seen = new Map<string, number>()
    const lane = async (lane: number) => {
      for (let call = lane; call < 2000; call += 50) {
        const [method, path] = calls[call % calls.length] as (typeof calls)[number]
        const { status, text } = await send(base + path, { method })
        const answer = `${status} ${text}`
        seen.set(answer, (seen.get(answer) ?? 0) + 1)
      }
    }
    await Promise.all(Array.from({ length: 50 }, (_, i) => lane(i)))
    const reason = 'The storage could not be reached or could not complete the request.'
    // A start beside another that still waits for the storage is refused at once.
    const answers = [...seen.keys()].filter((answer) => !answer.startsWith('409'))
    expect(answers).toEqual([`503 ${JSON.stringify({ error: { type: 'storage', reason }, status: 503 })}`])
    expect(seen.get(answers[0] as string)).toBeGreaterThan(1800)
  })

  test('2,000 requests to one that never answers are answered too', async () => {
    const clock = fakeClock()
    const registry = newRegistry({ storage: storageThat(() => new Promise(() => {})), clock })
    registry.define({ type: 'copy', id: 'a', run: () => {} })
    const handler = describedHandler(registry)
    const asked = Array.from({ length: 2000 }, (_, call) => {
      const [method, path] = calls[call % calls.length] as (typeof calls)[number]
      return handler.answer(request(path, method))
    })
    await clock.advance(60_000)
    const statuses = (await Promise.all(asked)).map(({ status }) => status)
    // A start beside another that still waits for the storage is refused at once.
    expect(new Set(statuses)).toEqual(new Set([503, 409]))
  })

  test('and when it is back, so is the API', async () => {
    const storage = memoryStorage()
    const { handler, registry } = served({}, storage)
    await (await registry.start('copy', 'a')).finished
    const find = vi.spyOn(storage, 'find').mockRejectedValueOnce(telling())
    expect((await handler.answer(request('/copy/a'))).status).toBe(503)
    find.mockRestore()
    expect((await handler.answer(request('/copy/a'))).status).toBe(200)
  })
})

test('a refusal is sent with its own length, whatever headers `authorize` gives it', async () => {
  const headers = {
    'content-length': '5',
    'transfer-encoding': 'chunked',
    'content-encoding': 'gzip',
    'www-authenticate': 'Bearer',
  }
  const { handler } = served({ authorize: () => ({ status: 401, headers }) })
  const { port } = await listen(toNodeHandler(handler))
  const response = await fetch(`http://127.0.0.1:${port}${base}`)
  const text = await response.text()
  expect(JSON.parse(text)).toMatchObject({ status: 401 })
  expect(response.headers.get('www-authenticate')).toBe('Bearer')
  expect(response.headers.get('content-length')).toBe(String(text.length))
  for (const name of ['transfer-encoding', 'content-encoding']) expect(response.headers.get(name)).toBeNull()
})
