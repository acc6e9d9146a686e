import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { type Clock, JobRegistry, memoryStorage } from 'headgate'
import { systemClock } from 'headgate/adapter'
import { JobsClient, type JobsClientOptions } from 'headgate/client'
import type { JobsHandlerOptions } from 'headgate/http'
import { toNodeHandler } from 'headgate/http/node'
import { fakeClock } from 'headgate/testing'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { parseJson } from '../../src/client/parse-json.js'
import { messagesOf } from '../../src/client/sse-parser.js'
import { search } from '../../src/http/api/routes/search.js'
import { toWireName } from '../../src/wire/bodies.js'
import { describedHandler } from '../http/described-handler.js'
import { base, defineHeld, listen } from '../http/support.js'
import { longestBlockDuring } from '../support/event-loop.js'
import { smallestOf } from '../support/smallest-of.js'
import { root } from '../support/source.js'

/** A clock on which waits are short. */
const hasty: Clock = {
  now: systemClock.now,
  setTimer: (delay, callback, options) => systemClock.setTimer(delay / 100, callback, options),
}

/** A server that can go away and come back, at one address. */
async function serve(options: JobsHandlerOptions = {}) {
  const registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 0 })
  onTestFinished(() => registry.close({ timeout: 0 }))
  const handler = describedHandler(registry, options)
  const { server, port, stop, start } = await restartable(toNodeHandler(handler))
  const client = (more: Partial<JobsClientOptions> = {}) =>
    new JobsClient({ url: `http://127.0.0.1:${port}${base}`, clock: hasty, ...more })
  return { registry, handler, server, port, stop, start, client }
}

