import fc from 'fast-check'
import { describe, expect, expectTypeOf, test, vi } from 'vitest'
import {
  type Authorize,
  createJobsHandler,
  type JobsAnswer,
  type JobsHandler,
  type JobsRequest,
  type ServedRegistry,
} from '../../src/http/index.js'
import { withoutPrefix } from '../../src/http/mounts/node-request.js'
import { JobError, type JobRegistry } from '../../src/index.js'
import { fakeClock, recordEvents } from '../../src/testing/index.js'
import { describedHandler } from './described-handler.js'
import { base, defineHeld, fixedStorage, newRegistry, record } from './support.js'

function request(url: string, method = 'GET', headers: Record<string, string> = {}): JobsRequest {
  return { method, url, headers: new Headers(headers), native: undefined }
}

const path = `${base}/copy/a`
const bodyOf = ({ body }: JobsAnswer) => JSON.parse(String(body))

describe('options', () => {
  test.each([
    [{ basePath: 'jobs' }, 'got `jobs` (string)'],
    [{ basePath: '' }, 'got `` (string)'],
    [{ basePath: '/jobs/' }, 'got `/jobs/` (string)'],
    [{ basePath: '/a//b' }, 'got `/a//b` (string)'],
    [{ basePath: '/a?b' }, 'got `/a?b` (string)'],
    [{ basePath: 5 }, 'got `5` (number)'],
    [{ authorize: true }, 'Expected `authorize` to be a function'],
    [{ allowedOrigins: 'https://a.example' }, 'Expected `allowedOrigins` to be a list of origins'],
    [{ allowedOrigins: ['https://a.example/'] }, 'Expected `allowedOrigins` to be a list of origins'],
    [{ allowedOrigins: ['*'] }, 'Expected `allowedOrigins` to be a list of origins'],
    [{ authorizeTimeout: 0 }, 'Expected `authorizeTimeout` to be a whole number of milliseconds from 1 to 600000'],
    [{ allowedHosts: 'localhost' }, 'Expected `allowedHosts` to be a list of one or more names of hosts'],
    [{ allowedHosts: [] }, 'Expected `allowedHosts` to be a list of one or more names of hosts'],
    [{ allowedHosts: ['http://localhost'] }, 'Expected `allowedHosts` to be a list'],
    [{ allowedHosts: ['*.example'] }, 'Expected `allowedHosts` to be a list'],
    [{ keepAlive: 0 }, 'Expected `keepAlive` to be a whole number from 100 to 30000'],
    [{ clock: {} }, 'Expected `clock` to be an object with the methods `now`, which gives a number'],
    [{ logger: {} }, 'Expected `logger` to be an object with the method `error`'],
    [
      { path: '/' },
      'Expected `options` to be an object with `basePath`, `authorize`, `authorizeTimeout`, `allowedHosts`, `allowedOrigins`, `logger`, `keepAlive`, `clock`, got `path`',
    ],
  ])('%j is refused', (options, message) => {
    const create = () => describedHandler(newRegistry(), options as never)
    expect(create).toThrowError(expect.objectContaining({ code: 'invalid_options' }))
    expect(create).toThrowError(message)
  })

  test('what is no registry is refused', () => {
    expect(() => describedHandler({} as ServedRegistry)).toThrowError(
      'Expected `registry` to be a registry, an object with',
    )
    expect(() => describedHandler({ registry: newRegistry() } as never)).toThrowError(
      'that has the registry as `registry`: give that one',
    )
  })

  test.each([
    ['/', '/copy/a', 200],
    ['/', '/copy', 200],
    ['/', '', 404],
    ['/', '/', 200],
    ['/jobs', '/jobs', 200],
    ['/jobs', '/jobs/', 200],
    ['/jobs', '/jobs/copy/a', 200],
    ['/jobs', '/jobs/jobs/a', 404],
    ['/jobs', '/jobsite/copy', 404],
    ['/jobs', '/copy/a', 404],
    ['/a/b', 'http://localhost:3000/a/b/copy?pretty#top', 200],
    ['/a/b', 'https://localhost/b/copy', 404],
  ])('with the base path %s, %s answers %i', async (basePath, url, status) => {
    const registry = newRegistry()
    defineHeld(registry, 'copy', 'a')
    const handler = describedHandler(registry, { basePath })
    expect((await handler.answer(request(url))).status).toBe(status)
  })

  test.each([[undefined], [null], [5], [{}], [Symbol('url')]])(
    'answers 400 to a request whose address is no text: %o',
    async (url) => {
      const answer = await createJobsHandler(newRegistry()).answer({ ...request('/'), url } as never)
      expect(answer).toMatchObject({
        status: 400,
        body: expect.stringContaining('Expected `url` of the request to be a string'),
      })
    },
  )

  test('a handler says what it covers', () => {
    const { covers } = describedHandler(newRegistry())
    const covered = [base, `${base}/copy`, `http://localhost${base}/copy?x`, `${base}?x`]
    expect(covered.map(covers)).toEqual([true, true, true, true])
    expect(['/', `${base}x`, `/api${base}`, '*', '', `//${base}`].some(covers)).toBe(false)
  })
})

