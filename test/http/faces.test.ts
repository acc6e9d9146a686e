import { describe, expect, test } from 'vitest'
import { recordEvents } from '../../src/testing/index.js'
import { describedHandler } from './described-handler.js'
import { faces } from './faces.js'
import { base, defineHeld, newRegistry, type Send } from './support.js'

const uuid = '019a0000-0000-7000-8000-000000000000'
const errorOf = (text: string) => JSON.parse(text).error

describe.each(Object.entries(faces))('%s', (face, open) => {
  /** Fastify's router answers by itself what is not percent-encoded UTF-8. */
  const isRouted = (call: string) => !face.startsWith('Fastify') || !/%zz|%ff/.test(call)

  async function served(options?: Parameters<typeof newRegistry>[0]) {
    const registry = newRegistry(options)
    return { registry, send: await open(describedHandler(registry)), events: recordEvents(registry) }
  }

  /** The calls of one job, each answered with its status and its body. */
  function callsOf(send: Send, type: string, id: string) {
    const path = `${base}/${encodeURIComponent(type)}/${encodeURIComponent(id)}`
    const call = async (suffix: string, method: string) => {
      const { status, text } = await send(path + suffix, { method })
      return [status, JSON.parse(text)] as const
    }
    return {
      status: (query = '') => call(query, 'GET'),
      start: (query = '') => call(`/_start${query}`, 'POST'),
      abort: (query = '') => call(`/_abort${query}`, 'POST'),
    }
  }

  test('a job from its definition to its end', async () => {
    const { registry, send, events } = await served()
    const job = defineHeld(registry, 'copy', 'a')
    const calls = callsOf(send, 'copy', 'a')

    expect(await calls.status()).toEqual([200, { _id: 'a', type: 'copy', found: true }])
    expect(await calls.start()).toMatchObject([
      201,
      { _id: 'a', type: 'copy', found: true, status: { is_running: true } },
    ])
    expect(await calls.start()).toEqual([
      409,
      { error: { type: 'already_running', reason: 'Job [copy/a] is already running.' }, status: 409 },
    ])
    expect(await calls.status()).toMatchObject([200, { found: true, status: { state: 'running' } }])
    job.end()
    await events.waitFor('successful')
    expect(await calls.status()).toMatchObject([200, { status: { state: 'successful', is_running: false } }])
    expect(await calls.abort()).toMatchObject([200, { status: { state: 'successful' } }])
  })

  test('a job that nobody knows', async () => {
    const { send } = await served()
    const calls = callsOf(send, 'copy', 'nobody')
    const body = { _id: 'nobody', type: 'copy', found: false }

    expect(await calls.status()).toEqual([404, body])
    expect(await calls.abort()).toEqual([404, body])
    expect(await calls.start()).toEqual([
      404,
      { error: { type: 'not_defined', reason: 'No job [copy/nobody] is defined.' }, status: 404 },
    ])
  })

  test('an abort of a job that is defined and never ran', async () => {
    const { registry, send } = await served()
    defineHeld(registry, 'copy', 'a')
    expect(await callsOf(send, 'copy', 'a').abort()).toEqual([404, { _id: 'a', type: 'copy', found: false }])
  })

  test('an abort waits until the job has stopped', async () => {
    const { registry, send } = await served()
    defineHeld(registry, 'copy', 'a')
    await registry.start('copy', 'a')
    const [status, body] = await callsOf(send, 'copy', 'a').abort('?timeout=1m')
    expect([status, body.status.state, body.status.is_aborting]).toEqual([200, 'aborted', true])
  })

  test.each(['?wait_for_completion=false', '?timeout=0', '?timeout=5ms', '?timeout=1h&wait_for_completion=false'])(
    'an abort with %s of a job that does not stop',
    async (query) => {
      const { registry, send } = await served()
      const job = defineHeld(registry, 'copy', 'a', { isDeaf: true })
      const execution = await registry.start('copy', 'a')
      const [status, body] = await callsOf(send, 'copy', 'a').abort(query)
      expect(status).toBe(202)
      expect(body.status).toMatchObject({
        is_running: true,
        is_aborting: true,
        infos: 'The job is being aborted.',
        state: 'aborting',
      })
      job.end()
      await execution.finished
    },
  )

  test('the jobs of a type that run, oldest first', async () => {
    const { registry, send } = await served()
    for (const id of ['b', 'a']) {
      defineHeld(registry, 'copy', id)
      await registry.start('copy', id)
    }
    defineHeld(registry, 'copy', 'idle')

    const { hits } = JSON.parse((await send(`${base}/copy`)).text)

    expect(hits.total).toBe(2)
    expect(hits.hits.map(Object.keys)).toEqual(Array(2).fill(['_id', 'type', 'found', 'status']))
    expect(hits.hits).toMatchObject([
      { _id: 'b', type: 'copy', found: true, status: { state: 'running' } },
      { _id: 'a' },
    ])
  })

  test('a type with nothing running, and one that nobody knows', async () => {
    const { registry, send } = await served()
    defineHeld(registry, 'copy', 'a')
    const idle = await send(`${base}/copy`)
    expect([idle.status, idle.text]).toEqual([200, '{"hits":{"total":0,"hits":[]}}'])
    const unknown = await send(`${base}/other`)
    expect([unknown.status, unknown.text]).toEqual([
      404,
      '{"error":{"type":"not_defined","reason":"No job of type [other] is defined, and the log has none."},"status":404}',
    ])
  })

  test('a waiting job is shown to whom asks for it, and else the last execution', async () => {
    const { registry, send, events } = await served({ concurrency: 1 })
    const waiting = callsOf(send, 'copy', 'waiting')
    const first = defineHeld(registry, 'copy', 'waiting')
    await registry.start('copy', 'waiting')
    first.end()
    await events.waitFor('successful')
    defineHeld(registry, 'copy', 'running')
    await registry.start('copy', 'running')

    expect(await waiting.start()).toMatchObject([
      201,
      { status: { state: 'queued', is_running: false, infos: 'The job is waiting for a free slot.' } },
    ])
    expect(await waiting.status()).toMatchObject([200, { status: { state: 'successful' } }])
    expect(await waiting.status('?include_queued=true')).toMatchObject([200, { status: { state: 'queued' } }])
    const list = async (query: string) => JSON.parse((await send(`${base}/copy${query}`)).text).hits
    expect(await list('')).toMatchObject({ total: 1, hits: [{ _id: 'running' }] })
    expect(await list('?include_queued=true')).toMatchObject({ total: 2 })
    const search = async (query: string) => JSON.parse((await send(`${base}/_search${query}`)).text).hits
    expect(await search('')).toMatchObject({ total: 1, hits: [{ _source: { copy: { state: 'successful' } } }] })
    expect(await search('?state=queued')).toMatchObject({ total: 1 })
    expect(await search('?state=running')).toMatchObject({ total: 1, hits: [{ _source: { copy: { id: 'running' } } }] })
    expect(await waiting.abort()).toMatchObject([200, { status: { state: 'aborted' } }])
  })

  test('search goes through the log newest first, in pages', async () => {
    const { registry, send } = await served()
    registry.define({ type: 'copy', id: 'a', run: () => {} })
    const ids: string[] = []
    for (let run = 0; run < 12; run++) {
      const execution = await registry.start('copy', 'a')
      await execution.finished
      ids.unshift(execution.executionId)
    }
    const search = async (query: string) => {
      const { total, hits } = JSON.parse((await send(`${base}/_search?${query}`)).text).hits
      expect(total).toBe(12)
      return hits.map(({ _id }: { _id: string }) => _id)
    }

    expect(await search('')).toEqual(ids.slice(0, 10))
    expect(await search('size=5&from=3')).toEqual(ids.slice(3, 8))
    expect(await search(`size=5&search_after=${ids[7]}`)).toEqual(ids.slice(8))
    expect(await search('size=0')).toEqual([])
    expect(await search('size=1000&type=copy&id=a&state=successful&start_time_from=0')).toEqual(ids)
  })

  const allowed =
    '`type`, `id`, `state`, `start_time_from`, `start_time_to`, `from`, `size`, `search_after`, `detail`, `pretty`'
  const states = '`queued`, `running`, `aborting`, `aborted`, `error`, `successful`'
  const text = 'a string of 1 to 512 well-formed characters without NUL'
  const time = '0, or a whole number with a unit, one of `ms`, `s`, `m`, `h`, `d`, up to 24 days, such as `30s`'
  const entry = 'the `_id` of an entry of the log'
  const filters =
    'This list has no filters. `_search` finds executions by `type`, `id`, `state`, `start_time_from` and `start_time_to`'
  const refused = [
    ['/_search?sort=x', `Expected the name of a query parameter to be one of ${allowed}, got \`sort\``],
    [
      '/_search?siz=1',
      `Expected the name of a query parameter to be one of ${allowed}, got \`siz\`. Did you mean \`size\`?`,
    ],
    ['/_search?size=1&size=2', 'Expected `size` to be given once, as a whole number from 0 to 1000, got an array'],
    ['/_search?size=1001', 'Expected `size` to be a whole number from 0 to 1000, got `1001` (string)'],
    ['/_search?from=-1', 'Expected `from` to be a whole number from 0 up, got `-1` (string)'],
    ['/_search?from=', 'Expected `from` to be a whole number from 0 up, got `` (string)'],
    [
      '/_search?start_time_from=1e3',
      'Expected `start_time_from` to be a time, as a whole number of milliseconds since 1970, got `1e3` (string)',
    ],
    [
      '/_search?start_time_to=noon',
      'Expected `start_time_to` to be a time, as a whole number of milliseconds since 1970, got `noon` (string)',
    ],
    [
      '/_search?from=9007199254740993',
      'Expected `from` to be a whole number from 0 up, got `9007199254740993` (string)',
    ],
    ['/_search?state=done', `Expected \`state\` to be one of ${states}, got \`done\` (string)`],
    ['/_search?id=', `Expected \`id\` to be ${text}, got \`\` (string)`],
    ['/_search?id=%00', `Expected \`id\` to be ${text}, got \`\\u0000\` (string)`],
    ['/_search?type=', `Expected \`type\` to be ${text}, not beginning with "_", got \`\` (string)`],
    ['/_search?search_after=x', `Expected \`search_after\` to be ${entry}, got \`x\` (string)`],
    [`/_search?search_after=${uuid}`, `Expected \`search_after\` to be ${entry}, got \`${uuid}\` (string)`],
    ['/_search?pretty=1', 'Expected `pretty` to be true, false or nothing, got `1` (string)'],
    [
      '/copy?size=1',
      `Expected the name of a query parameter to be one of \`include_queued\`, \`detail\`, \`pretty\`, got \`size\`. ${filters}`,
    ],
    ['/copy/a?include_queued=yes', 'Expected `include_queued` to be true or false, got `yes` (string)'],
    ['/copy/a?include_queued=toString', 'Expected `include_queued` to be true or false, got `toString` (string)'],
    [
      '/copy/a?__proto__=1',
      'Expected the name of a query parameter to be one of `include_queued`, `detail`, `pretty`, got `__proto__`',
    ],
    ['/copy/', `Expected \`id\` to be ${text}, got \`\` (string)`],
    ['/copy/%00', `Expected \`id\` to be ${text}, got \`\\u0000\` (string)`],
    ['//', `Expected \`type\` to be ${text}, not beginning with "_", got \`\` (string)`],
    [
      '/?type=copy',
      `Expected the name of a query parameter to be one of \`detail\`, \`pretty\`, got \`type\`. ${filters}`,
    ],
    [
      '/?state=error',
      `Expected the name of a query parameter to be one of \`detail\`, \`pretty\`, got \`state\`. ${filters}`,
    ],
    [
      'POST /_pause?reason=',
      'Expected `reason` to be a string of 1 to 1000 well-formed characters without NUL, got `` (string)',
    ],
    ['/copy/%zz', 'Expected `path` to be percent-encoded UTF-8, got `%zz` (string)'],
    ['/copy/%ff', 'Expected `path` to be percent-encoded UTF-8, got `%ff` (string)'],
    ['POST /copy//_abort', `Expected \`id\` to be ${text}, got \`\` (string)`],
    ['POST /copy/a/_abort?timeout=5', `Expected \`timeout\` to be ${time}, got \`5\` (string)`],
    ['POST /copy/a/_abort?timeout=1.5s', `Expected \`timeout\` to be ${time}, got \`1.5s\` (string)`],
    ['POST /copy/a/_abort?timeout=-1s', `Expected \`timeout\` to be ${time}, got \`-1s\` (string)`],
    ['POST /copy/a/_abort?timeout=25d', `Expected \`timeout\` to be ${time}, got \`25d\` (string)`],
    ['POST /copy/a/_abort?timeout=', `Expected \`timeout\` to be ${time}, got \`\` (string)`],
    ['POST /copy/a/_abort?wait_for_completion=', 'Expected `wait_for_completion` to be true or false, got `` (string)'],
    [
      'POST /copy/a/_start?timeout=5s',
      'Expected the name of a query parameter to be one of `force`, `full_refresh`, `detail`, `pretty`, got `timeout`',
    ],
  ] as const
  test.each(refused.filter(([call]) => isRouted(call)))('400 for %s', async (call, reason) => {
    const { send } = await served()
    const [path = '', method = 'GET'] = call.split(' ').reverse()
    const { status, text } = await send(base + path, { method })
    expect([status, JSON.parse(text)]).toEqual([400, { error: { type: 'invalid_request', reason }, status: 400 }])
  })

  test.each([
    '/copy/a/',
    '/copy/a/_stop',
    '/copy/a/_abort/',
    '/_search/',
    '/_other',
    '/_other/a',
    '/%5Fsearch/a',
    '/%5fsearch',
    '/_%73earch',
    '/copy/a/_%73tart',
    '/copy/a/%5Fstart',
    '/copy/a%2F_start/',
    '/copy//a/_start',
  ])('404 for the path %s', async (path) => {
    const { send } = await served()
    const { status, text } = await send(base + path)
    const paths = [
      ...['/', '/_search', '/_events', '/_health', '/_openapi', '/_pause', '/_unpause'],
      ...['/{type}', '/{type}/{id}', '/{type}/{id}/_abort', '/{type}/{id}/_start'],
      ...['/{type}/{id}/_pause', '/{type}/{id}/_unpause', '/{type}/{id}/_reset'],
    ]
    const reason = `Expected \`path\` to be one of ${paths.map((known) => `\`${base}${known}\``).join(', ')}, got`
    expect([status, errorOf(text).type]).toEqual([404, 'not_found'])
    expect(errorOf(text).reason).toBe(`${reason} \`${base}${path}\` (string)`)
  })

  test.each([
    ['POST', '/_search', 'GET, HEAD'],
    ['DELETE', '/copy', 'GET, HEAD'],
    ['PUT', '/copy/a', 'GET, HEAD'],
    ['GET', '/copy/a/_abort', 'POST'],
    ['HEAD', '/copy/a/_start', 'POST'],
  ])('405 for %s %s', async (method, path, allow) => {
    const { send } = await served()
    const { status, headers, text } = await send(base + path, { method })
    expect([status, headers.get('allow')]).toEqual([405, allow])
    if (method !== 'HEAD') expect(errorOf(text).type).toBe('method_not_allowed')
  })

  test.each(['/_search', '/copy', '/copy/a', '/copy/nobody', '/copy?bad=1', '/_other'])('HEAD %s', async (path) => {
    const { registry, send } = await served()
    defineHeld(registry, 'copy', 'a')
    const get = await send(base + path)
    const head = await send(base + path, { method: 'HEAD' })
    expect(head.text).toBe('')
    expect(head.status).toBe(get.status)
    for (const name of ['content-type', 'content-length', 'cache-control']) {
      expect(head.headers.get(name)).toBe(get.headers.get(name))
    }
  })

  test('the headers of an answer', async () => {
    const { registry, send } = await served()
    defineHeld(registry, 'copy', 'ä')
    const { headers, text } = await send(`${base}/copy/%C3%A4`)
    expect(headers.get('content-type')).toBe('application/json; charset=utf-8')
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('content-length')).toBe(String(Buffer.byteLength(text)))
  })

  const calls = [
    ['GET', '/copy/a'],
    ['GET', '/copy'],
    ['GET', '/_search'],
    ['POST', '/copy/a/_start'],
    ['POST', '/copy/a/_abort'],
    ['GET', '/_other'],
    ['GET', '/copy/%zz'],
  ] as const
  test.each(calls.filter(([, path]) => isRouted(path)))('?pretty indents %s %s', async (method, path) => {
    const { registry, send } = await served()
    registry.define({ type: 'copy', id: 'a', run: () => {} })
    for (const [query, indent] of [
      ['pretty', 2],
      ['pretty=true', 2],
      ['pretty=false', 0],
    ] as const) {
      const { text } = await send(`${base}${path}?${query}`, { method })
      expect(text).toBe(JSON.stringify(JSON.parse(text), undefined, indent))
    }
  })

  test.each(['/', 'a/b', '%', '%2F', ' ', '+', '?x=1&y#z', 'ä€😀', '_abort', '_search', '"\\\n', '...', '`'])(
    'the id %j',
    async (id) => {
      const { registry, send } = await served()
      registry.define({ type: id === '_abort' || id === '_search' ? 'copy' : id, id, run: () => {} })
      const type = id.startsWith('_') ? 'copy' : id
      const calls = callsOf(send, type, id)
      expect(await calls.start()).toMatchObject([201, { _id: id, type, status: { id } }])
      expect(await calls.status()).toMatchObject([200, { _id: id, type, found: true, status: { id } }])
      const { text } = await send(`${base}/_search?${new URLSearchParams({ type, id })}`)
      expect(JSON.parse(text).hits.hits[0]._source[type].id).toBe(id)
    },
  )

  test('calls that take no body refuse one', async () => {
    const { registry, send } = await served()
    registry.define({ type: 'copy', id: 'a', run: () => {} })
    const headers = { 'content-type': 'application/json' }
    const body = JSON.stringify({ timeout: 5, filler: 'x'.repeat(50_000) })
    const { status } = await send(`${base}/copy/a/_pause`, { method: 'POST', headers, body })
    expect(status).toBe(400)
  })
})