async function restartable(listener: RequestListener) {
  let server: Server
  const start = async (port = 0) => {
    server = createServer(listener).listen(port, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }
  const stop = async () => {
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }
  const port = await start()
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  return { server: () => server, port, stop, start: () => start(port) }
}

/** What a client hears, in words, in a list that grows. */
function listenTo(client: JobsClient, filter: Parameters<JobsClient['events']>[0] = {}) {
  const over = new AbortController()
  onTestFinished(() => over.abort())
  const heard: string[] = []
  const run = async () => {
    for await (const { id, status } of client.events({ signal: over.signal, ...filter }))
      heard.push(`${id} ${status.state}`)
  }
  const failed = run().then(
    () => undefined,
    (error: unknown) => error,
  )
  return { heard, failed, leave: () => over.abort() }
}

async function runJob(registry: JobRegistry, id: string) {
  if (!registry.has('copy', id)) registry.define({ type: 'copy', id, run: () => {} })
  await (await registry.start('copy', id)).finished
}

/** A status of a job `a` as the wire has it. */
function statusBody(fields: object = {}): object {
  return { version: 1, id: 'a', is_running: true, start_time: 1, infos: '', state: 'running', count: 1, ...fields }
}

function jobBody(status: object, fields: object = {}): string {
  return JSON.stringify({ _id: 'a', type: 'copy', found: true, status: statusBody(status), ...fields })
}

describe('events', () => {
  test('of a server that was away miss no end, and tell none twice', async () => {
    const { registry, client, stop, start } = await serve()
    const long = defineHeld(registry, 'copy', 'long')
    await registry.start('copy', 'long')
    const { heard } = listenTo(client())
    await vi.waitFor(() => expect(heard).toEqual(['long running']))
    await runJob(registry, 'before')
    await vi.waitFor(() => expect(heard).toContain('before successful'))
    await stop()
    await runJob(registry, 'away')
    await runJob(registry, 'away')
    long.end()
    await start()
    await vi.waitFor(() => expect(heard).toContain('long successful'), 5000)
    await runJob(registry, 'after')
    await vi.waitFor(() => expect(heard).toContain('after successful'))
    const ends = heard.filter((text) => text.endsWith('successful'))
    expect(ends.sort()).toEqual(['after', 'away', 'away', 'before', 'long'].map((id) => `${id} successful`))
  })

  test('of a server that comes and goes miss no end', async () => {
    const { registry, client, stop, start } = await serve()
    const { heard } = listenTo(client())
    await vi.waitFor(async () => {
      await runJob(registry, 'first')
      expect(heard).toContain('first successful')
    })
    for (let round = 0; round < 10; round++) {
      await runJob(registry, `a${round}`)
      await stop()
      await runJob(registry, `b${round}`)
      await start()
    }
    const missed = () =>
      [...Array(10).keys()]
        .flatMap((n) => [`a${n} successful`, `b${n} successful`])
        .filter((text) => !heard.includes(text))
    await vi.waitFor(() => expect(missed()).toEqual([]), 5000)
    expect(new Set(heard).size).toBeGreaterThan(20)
  }, 30_000)

  test('leave the server as they found it', async () => {
    const clock = fakeClock()
    const { client, registry } = await serve({ clock })
    defineHeld(registry, 'copy', 'a')
    await registry.start('copy', 'a')
    for await (const { status } of client().events()) {
      expect(status.state).toBe('running')
      expect(clock.pending).toBe(1)
      break
    }
    await vi.waitFor(() => expect(clock.pending).toBe(0))
    const { heard, leave, failed } = listenTo(client())
    await vi.waitFor(() => expect(heard).toHaveLength(1))
    leave()
    expect(await failed).toMatchObject({ name: 'AbortError' })
    await vi.waitFor(() => expect(clock.pending).toBe(0))
  })

  test('are sorted by type, id and state', async () => {
    const { registry, client } = await serve()
    const all = listenTo(client())
    const some = listenTo(client(), { type: 'copy', id: 'a', state: 'successful' })
    await vi.waitFor(async () => {
      await runJob(registry, 'a')
      await runJob(registry, 'b')
      expect(all.heard).toContain('b successful')
      expect(some.heard).toContain('a successful')
    })
    expect(new Set(some.heard)).toEqual(new Set(['a successful']))
  })

  test.each([
    ['ECONNREFUSED', 'http://127.0.0.1:1/jobs', 'server'],
    ['another path', undefined, 'server'],
  ])('throw what the first connection met: %s', async (_, url, code) => {
    const { port, client } = await serve()
    const { failed } = listenTo(client({ url: url ?? `http://127.0.0.1:${port}/other` }))
    expect(await failed).toMatchObject({ name: 'JobError', code })
  })

  test('throw a refusal, also later', async () => {
    const authorize = vi.fn().mockReturnValue(true)
    const { handler, client } = await serve({ authorize })
    const { failed } = listenTo(client())
    await vi.waitFor(() => expect(authorize).toHaveBeenCalled())
    authorize.mockReturnValue({ status: 401, reason: 'Send the token.' })
    await vi.waitFor(async () => {
      handler.endStreams()
      expect(await Promise.race([failed, undefined])).toMatchObject({
        code: 'unauthorized',
        message: 'Send the token.',
      })
    })
  })

  test('come over a connection that is silent for a minute by another one', async () => {
    let connections = 0
    const { port } = await restartable((_, response) => {
      connections++
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write('id: 00000000-0000\n\n')
    })
    listenTo(new JobsClient({ url: `http://127.0.0.1:${port}`, clock: hasty }))
    await vi.waitFor(() => expect(connections).toBeGreaterThan(1), 5000)
  })

  test.each(['data: {}\n\n', 'data: no\n\n'])('that are none are an error: %j', async (text) => {
    const { port } = await listen(
      (_: IncomingMessage, response: ServerResponse) => void response.end(`id: 00000000-0000\n\n${text}`),
    )
    const { failed } = listenTo(new JobsClient({ url: `http://127.0.0.1:${port}`, clock: hasty }))
    expect(await failed).toMatchObject({ code: 'server', message: 'The server sent an invalid event.' })
  })

  test('hold any text, as only CR and LF end a line', async () => {
    const { registry, client } = await serve()
    const text = 'one\u2028two\u2029three\u0085four\u000bfive\u000csix\r\nseven'
    registry.define({ type: 'copy', id: 'bad', run: () => Promise.reject(new Error(text)) })
    registry.define({ type: 'copy', id: 'last', run: ({ progress }) => progress({ count: 1, lastId: text }) })
    const { heard } = listenTo(client())
    for (const id of ['bad', 'last']) {
      const ended = client().waitFor('copy', id)
      await (await registry.start('copy', id)).finished
      const status = await ended
      const escaped = 'one\u2028two\u2029three\\u0085four\\u000bfive\\u000csix\r\nseven'
      expect(status).toMatchObject(status.state === 'error' ? { error: [escaped] } : { lastId: text })
    }
    await vi.waitFor(() => expect(heard).toContain('last successful'))
  })

  test.each(['\n', '\r\n', '\r'])('come with lines that end with %j, whole and cut', async (end) => {
    const entry = { _id: 'a\u2028bx', _source: { copy: statusBody({ id: 'a\u2028b' }) } }
    const [start, rest] = JSON.stringify(entry).split(':{', 2) as [string, string]
    const json = JSON.stringify(entry).slice(start.length)
    expect(rest).toBeDefined()
    const lines = [
      ':',
      'id: 00000000-0000',
      '',
      'event: tomorrow',
      'data: no',
      '',
      'retry: 5',
      `data:${start}`,
      `data: ${json}`,
      '',
      '',
    ]
    const bytes = new TextEncoder().encode(`\ufeff${lines.join(end)}`)
    for (const size of [1, 7, bytes.length]) {
      const fetch = async () =>
        new Response(
          new ReadableStream({
            start(controller) {
              for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size))
            },
          }),
        )
      const { heard } = listenTo(new JobsClient({ url: 'http://localhost', fetch }))
      await vi.waitFor(() => expect(heard).toEqual(['a\u2028b running']))
    }
  })

  test.each([
    ['a line', 'x'],
    ['an event', 'data: x\n'],
  ])('%s without an end is an error', async (_, text) => {
    const chunk = new TextEncoder().encode(text.repeat(100_000 / text.length))
    const fetch = async () => new Response(new ReadableStream({ pull: (controller) => controller.enqueue(chunk) }))
    const { failed } = listenTo(new JobsClient({ url: 'http://localhost', fetch }))
    expect(await failed).toMatchObject({ code: 'server', message: 'The server sent an event that is too long.' })
  })

  test('that are none, but a page without an end, are an error at once', async () => {
    const cancel = vi.fn()
    const body = new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(9)), cancel })
    const fetch = async () => new Response(body, { headers: { 'content-type': 'text/html' } })
    const { failed } = listenTo(new JobsClient({ url: 'http://localhost', fetch }))
    expect(await failed).toMatchObject({ code: 'server', isTransient: false })
    expect(cancel).toHaveBeenCalled()
  })

  test.each(['\n', '\r', '\r\n'])('gives no messages for empty lines of %j', async (end) => {
    const bytes = new TextEncoder().encode(`${end.repeat(1000)}data: x${end}${end}:${end}${end}`)
    const pieces = [bytes, undefined]
    const given = []
    for await (const message of messagesOf(async () => pieces.shift())) given.push(message)
    expect(given).toEqual([{ data: 'x' }, {}])
  })

  test.each([
    [200, 'text/html', '<html>login</html>'],
    [200, 'application/json', '{"ok":true}'],
    [204, 'text/html', ''],
  ])('that are none, but %i %s, are an error at once', async (status, type, body) => {
    let calls = 0
    const { port } = await listen(((_: IncomingMessage, response: ServerResponse) => {
      calls++
      response.writeHead(status, { 'content-type': type }).end(body)
    }) as never)
    const { failed } = listenTo(new JobsClient({ url: `http://127.0.0.1:${port}`, clock: hasty }))
    expect(await failed).toMatchObject({ code: 'server', isTransient: false })
    expect(calls).toBe(1)
  })

  test('that end before they begin are an error', async () => {
    const { failed } = listenTo(
      new JobsClient({ url: 'http://localhost', fetch: async () => new Response(new Blob(['<html>'])) }),
    )
    expect(await failed).toMatchObject({ code: 'server', isTransient: true })
  })

  test('whose log is older than the reader was told come with a gap, and waitFor copes', async () => {
    const registry = new JobRegistry({ storage: memoryStorage({ maxCount: 3 }), progressInterval: 0 })
    onTestFinished(() => registry.close({ timeout: 0 }))
    await runJob(registry, 'before')
    const held = defineHeld(registry, 'copy', 'held')
    await registry.start('copy', 'held')
    const { port, stop, start } = await restartable(toNodeHandler(describedHandler(registry)))
    const client = new JobsClient({ url: `http://127.0.0.1:${port}${base}`, clock: hasty })
    const onGap = vi.fn()
    const { heard } = listenTo(client, { onGap })
    const ended = client.waitFor('copy', 'held')
    await vi.waitFor(() => expect(heard).toContain('held running'))
    await new Promise((resolve) => setTimeout(resolve, 100))
    await stop()
    held.end()
    for (let n = 0; n < 5; n++) await runJob(registry, 'other')
    await start()
    expect(await ended).toMatchObject({ id: 'held', state: 'successful' })
    await vi.waitFor(() => expect(onGap).toHaveBeenCalled())
  })

  test.each([['a\u2028b'], ['a\0b'], ['\u{1f600}'], ['i'.repeat(1e5)]])(
    'with an id that no header holds are told, and blame the server',
    async (id) => {
      const entry = { _id: 'ax', _source: { copy: statusBody() } }
      const { port } = await listen((_: IncomingMessage, response: ServerResponse) => {
        response.end(`id: ${id}\n\ndata: ${JSON.stringify(entry)}\n\n`)
      })
      const { heard, failed } = listenTo(new JobsClient({ url: `http://127.0.0.1:${port}` }))
      expect(await failed).toMatchObject({ code: 'server', isTransient: true })
      expect(heard).toEqual(['a running'])
    },
  )

  test('come whole, however they are cut', async () => {
    const entry = { _id: 'äx', _source: { copy: statusBody({ id: 'ä' }) } }
    const bytes = Buffer.from(`:\nid: 00000000-0000\n\n:\n\ndata: ${JSON.stringify(entry)}\n\n`)
    const { port } = await listen(async (_: IncomingMessage, response: ServerResponse) => {
      for (const byte of bytes) {
        response.write(Buffer.of(byte))
        await new Promise(setImmediate)
      }
    })
    const { heard } = listenTo(new JobsClient({ url: `http://127.0.0.1:${port}` }))
    await vi.waitFor(() => expect(heard).toEqual(['ä running']))
  })
})