describe('authorize', () => {
  function served(authorize: Authorize, logger?: { error(details: object, message: string): void }) {
    const registry = newRegistry()
    const run = vi.fn()
    registry.define({ type: 'copy', id: 'a', run })
    return { handler: describedHandler(registry, { authorize, ...(logger && { logger }) }), run }
  }

  test.each([
    ['GET', '/_search?state=error', 'read', {}],
    ['GET', '/_search?type=copy', 'read', { type: 'copy' }],
    ['GET', '/_events', 'events', {}],
    ['GET', '/_events?id=a', 'events', { id: 'a' }],
    ['HEAD', '/_events?type=copy&id=a%2Fb&state=error', 'events', { type: 'copy', id: 'a/b' }],
    ['GET', '/_events?type=copy&id=a&bad=1', 'events', { type: 'copy', id: 'a' }],
    ['GET', '/_events?type=copy&id=', 'events', {}],
    ['GET', '/_events?type=_copy&id=a', 'events', {}],
    ['GET', '/_events?type=copy&type=move&id=a', 'events', {}],
    ['GET', '/copy/a?type=move', 'read', { type: 'copy', id: 'a' }],
    ['GET', '/copy', 'read', { type: 'copy' }],
    ['HEAD', '/copy/a%2Fb', 'read', { type: 'copy', id: 'a/b' }],
    ['POST', '/copy/a/_abort', 'abort', { type: 'copy', id: 'a' }],
    ['POST', '/copy/a/_start', 'start', { type: 'copy', id: 'a' }],
    ['POST', '/copy/a/_reset', 'reset', { type: 'copy', id: 'a' }],
  ])('is asked about %s %s', async (method, rest, action, job) => {
    const authorize = vi.fn(() => true)
    const asked = request(base + rest, method)
    await served(authorize).handler.answer(asked)
    expect(authorize).toHaveBeenCalledExactlyOnceWith(asked, action, job)
  })

  test.each([
    ['GET', '/_other'],
    ['GET', '/copy/%zz'],
    ['GET', '/copy/'],
    ['POST', '/copy/%00/_start'],
    ['DELETE', '/copy/a'],
    ['GET', ''],
  ])('is asked about %s %s, which is no call, as a read of no job', async (method, rest) => {
    const authorize = vi.fn(() => false)
    const asked = request(base + rest, method)
    expect((await served(authorize).handler.answer(asked)).status).toBe(403)
    expect(authorize).toHaveBeenCalledExactlyOnceWith(asked, 'read', {})
  })

  test('is not asked about what is not under the base path', async () => {
    const authorize = vi.fn(() => true)
    expect((await served(authorize).handler.answer(request('/elsewhere'))).status).toBe(404)
    expect(authorize).not.toHaveBeenCalled()
  })

  test('sees the web request', async () => {
    const sent = new Request(`http://localhost${path}`, { headers: { Authorization: 'Bearer x' } })
    const { handler } = served(({ native, headers }) => native === sent && headers.get('AUTHORIZATION') === 'Bearer x')
    expect((await handler(sent)).status).toBe(200)
  })

  test.each([
    [false, 403, 'forbidden', 'The call is not allowed.'],
    [undefined, 403, 'forbidden', 'The call is not allowed.'],
    [1, 403, 'forbidden', 'The call is not allowed.'],
    [{ status: 200 }, 403, 'forbidden', 'The call is not allowed.'],
    [{ status: 403, reason: 'Not on Sundays.' }, 403, 'forbidden', 'Not on Sundays.'],
    [{ status: 401 }, 401, 'unauthorized', 'The call requires authentication.'],
    [Promise.resolve({ status: 401, reason: 'Who?' }), 401, 'unauthorized', 'Who?'],
  ])('%j refuses before anything is validated or done', async (verdict, status, type, reason) => {
    const { handler, run } = served(() => verdict as boolean)
    const answer = await handler.answer(request(`${path}/_start?bad=1`, 'POST'))
    expect(answer.status).toBe(status)
    expect(bodyOf(answer)).toEqual({ error: { type, reason }, status })
    expect(run).not.toHaveBeenCalled()
  })

  test.each([
    ['', undefined],
    ['yes', undefined],
    [{}, undefined],
    [[true], undefined],
    [() => true, undefined],
    [{ status: 403, reason: { a: 1 } }, 'The call is not allowed.'],
    [{ status: 403, reason: 10n }, 'The call is not allowed.'],
    [{ status: 403, reason: 'No.', headers: {} }, 'No.'],
    [new Proxy({}, { get: () => undefined }), undefined],
  ])('an odd answer refuses: %o', async (verdict, reason = 'The call is not allowed.') => {
    const answer = await served(() => verdict as boolean).handler.answer(request(path))
    expect([answer.status, bodyOf(answer).error.reason]).toEqual([403, reason])
  })

  test('one that never answers is waited for so long, and logged', async () => {
    const clock = fakeClock()
    const error = vi.fn()
    const hangs = () => new Promise<boolean>(() => {})
    const [short, usual] = [{ authorizeTimeout: 50 }, {}].map((more) =>
      describedHandler(newRegistry(), { authorize: hangs, clock, logger: { error }, ...more }),
    ) as [JobsHandler, JobsHandler]
    const idle = clock.pending
    const answers = [short.answer(request(path)), usual.answer(request(path))]
    await clock.advance(50)
    expect(await answers[0]).toMatchObject({ status: 500 })
    expect(error.mock.calls).toMatchObject([
      [{ error: ['`authorize` did not answer within 50 ms.'] }, expect.anything()],
    ])
    await clock.advance(9950)
    expect(await answers[1]).toMatchObject({ status: 500 })
    expect(clock.pending).toBe(idle)
  })

  test('one that answers in time leaves no timer', async () => {
    const clock = fakeClock()
    const handler = describedHandler(newRegistry({ clock }), { authorize: async () => false, clock })
    const idle = clock.pending
    expect((await handler.answer(request(path))).status).toBe(403)
    await clock.advance(0)
    expect(clock.pending).toBe(idle)
  })

  test('a refusal may carry headers', async () => {
    const { handler } = served(() => ({ status: 401, headers: { 'WWW-Authenticate': 'Basic' } }))
    const response = await handler(new Request(`http://localhost${path}`))
    expect([response.status, response.headers.get('www-authenticate')]).toEqual([401, 'Basic'])
  })

  test.each([
    ['a throw', () => Promise.reject(new Error('user table is gone'))],
    ['a throw of headgate', () => Promise.reject(new JobError('already_running', 'user table is gone'))],
    ['a header that cannot be sent', () => ({ status: 401 as const, headers: { 'x-user': 'user table\n is gone' } })],
  ])('%s is logged, and told without details', async (_, authorize) => {
    const error = vi.fn()
    const answer = await served(authorize, { error }).handler.answer(request(`${path}?token=abc`))
    expect([answer.status, bodyOf(answer).error.type]).toEqual([500, 'internal'])
    expect(answer.body).not.toContain('user table')
    expect(error).toHaveBeenCalledOnce()
    expect(JSON.stringify(error.mock.calls)).toContain('user table')
    expect(JSON.stringify(error.mock.calls)).not.toContain('abc')
  })
})

describe('failures inside', () => {
  const failing = (error: unknown): ServedRegistry => {
    const fail = () => Promise.reject(error)
    return {
      ...{ has: () => true, start: fail, status: fail, running: fail, abort: fail, search: fail, health: fail },
      on: () => () => {},
    }
  }

  test.each([
    [new JobError('storage', 'no route to 10.0.0.7'), 503, 'storage'],
    [new JobError('closed', 'no route to 10.0.0.7'), 503, 'closed'],
    [new JobError('datasource', 'no route to 10.0.0.7'), 503, 'datasource'],
    [new JobError('checkpoint', 'no route to 10.0.0.7'), 500, 'internal'],
    [new Error('no route to 10.0.0.7'), 500, 'internal'],
    ['no route to 10.0.0.7', 500, 'internal'],
    [undefined, 500, 'internal'],
  ])('%s', async (cause, status, type) => {
    const error = vi.fn()
    const handler = describedHandler(failing(cause), { logger: { error } })
    for (const [method, rest] of [
      ['GET', ''],
      ['POST', '/_start'],
      ['POST', '/_abort'],
    ] as const) {
      const answer = await handler.answer(request(path + rest, method))
      expect([answer.status, bodyOf(answer).status, bodyOf(answer).error.type]).toEqual([status, status, type])
      expect(answer.body).not.toContain('10.0.0.7')
    }
    expect(error).toHaveBeenCalledTimes(3)
  })

  test.each<[string, () => unknown]>([
    ['throws', fails],
    ['rejects', async () => fails()],
  ])('a logger that %s does not matter', async (_, error) => {
    const handler = describedHandler(failing(new Error('away')), { logger: { error } })
    expect(await handler.answer(request(path))).toMatchObject({ status: 500 })
    // A rejection that nobody handles fails the test.
    await new Promise((resolve) => setImmediate(resolve))
  })

  test('a closed registry starts nothing', async () => {
    const registry = newRegistry()
    defineHeld(registry, 'copy', 'a')
    await registry.close()
    const answer = await describedHandler(registry).answer(request(`${path}/_start`, 'POST'))
    expect([answer.status, bodyOf(answer).error]).toEqual([503, { type: 'closed', reason: 'The registry is closed.' }])
  })
})