describe('a flood of empty lines', () => {
  test('lets others have their turn', async () => {
    const flood = new Uint8Array(32 * 1024 * 1024).fill(10)
    const body = () =>
      new ReadableStream({
        pull: (controller) => controller.enqueue(flood),
      })
    const fetch = async () => new Response(body(), { headers: { 'content-type': 'text/event-stream' } })
    const controller = new AbortController()
    const ended = new JobsClient({ url: 'http://x', fetch }).events({ signal: controller.signal }).next()
    ended.catch(() => {})
    const longest = await smallestOf(200, () =>
      longestBlockDuring(() => new Promise((resolve) => setTimeout(resolve, 500))),
    )
    controller.abort(new Error('Enough.'))
    await expect(ended).rejects.toThrow('Enough.')
    expect(longest).toBeLessThan(200)
  })
})

describe('waitFor', () => {
  test('survives a server that is away as the job ends', async () => {
    const { registry, client, stop, start } = await serve()
    await runJob(registry, 'a')
    const job = defineHeld(registry, 'copy', 'held')
    await registry.start('copy', 'held')
    const ended = client().waitFor('copy', 'held')
    await job.running
    await vi.waitFor(async () => expect(await client().has('copy', 'held')).toBe(true))
    await new Promise((resolve) => setTimeout(resolve, 50))
    await stop()
    job.end(new Error('no'))
    await vi.waitFor(async () => expect((await registry.running('copy')).length).toBe(0))
    await start()
    expect(await ended).toMatchObject({ id: 'held', state: 'error', error: ['no'] })
  })

  test('gives the last end of a job that does not run', async () => {
    const { registry, client } = await serve()
    await runJob(registry, 'a')
    expect(await client().waitFor('copy', 'a')).toMatchObject({ state: 'successful' })
  })

  test('waits for the first run of a job', async () => {
    const { registry, client } = await serve()
    registry.define({ type: 'copy', id: 'a', run: () => {} })
    const ended = client().waitFor('copy', 'a')
    await registry.start('copy', 'a')
    expect(await ended).toMatchObject({ state: 'successful' })
  })

  test('refuses a job that nobody knows', async () => {
    const { client } = await serve()
    await expect(client().waitFor('copy', 'nobody')).rejects.toMatchObject({ code: 'not_defined' })
  })

  test('is given up by its signal', async () => {
    const { registry, client } = await serve()
    defineHeld(registry, 'copy', 'a')
    await registry.start('copy', 'a')
    const over = new AbortController()
    const ended = client().waitFor('copy', 'a', { signal: over.signal })
    over.abort(new Error('enough'))
    await expect(ended).rejects.toThrowError('enough')
  })
})