test.each([
  ['', {}],
  ['?timeout=0', { timeout: 0 }],
  ['?timeout=5ms', { timeout: 5 }],
  ['?timeout=30s', { timeout: 30_000 }],
  ['?timeout=2m', { timeout: 120_000 }],
  ['?timeout=1h', { timeout: 3_600_000 }],
  ['?timeout=24d', { timeout: 2_073_600_000 }],
  ['?wait_for_completion=true', {}],
  ['?wait_for_completion=true&timeout=1s', { timeout: 1000 }],
  ['?wait_for_completion=false&timeout=1s', { timeout: 0 }],
])('_abort%s', async (query, options) => {
  const registry = newRegistry()
  const abort = vi.spyOn(registry, 'abort')
  await describedHandler(registry).answer(request(`${path}/_abort${query}`, 'POST'))
  expect(abort).toHaveBeenCalledExactlyOnceWith('copy', 'a', { ...options, onAsked: expect.any(Function) })
})

test('a type that only the log knows has nothing running', async () => {
  const storage = fixedStorage(record({ type: 'copy', state: 'successful', endTime: 1 }))
  const answer = await describedHandler(newRegistry({ storage })).answer(request(`${base}/copy`))
  expect([answer.status, answer.body]).toEqual([200, '{"hits":{"total":0,"hits":[]}}'])
})