describe('calls', () => {
  test('are given up by a signal', async () => {
    const { registry, client } = await serve()
    defineHeld(registry, 'copy', 'deaf', { isDeaf: true })
    await registry.start('copy', 'deaf')
    const over = new AbortController()
    const aborted = client().abort('copy', 'deaf', { signal: over.signal })
    await vi.waitFor(async () => expect(await registry.status('copy', 'deaf')).toMatchObject({ state: 'aborting' }))
    over.abort(new Error('enough'))
    await expect(aborted).rejects.toThrowError('enough')
    const { signal } = over
    for (const call of [
      () => client().has('copy', 'a', { signal }),
      () => client().start('copy', 'a', { signal }),
      () => client().status('copy', 'a', { signal }),
      () => client().running('copy', { signal }),
      () => client().search({ signal }),
      () => client().events({ signal }).next(),
    ]) {
      await expect(call()).rejects.toThrowError('enough')
    }
  })

  test('send headers, also those that change', async () => {
    let token = 'a'
    const authorize: JobsHandlerOptions['authorize'] = ({ headers }) =>
      headers.get('authorization') === `Bearer ${token}` || { status: 401 }
    const { registry, client } = await serve({ authorize })
    registry.define({ type: 'copy', id: 'a', run: () => {} })
    const fixed = client({ headers: { authorization: 'Bearer a' } })
    const changing = client({ headers: async () => ({ authorization: `Bearer ${token}` }) })
    expect([await fixed.has('copy', 'a'), await changing.has('copy', 'a')]).toEqual([true, true])
    token = 'b'
    expect(await changing.has('copy', 'a')).toBe(true)
    await expect(fixed.has('copy', 'a')).rejects.toMatchObject({ code: 'unauthorized' })
  })

  test('of a caller who may see one job work for that job', async () => {
    const authorize: JobsHandlerOptions['authorize'] = (_, __, { type, id }) => type === 'copy' && id === 'a'
    const { registry, client } = await serve({ authorize })
    for (const id of ['a', 'b']) registry.define({ type: 'copy', id, run: () => {} })
    const jobs = client()
    const heard = jobs.events({ type: 'copy', id: 'a' })
    const first = heard.next()
    await jobs.start('copy', 'a')
    expect((await first).value?.id).toBe('a')
    await heard.return(undefined)
    expect((await jobs.waitFor('copy', 'a')).state).toBe('successful')
    expect((await jobs.search({ type: 'copy', id: 'a' })).total).toBe(1)
    for (const call of [
      () => jobs.waitFor('copy', 'b'),
      () => jobs.events({ type: 'copy' }).next(),
      () => jobs.events({ id: 'a' }).next(),
      () => jobs.search(),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'forbidden' })
    }
  })

  test.each([
    [403, '{"error":{"type":"forbidden","reason":"No."},"status":403}', 'forbidden', 'No.', false],
    [503, '{"error":{"type":"storage","reason":"Away."},"status":503}', 'storage', 'Away.', true],
    [
      503,
      '{"error":{"type":"storage","reason":"\\u001b[2JAway\\u0007."},"status":503}',
      'storage',
      String.raw`\u001b[2JAway\u0007.`,
      true,
    ],
    [500, '{"error":{"type":"internal","reason":"Hm."},"status":500}', 'server', 'Hm.', true],
    [502, '<html>', 'server', 'The answer is not one of the jobs API: HTTP status 502.', true],
    [200, '<html>', 'server', 'The answer is not one of the jobs API: HTTP status 200.', false],
    [
      404,
      'null',
      'server',
      'The answer is not one of the jobs API: HTTP status 404. `url` is that of the API, with its base path, such as `https://host/_siren/connector/jobs`.',
      false,
    ],
  ])('answered with %i %s throw %s', async (status, body, code, message, isTransient) => {
    const { port } = await listen(
      (_: IncomingMessage, response: ServerResponse) => void response.writeHead(status).end(body),
    )
    const client = new JobsClient({ url: `http://127.0.0.1:${port}` })
    await expect(client.status('copy', 'a')).rejects.toMatchObject({ name: 'JobError', code, message, isTransient })
  })

  test('cut off in the middle throw', async () => {
    const { port } = await listen((_: IncomingMessage, response: ServerResponse) => {
      response.writeHead(200, { 'content-length': '100' }).write('{"_id"')
      setImmediate(() => response.destroy())
    })
    const client = new JobsClient({ url: `http://127.0.0.1:${port}` })
    await expect(client.status('copy', 'a')).rejects.toMatchObject({ code: 'server', isTransient: true })
  })

  const successful = { state: 'successful', is_running: false, end_time: 1 }

  const odd = [
    [200, 'null'],
    [200, '{}'],
    [200, '[]'],
    [200, '"ok"'],
    [200, ''],
    [204, ''],
    [200, '<html>login</html>'],
    [200, '{"hits":{"total":1,"hits":[{}]}}'],
    [200, '{"hits":{"total":1,"hits":[null]}}'],
    [200, '{"hits":{"total":"1","hits":[]}}'],
    [200, '{"_id":"a","type":"copy","found":true,"status":{}}'],
    [200, jobBody({ state: 'odd' })],
    [200, jobBody({ version: 2 })],
    [200, jobBody({ version: undefined })],
    [200, jobBody({ count: -1 })],
    [200, jobBody({ count: 0.5 })],
    [200, jobBody({ count: '1' })],
    [200, jobBody({ start_time: -1 })],
    [200, jobBody({ id: 'b' })],
    [200, jobBody({}, { _id: 'b' })],
    [200, jobBody({ id: 'b' }, { _id: 'b' })],
    [200, jobBody({}, { type: 'other' })],
    [200, '{"hits":{"total":-1,"hits":[]}}'],
    [404, '{"_id":"b","type":"copy","found":false}'],
    ...[
      { state: 'error' },
      { state: 'error', error: 'no' },
      { state: 'error', error: ['no', null] },
      { end_time: undefined },
      { end_time: 1e16 },
      { end_time: 0.5 },
      { start_time: undefined },
      { start_time: 1e16 },
      { infos: undefined },
      { infos: [] },
      { last_id: 1 },
      { last_id: null },
      { is_running: true },
      { is_running: undefined },
      { is_aborting: true },
      { is_aborting: false },
      { error: [] },
      { state: 'aborted' },
    ].map((fields) => [200, jobBody({ ...successful, ...fields })] as const),
    [200, jobBody({ end_time: 1 })],
    [200, jobBody({ is_running: false })],
    [200, jobBody({ state: 'queued' })],
    [200, jobBody({ state: 'aborting' })],
    [200, jobBody({}, { found: false })],
    [200, '{"error":{"type":"not_defined","reason":"No."},"status":404}'],
    [404, '{"found":"x"}'],
    [404, '{"_id":"a","type":"copy","found":true}'],
    [500, '{"found":1}'],
    [500, '{"_id":"a","type":"copy","found":false}'],
    [502, '<html>502</html>'],
  ] as const
  test.each(odd)('answered with %i %s are refused, each by its schema', async (status, body) => {
    const type = { 'content-type': 'application/json' }
    const answer: RequestListener = (_, response) => void response.writeHead(status, type).end(body)
    const { port } = await listen(answer as never)
    const client = new JobsClient({ url: `http://127.0.0.1:${port}` })
    for (const call of [
      () => client.has('copy', 'a'),
      () => client.status('copy', 'a'),
      () => client.start('copy', 'a'),
      () => client.abort('copy', 'a'),
      () => client.running('copy'),
      () => client.search(),
      () => client.waitFor('copy', 'a'),
    ]) {
      await expect(call()).rejects.toMatchObject({ name: 'JobError', code: 'server', isTransient: status >= 500 })
    }
  })

  test('that are of other jobs than was asked for are refused', async () => {
    const entry = (type: string, id: string) => ({ _id: `${id}x`, _source: { [type]: statusBody({ id }) } })
    const hits = [{ _id: 'a', type: 'other', found: true, status: statusBody() }]
    const told = `id: 00000000-0000\n\ndata: ${JSON.stringify(entry('other', 'b'))}\n\n`
    const { port } = await listen(((request: IncomingMessage, response: ServerResponse) => {
      if (request.url?.includes('_events')) response.writeHead(200, { 'content-type': 'text/event-stream' }).write(told)
      else if (request.url?.includes('_search'))
        response.end(JSON.stringify({ hits: { total: 1, hits: [entry('other', 'b')] } }))
      else response.end(JSON.stringify({ hits: { total: 1, hits } }))
    }) as never)
    const client = new JobsClient({ url: `http://127.0.0.1:${port}` })
    await expect(client.running('copy')).rejects.toMatchObject({ code: 'server' })
    expect(await client.running('other')).toHaveLength(1)
    await expect(client.search({ type: 'copy' })).rejects.toMatchObject({ code: 'server' })
    await expect(client.search({ id: 'a' })).rejects.toMatchObject({ code: 'server' })
    expect(await client.search({ type: 'other', id: 'b' })).toMatchObject({ total: 1 })
    await expect(client.search({ state: 'error' })).rejects.toMatchObject({ code: 'server' })
    await expect(client.events({ id: 'a' }).next()).rejects.toMatchObject({ code: 'server' })
    await expect(client.events({ state: 'error' }).next()).rejects.toMatchObject({ code: 'server' })
    expect((await client.events({ id: 'b' }).next()).value).toMatchObject({ type: 'other', id: 'b' })
  })

  test('that are longer pages than were asked for are refused', async () => {
    const entry = { _id: 'ax', _source: { copy: statusBody(successful) } }
    const { port } = await listen((_: IncomingMessage, response: ServerResponse) => {
      response.end(JSON.stringify({ hits: { total: 50, hits: Array(11).fill(entry) } }))
    })
    const client = new JobsClient({ url: `http://127.0.0.1:${port}` })
    expect((await client.search({ size: 11 })).hits).toHaveLength(11)
    for (const filter of [{}, { size: 10 }, { size: 0 }])
      await expect(client.search(filter)).rejects.toMatchObject({ code: 'server' })
  })

  const million = 1_000_000
  test.each<[string, string]>([
    ['nested arrays', '['.repeat(million) + ']'.repeat(million)],
    ['arrays that do not end', '['.repeat(2 * million)],
    ['nested objects', `${'{"a":'.repeat(million / 3)}1${'}'.repeat(million / 3)}`],
    ['arrays side by side', `[${'[],'.repeat(million / 1.5)}1]`],
    ['arrays in an entry', `{"hits":{"total":1,"hits":[${'['.repeat(million)}${']'.repeat(million)}]}}`],
    ['arrays behind escaped quotes', `["\\"[","\\\\",${'['.repeat(million)}${']'.repeat(million)}]`],
  ])('that have 2 MB of %s are refused before they are parsed', async (_, text) => {
    const parse = vi.spyOn(JSON, 'parse')
    onTestFinished(() => parse.mockRestore())
    expect(() => parseJson(text)).toThrow('The JSON has too many arrays or objects.')
    expect(parse).not.toHaveBeenCalled()
    const { port } = await listen(({ url = '' }: IncomingMessage, response: ServerResponse) => {
      const isStream = url.includes('_events')
      if (isStream) response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.end(isStream ? `id: 00000000-0000\n\ndata: ${text}\n\n` : text)
    })
    const client = new JobsClient({ url: `http://127.0.0.1:${port}` })
    for (const call of [() => client.search(), () => client.status('copy', 'a'), () => client.events().next()])
      await expect(call()).rejects.toMatchObject({ code: 'server' })
  })

  test('that have brackets in texts are read', () => {
    for (const text of ['['.repeat(1000), `\\${'{'.repeat(1000)}`, `"${'['.repeat(1000)}\\`, '\\"[{'])
      expect(parseJson(JSON.stringify({ [text]: [text] }))).toEqual({ [text]: [text] })
  })

  test('that list what has ended as running, or an entry whose id is not of its job, are refused', async () => {
    const status = statusBody(successful)
    const answers: Record<string, object> = {
      '/copy?include_queued=true': { _id: 'a', type: 'copy', found: true, status },
      '/_search': { _id: 'b1', _source: { copy: status } },
    }
    const { port } = await listen(
      ({ url = '' }: IncomingMessage, response: ServerResponse) =>
        void response.end(JSON.stringify({ hits: { total: 1, hits: [answers[url]] } })),
    )
    const client = new JobsClient({ url: `http://127.0.0.1:${port}` })
    await expect(client.running('copy')).rejects.toMatchObject({ code: 'server' })
    await expect(client.search()).rejects.toMatchObject({ code: 'server' })
  })

  test('of endless texts are shown up to the lengths that a server of headgate gives', async () => {
    const long = 'x'.repeat(5_000_000)
    const failed = {
      ...successful,
      state: 'error',
      infos: long,
      last_id: long,
      error: Array(30).fill(long.slice(0, 1e5)),
    }
    const { port } = await listen(({ method }: IncomingMessage, response: ServerResponse) => {
      if (method === 'GET') response.end(jobBody(failed))
      else response.writeHead(409).end(JSON.stringify({ error: { type: 'already_running', reason: long } }))
    })
    const client = new JobsClient({ url: `http://127.0.0.1:${port}` })
    const status = await client.status('copy', 'a')
    expect(JSON.stringify(status).length).toBeLessThan(80_000)
    expect(status).toMatchObject({ infos: `${'x'.repeat(2000)}…`, lastId: `${'x'.repeat(32_767)}…` })
    const message = `${'x'.repeat(2000)}…`
    await expect(client.start('copy', 'a')).rejects.toMatchObject({ code: 'already_running', message })
  })

  test('that are longer than they may be are refused while they are unpacked', async () => {
    const bomb = gzipSync(Buffer.alloc(200 * 1024 * 1024, ' '))
    const { port } = await listen(((_: IncomingMessage, response: ServerResponse) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }).end(bomb)
    }) as never)
    const url = `http://127.0.0.1:${port}`
    const before = process.memoryUsage().rss
    const message = 'The answer is longer than `maxAnswer`, 33554432 bytes.'
    await expect(new JobsClient({ url }).status('copy', 'a')).rejects.toMatchObject({ code: 'server', message })
    expect(process.memoryUsage().rss - before).toBeLessThan(150 * 1024 * 1024)
    const small = new JobsClient({ url, maxAnswer: 1000 })
    await expect(small.search()).rejects.toMatchObject({
      code: 'server',
      message: expect.stringContaining(' 1000 bytes'),
    })
    expect(() => new JobsClient({ url, maxAnswer: 0 })).toThrow('Expected `maxAnswer` to be a whole number from 1 up')
  })

  test('that the server redirects are not followed, and keep their keys', async () => {
    const seen = vi.fn()
    const { port: other } = await listen(((request: IncomingMessage, response: ServerResponse) => {
      seen(request.headers)
      response.end('{}')
    }) as never)
    for (const status of [301, 302, 303, 307, 308]) {
      const headers = { location: `http://127.0.0.1:${other}/` }
      const { port } = await listen(
        ((_: IncomingMessage, response: ServerResponse) => void response.writeHead(status, headers).end()) as never,
      )
      const client = new JobsClient({ url: `http://127.0.0.1:${port}`, headers: { 'x-api-key': 'secret' } })
      for (const call of [
        () => client.start('copy', 'a'),
        () => client.status('copy', 'a'),
        () => client.events().next(),
      ]) {
        await expect(call()).rejects.toMatchObject({ code: 'server', isTransient: undefined })
      }
    }
    expect(seen).not.toHaveBeenCalled()
  })

  test.each([
    ['that throw', () => Promise.reject(new Error('no token'))],
    [
      'that throw at once',
      () => {
        throw new Error('no token')
      },
    ],
    ['that are none', () => 'no token'],
    ['that cannot be sent', () => ({ 'x-token': 'a\nb' })],
  ])('with headers %s are refused, and not sent', async (_, headers) => {
    const fetch = vi.fn()
    const client = new JobsClient({ url: 'http://localhost', fetch, headers: headers as never })
    for (const call of [() => client.start('copy', 'a'), () => client.events().next()]) {
      await expect(call()).rejects.toMatchObject({
        name: 'JobError',
        code: 'invalid_options',
        cause: expect.anything(),
      })
    }
    expect(fetch).not.toHaveBeenCalled()
  })

  const never = () => new Promise<never>(() => {})
  const hangs: Record<string, Partial<JobsClientOptions>> = {
    headers: { headers: never },
    fetch: { fetch: never },
    'a body': { fetch: async () => new Response(new ReadableStream({ pull: never })) },
  }
  test.each(Object.entries(hangs))('end with their signal though %s hangs', async (_, options) => {
    const client = new JobsClient({ url: 'http://localhost', ...options })
    for (const call of [
      (signal: AbortSignal) => client.start('copy', 'a', { signal }),
      (signal: AbortSignal) => client.waitFor('copy', 'a', { signal }),
      (signal: AbortSignal) => client.events({ signal }).next(),
    ]) {
      const over = new AbortController()
      const answer = call(over.signal)
      setImmediate(() => over.abort(new Error('enough')))
      await expect(answer).rejects.toThrowError('enough')
    }
  })

  test.each(['.', '..'])('about the id %s are not made', async (id) => {
    const fetch = vi.fn()
    const client = new JobsClient({ url: 'http://localhost', fetch })
    await expect(client.start('copy', id)).rejects.toMatchObject({ code: 'invalid_options' })
    expect(fetch).not.toHaveBeenCalled()
  })

  test('name parameters as the server does', () => {
    for (const [option, { name }] of Object.entries(search.parameters)) expect(toWireName(option)).toBe(name)
  })
})

describe('options', () => {
  test.each([
    [
      {},
      'Expected `url` to be an http or https address or a path, without a user, and without a slash, a query or a fragment at its end, got nothing',
    ],
    [{ url: 'http://x/' }, 'Expected `url`'],
    [{ url: 'http://x?a' }, 'Expected `url`'],
    [{ url: 'http://user:password@x' }, 'without a user'],
    [{ url: 'localhost:3000' }, 'Expected `url`'],
    [{ url: 'ftp://x' }, 'Expected `url`'],
    [{ url: '/jobs', fetch: 1 }, 'Expected `fetch` to be a function'],
    [{ url: '/jobs', headers: 1 }, 'Expected `headers` to be an object, or a function that gives one'],
    [{ url: '/jobs', token: 1 }, 'Expected `options` to be an object with'],
  ])('%j is refused', (options, message) => {
    expect(() => new JobsClient(options as never)).toThrowError(message)
  })
})

test('a browser gets little, and nothing of node', async () => {
  const { outputFiles, metafile } = await build({
    entryPoints: [`${root}/src/client/index.ts`],
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    write: false,
    metafile: true,
  })
  // What docs/reference/client.md says.
  const bytes = gzipSync(outputFiles[0]?.contents ?? '', { level: 9 }).length
  const taken = Object.values(metafile.outputs).flatMap(({ inputs }) => Object.entries(inputs))
  const outside = taken.filter(([path, { bytesInOutput }]) => bytesInOutput > 0 && path.includes('node_modules'))
  expect(outside).toEqual([])
  // Half of it hides secrets in what errors quote.
  expect(bytes).toBeLessThan(19_500)
})