test('an abort waits 30 seconds unless said', async () => {
  const clock = fakeClock()
  const registry = newRegistry({ clock })
  const events = recordEvents(registry)
  const job = defineHeld(registry, 'copy', 'a', { isDeaf: true })
  const { finished } = await registry.start('copy', 'a')
  const handler = describedHandler(registry)
  const answered = vi.fn()
  const abort = handler.answer(request(`${path}/_abort`, 'POST')).finally(answered)
  await events.waitFor('aborting')

  await clock.advance(29_999)
  expect(answered).not.toHaveBeenCalled()
  await clock.advance(1)
  expect((await abort).status).toBe(202)
  job.end()
  await finished
})

test('a job that did all it had to do when the abort came is successful', async () => {
  const registry = newRegistry()
  registry.define({
    type: 'copy',
    id: 'a',
    run: ({ signal, complete }) =>
      new Promise<void>((resolve) => signal.addEventListener('abort', resolve as () => void)).then(complete),
  })
  await registry.start('copy', 'a')
  const answer = await describedHandler(registry).answer(request(`${path}/_abort`, 'POST'))
  expect([answer.status, bodyOf(answer).status.state]).toEqual([200, 'successful'])
  expect(bodyOf(answer).status).not.toHaveProperty('is_aborting')
})

describe('whatever comes', () => {
  const known = fc.constantFrom('/_search', '/copy', '/copy/a', '/copy/a/_abort', '/copy/a/_start')
  const part = fc.oneof(
    fc.constantFrom(
      'copy',
      'a',
      '_search',
      '_abort',
      '_start',
      '%zz',
      '%00',
      '%2F',
      '..',
      '',
      '%E2%82%AC',
      '__proto__',
    ),
    fc.string({ unit: 'binary' }),
    fc.string({ unit: 'grapheme' }).map(encodeURIComponent),
  )
  const anyPath = fc.array(part, { maxLength: 4 }).map((parts) => parts.map((part) => `/${part}`).join(''))
  const name = fc.constantFrom(
    ...['type', 'id', 'state', 'start_time_from', 'start_time_to', 'from', 'size', 'search_after', 'pretty'],
    ...['timeout', 'wait_for_completion', 'include_queued', 'constructor', '__proto__', ''],
  )
  const value = fc.oneof(
    fc.constantFrom(
      '',
      '0',
      '1',
      'true',
      'false',
      '1ms',
      '0d',
      '99999999999999999999d',
      'running',
      'copy',
      'NaN',
      '1e9',
    ),
    fc.string({ unit: 'binary' }),
    fc.nat().map(String),
    fc.uuid().map((uuid) => `a${uuid}`),
  )
  const query = fc.array(fc.tuple(name, fc.oneof(value, value.map(encode))), { maxLength: 3 })
  const anyRequest = fc.record({
    method: fc.oneof(fc.constantFrom('GET', 'HEAD', 'POST', 'DELETE', 'get', ''), fc.string()),
    url: fc.oneof(
      fc.string({ unit: 'binary' }),
      fc
        .tuple(fc.constantFrom('', 'http://x', '//'), fc.oneof(known, anyPath), fc.option(query))
        .map(([origin, path, query]) => `${origin}${base}${path}${search(query)}`),
    ),
    headers: fc.dictionary(
      fc.constantFrom('x', 'origin', 'host', 'sec-fetch-site'),
      fc.oneof(fc.constantFrom('no', 'null', 'same-origin', 'http://a', 'a', 'http://', '['), fc.string()),
    ),
  })

  function encode(text: string): string {
    return new URLSearchParams({ x: text }).toString().slice(2)
  }

  function search(pairs: [string, string][] | null): string {
    return pairs ? `?${pairs.map(([name, value]) => `${name}=${value}`).join('&')}` : ''
  }

  test('nothing gives a 5xx or a rejected promise', async () => {
    const registry = newRegistry()
    registry.define({ type: 'copy', id: 'a', run: () => {} })
    const error = vi.fn()
    const authorize = ({ headers }: JobsRequest) => headers.get('x') !== 'no'
    const handler = describedHandler(registry, { authorize, allowedOrigins: ['http://a'], logger: { error } })
    const seen = new Set<number>()
    await fc.assert(
      fc.asyncProperty(anyRequest, async ({ method, url, headers }) => {
        const get = (name: string) => headers[name] ?? null
        const answer = await handler.answer({ method, url, headers: { get }, native: undefined })
        seen.add(answer.status)
        expect(answer.status).toBeLessThan(500)
        expect(Buffer.byteLength(String(answer.body))).toBe(
          method === 'HEAD' ? 0 : Number(answer.headers['content-length']),
        )
        if (method !== 'HEAD') expect(bodyOf(answer)).toBeTypeOf('object')
        const address = new URL(URL.canParse(url) ? url : 'http://x')
        if (address.username === '') expect((await handler(new Request(address))).status).toBeLessThan(500)
      }),
      { numRuns: 2000 },
    )
    expect(error).not.toHaveBeenCalled()
    expect([...seen]).toEqual(expect.arrayContaining([200, 400, 403, 404, 405]))
  })

  test.each([
    'http://h;y',
    'http://h%2Fy',
    'http://h:x',
    'http://h:99999',
    'http://',
    'http://a@h',
    'ftp://h',
    'x:',
    '*',
  ])('a URL that begins with %s has no call, as guards may read it differently', async (before) => {
    const handler = createJobsHandler(newRegistry(), { basePath: '/' })
    const request = { method: 'GET', headers: new Headers(), native: undefined }
    expect(handler.covers(`${before}/_health`)).toBe(false)
    expect((await handler.answer({ ...request, url: `${before}/_health` })).status).toBe(404)
    expect((await handler.answer({ ...request, url: 'http://h:80/_health' })).status).toBe(200)
    const strip = withoutPrefix('/api')
    expect(handler.covers(strip(`${before}/api/_health`))).toBe(false)
    expect(strip('http://h:80/api/_health')).toBe('/_health')
  })

  test('every id that a job may have comes through the path and the query as it is', async () => {
    const registry = newRegistry()
    const handler = describedHandler(registry)
    const anyId = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 100 })
    const id = anyId.filter((id) => id.length <= 512 && !id.includes('\0'))
    const type = id.filter((type) => !type.startsWith('_') && type !== 'ingestion')
    await fc.assert(
      fc.asyncProperty(type, id, async (type, id) => {
        if (!registry.has(type, id)) registry.define({ type, id, run: () => {} })
        const { finished } = await registry.start(type, id)
        await finished
        const asked = await handler.answer(request(`${base}/${encodeURIComponent(type)}/${encodeURIComponent(id)}`))
        expect(bodyOf(asked)).toMatchObject({ _id: id, type, found: true, status: { id } })
        const found = await handler.answer(request(`${base}/_search?${new URLSearchParams({ type, id })}`))
        expect(Object.keys(bodyOf(found).hits.hits[0]._source)).toEqual([type])
      }),
      { numRuns: 300, examples: [['toString', '__proto__']] },
    )
  })
})

test('a registry is what is served', () => {
  expectTypeOf<JobRegistry>().toExtend<ServedRegistry>()
})

function fails(): never {
  throw new Error('the log is full')
}
