import { once } from 'node:events'
import { connect } from 'node:net'
import express from 'express'
import fastify, { type FastifyInstance } from 'fastify'
import { JobsClient } from 'headgate/client'
import { Hono } from 'hono'
import { describe, expect, test } from 'vitest'
import type { JobsHandler, JobsHandlerOptions, JobsRequest } from '../../src/http/index.js'
import { toExpressMiddleware } from '../../src/http/mounts/express.js'
import { toFastifyPlugin } from '../../src/http/mounts/fastify.js'
import { toNodeHandler } from '../../src/http/mounts/node.js'
import type { StandardSchema } from '../../src/index.js'
import { fakeClock } from '../../src/testing/index.js'
import { describedHandler } from './described-handler.js'
import { byFastify, type Face, mounts, served } from './faces.js'
import { sendTo } from './send.js'
import { base, listen, newRegistry } from './support.js'

/** Mounts behind something that touches the body of requests. */
const parsers: Record<string, Face> = {
  'Express behind express.text()': (handler) =>
    served(express().use(express.text({ type: () => true }), toExpressMiddleware(handler))),
  'Express behind express.raw()': (handler) =>
    served(express().use(express.raw({ type: () => true }), toExpressMiddleware(handler))),
  'Express behind a parser that sets an empty body': (handler) =>
    served(
      express().use((request, _, next) => {
        request.body = {}
        next()
      }, toExpressMiddleware(handler)),
    ),
  'Fastify whose host parses JSON as text': (handler) => {
    const app = fastify() as unknown as FastifyInstance
    app.addContentTypeParser('application/json', { parseAs: 'string' }, async (_: unknown, text: string) => text)
    return byFastify(app, handler, sendTo)
  },
}

const schema: StandardSchema<unknown, { customer: string }> = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value) => {
      const { customer } = value as { customer?: unknown }
      if (typeof customer === 'string') return { value: { customer } }
      return { issues: [{ message: `expected a string, got ${typeof customer}`, path: ['customer'] }] }
    },
  },
}

/** A registry with a job that keeps its parameters, and its handler. */
function setup(options: JobsHandlerOptions = {}) {
  const registry = newRegistry()
  const seen: unknown[] = []
  registry.define({ type: 'report', id: 'any', run: ({ params }) => void seen.push(params) })
  registry.define({ type: 'report', id: 'strict', params: schema, run: ({ params }) => void seen.push(params) })
  return { registry, seen, handler: describedHandler(registry, options) }
}

const json = { 'content-type': 'application/json' }
const start = `${base}/report/any/_start`

describe.each(Object.entries({ ...mounts, ...parsers }))('started by %s', (_, open: Face) => {
  const call = async (body: string | undefined, headers: Record<string, string> = json, path = start) => {
    const { handler, seen, registry } = setup()
    const send = await open(handler)
    const sent = { method: 'POST', headers, ...(body !== undefined && { body }) }
    const { status, text } = await send(path, sent)
    if (status === 201) await expect.poll(async () => (await registry.running('report')).length).toBe(0)
    return { status, text, seen }
  }

  test('a job gets its parameters', async () => {
    const { status, seen } = await call('{"params":{"customer":"acme","n":[1,null,{"a":"ä"}]}}')
    expect([status, seen]).toEqual([201, [{ customer: 'acme', n: [1, null, { a: 'ä' }] }]])
  })

  test.each([
    ['_reset', '{"checkpoint":7}', 'send `checkpoint`, `execution_id`, `detail` in the query.'],
    ['_pause', '{"reason":"deploy","by":"ann"}', 'send `reason`, `by` in the query.'],
    [
      '_abort',
      '{"reason":"deploy"}',
      'send `timeout`, `reason`, `execution_id`, `wait_for_completion`, `detail` in the query.',
    ],
    ['_unpause', '[0]', 'it takes no values.'],
  ])('%s refuses a body, which it would ignore, and does nothing', async (name, body, hint) => {
    const { handler, registry } = setup()
    await registry.start('report', 'any')
    await expect.poll(async () => (await registry.running('report')).length).toBe(0)
    await registry.pause('report', 'any')
    const send = await open(handler)
    const path = `${base}/report/any/${name}`
    for (const headers of [json, { 'content-type': 'application/x-www-form-urlencoded' }]) {
      const { status, text } = await send(path, { method: 'POST', headers, body })
      const reason = `Expected the body of the call to be empty: ${hint}`
      expect([status, JSON.parse(text).error]).toEqual([400, { type: 'invalid_request', reason }])
    }
    expect((await registry.jobs()).find(({ id }) => id === 'any')?.paused?.reason).toBeUndefined()
    for (const body of [undefined, '', '{}']) {
      const sent = { method: 'POST', headers: json, ...(body !== undefined && { body }) }
      expect((await send(path, sent)).status).toBe(200)
    }
    expect((await send(`${base}/_pause`, { method: 'POST', headers: json, body })).status).toBe(400)
    expect(await registry.unpauseAll()).toBe(false)
  })

  test('a job has none without a body, or with an empty one', async () => {
    expect(await call(undefined, {})).toMatchObject({ status: 201, seen: [{}] })
    expect(await call('', { 'content-type': 'application/x-www-form-urlencoded' })).toMatchObject({ status: 201 })
    expect(await call('{}')).toMatchObject({ status: 201, seen: [{}] })
  })

  test('parameters that the job does not accept are a 400 that names them', async () => {
    const { status, text } = await call('{"params":{"customer":5}}', json, `${base}/report/strict/_start`)
    expect(status).toBe(400)
    expect(text).toContain('`params.customer`')
    expect(text).toContain('expected a string, got number')
  })

  test('parameters that an answer has hidden are a 400 that names them', async () => {
    const { status, text, seen } = await call('{"params":{"token":"***"}}')
    expect([status, seen]).toEqual([400, []])
    expect(text).toContain('`params.token` to be the value itself')
  })

  test('an integer that JSON rounds is a 400 that names it', async () => {
    const { status, text, seen } = await call('{"params":{"customers":[1,9007199254740993]}}')
    expect([status, seen]).toEqual([400, []])
    expect(text).toContain('`params.customers.1` to be a number that JSON keeps, or its digits as text')
    expect((await call('{"params":{"customer":9007199254740991,"share":0.1}}')).status).toBe(201)
  })

  test('a body of megabytes is refused, and the server goes on', async () => {
    const { handler, seen } = setup()
    const send = await open(handler)
    const body = JSON.stringify({ params: { a: 'x'.repeat(3_000_000) } })
    // Hono and Next.js cut the connection of a body that is not read to its end.
    const { status } = await send(start, { method: 'POST', headers: json, body }).catch(() => ({ status: 413 }))
    expect([status, seen]).toEqual([413, []])
    const get = () => send(`${base}/report/any`)
    expect((await get().catch(get)).status).toBe(200)
  })
})

describe('a body', () => {
  const answer = async (body: unknown, headers: Record<string, string> = json, options: JobsHandlerOptions = {}) => {
    const { handler, seen } = setup(options)
    const request: JobsRequest = { method: 'POST', url: start, headers: new Headers(headers), native: undefined }
    const { status, body: text } = await handler.answer({ ...request, body: async () => body })
    return { status, ...JSON.parse(String(text)).error, seen }
  }

  test.each([
    ['{"params": {"a": 1,}}', 'Expected the body to be JSON in UTF-8, which breaks at character 20.'],
    ['{', 'Expected the body to be JSON in UTF-8, which breaks at character 2.'],
    ['nope', 'Expected the body to be JSON in UTF-8.'],
    [new Uint8Array([0x22, 0xff, 0x22]), 'Expected the body to be JSON in UTF-8.'],
    ['null', 'Expected `body` to be an object, got null'],
    ['[]', 'Expected `body` to be an object, got '],
    ['"params"', 'Expected `body` to be an object, got `params` (string)'],
    ['{"parms":{}}', 'Expected `body` to be an object with `params`, got `parms`'],
    ['{"force":true}', 'Expected `force` in the query of the call, not in its body.'],
    ['{"__proto__":{"params":{}}}', 'Expected `body` to be an object with `params`, got `__proto__`'],
    ['{"params":[]}', 'Expected `params` to be a JSON object'],
    ['{"params":"a"}', 'Expected `params` to be an object, got '],
    ['{"params":null}', 'Expected `params` to be an object, got '],
    [
      `{"params":{"a":"${'x'.repeat(10_000)}"}}`,
      'Expected `params` to be a JSON object of up to 10000 characters, got one of 10008',
    ],
    [`{"params":${'{"a":'.repeat(9000)}1${'}'.repeat(9000)}}`, 'Expected `params` to be a JSON object'],
    [{ params: 5 }, 'Expected `params` to be an object, got '],
    [[{ params: {} }], 'Expected `body` to be an object'],
  ])('of %j is a 400', async (body, reason) => {
    expect(await answer(body)).toMatchObject({
      ...{ status: 400, type: 'invalid_request', reason: expect.stringContaining(reason), seen: [] },
    })
  })

  test.each([
    [{ 'content-type': 'text/plain' }, 'got `text/plain`'],
    [{ 'content-type': 'application/x-www-form-urlencoded' }, 'got `application/x-www-form-urlencoded`'],
    [{ 'content-type': 'multipart/form-data; boundary=application/json' }, 'got `multipart/form-data;'],
    [{ 'content-type': 'application/json; charset=utf-16' }, 'got `application/json; charset=utf-16`'],
    [{ 'content-type': 'application/json, text/plain' }, 'got `application/json, text/plain`'],
    [{}, 'got none'],
    [{ ...json, 'content-encoding': 'gzip' }, 'without a `content-encoding`'],
  ])('with the headers %j is a 415', async (headers, reason) => {
    const refused = { status: 415, type: 'unsupported_media_type', reason: expect.stringContaining(reason), seen: [] }
    expect(await answer('{"params":{}}', headers as Record<string, string>)).toMatchObject(refused)
  })

  test.each(['application/json', 'application/json;charset=UTF-8', 'Application/JSON; charset="utf-8"'])(
    'of the type %s is read',
    async (type) => {
      expect(await answer('{"params":{"a":1}}', { 'content-type': type })).toMatchObject({ status: 201 })
    },
  )

  test('of 65,536 bytes is read, and one of more is a 413', async () => {
    const padded = (length: number) => '{"params":{}}'.padEnd(length)
    expect(await answer(padded(65_536))).toMatchObject({ status: 201 })
    expect(await answer(padded(65_537))).toMatchObject({
      ...{ status: 413, type: 'payload_too_large', reason: 'Expected the body to have up to 65536 bytes.' },
    })
  })

  test('of a page of another site, or of a caller who is not allowed, is not read', async () => {
    for (const [headers, authorize] of [
      [{ ...json, origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }, () => true],
      [json, () => false],
    ] as const) {
      const { handler } = setup({ authorize })
      let reads = 0
      const body = async () => void reads++
      const request = { method: 'POST', url: start, headers: new Headers(headers), native: undefined, body }
      expect([(await handler.answer(request)).status, reads]).toEqual([403, 0])
    }
  })

  test('that does not arrive is given up after 10 seconds', async () => {
    const clock = fakeClock()
    const { handler } = setup({ clock })
    const request = { method: 'POST', url: start, headers: new Headers(json), native: undefined }
    const answered = handler.answer({ ...request, body: () => new Promise(() => {}) })
    await clock.advance(10_000)
    const { status, body } = await answered
    expect([status, body]).toEqual([400, expect.stringContaining('did not arrive within 10000 ms')])
  })

  test('whose connection breaks is a 400, and starts nothing', async () => {
    const { handler, seen } = setup()
    const request = { method: 'POST', url: start, headers: new Headers(json), native: undefined }
    const answered = await handler.answer({ ...request, body: () => Promise.reject(new Error('ECONNRESET')) })
    expect([answered.status, seen]).toEqual([400, []])
  })
})

describe('a body that a middleware has read, and did not pass on, is refused', () => {
  const sent = { method: 'POST', headers: json, body: '{"params":{"a":1}}' }
  const refused = expect.stringContaining('A middleware has read the body of the request')

  test('in Express', async () => {
    const { handler, seen } = setup()
    const app = express().use((request, _, next) => void request.resume().on('end', next), toExpressMiddleware(handler))
    const { status, text } = await sendTo((await listen(app)).port)(start, sent)
    expect([status, text, seen]).toEqual([400, refused, []])
  })

  test('in Hono', async () => {
    const { handler, seen } = setup()
    const app = new Hono()
      .use(async ({ req }, next) => {
        await req.json()
        await next()
      })
      .all(`${base}/*`, ({ req }) => handler(req.raw))
    const response = await app.request(start, sent)
    expect([response.status, await response.text(), seen]).toEqual([400, refused, []])
  })
})

describe('the client', () => {
  async function connected(mount: (handler: JobsHandler) => Promise<number>) {
    const { handler, ...rest } = setup()
    return { ...rest, client: new JobsClient({ url: `http://127.0.0.1:${await mount(handler)}${base}` }) }
  }
  const onNode = async (handler: JobsHandler) => (await listen(toNodeHandler(handler))).port

  test('starts with parameters', async () => {
    const { client, seen } = await connected(onNode)
    const { detail } = await client.start('report', 'any', { params: { customer: 'acme' }, detail: true })
    expect(detail.params).toEqual({ customer: 'acme' })
    await client.waitFor('report', 'any')
    expect(seen).toEqual([{ customer: 'acme' }])
  })

  test('throws what a registry throws', async () => {
    const { client, registry } = await connected(onNode)
    for (const [id, params] of [
      ['strict', { customer: 5 }],
      ['any', { since: new Date(0) }],
      ['any', { long: 'x'.repeat(20_000) }],
    ] as const) {
      const expected = await registry.start('report', id, { params }).catch((error) => error)
      await expect(client.start('report', id, { params })).rejects.toMatchObject({
        ...{ code: 'invalid_options', message: expected.message },
      })
    }
  })
})

test('a Fastify whose hooks replace the body gives the handler what they made', async () => {
  const { handler, seen, registry } = setup()
  const app = fastify()
  app.addHook('preParsing', async () => (await import('node:stream')).Readable.from(['{"params":{"b":2}}']))
  app.register(toFastifyPlugin(handler))
  const { statusCode } = await app.inject({ method: 'POST', url: start, headers: json, payload: '{"params":{"a":1}}' })
  expect(statusCode).toBe(201)
  await expect.poll(async () => (await registry.status('report', 'any'))?.state).toBe('successful')
  expect(seen).toEqual([{ b: 2 }])
})

test('a call whose body is on its way is answered with 503 when the registry closes', async () => {
  const { registry, handler } = setup()
  const { server, port } = await listen(toNodeHandler(handler))
  const socket = connect(port, '127.0.0.1')
  const head = ['Host: localhost', 'Content-Type: application/json', 'Content-Length: 50']
  const asked = once(server, 'request')
  socket.write(`POST ${start} HTTP/1.1\r\n${head.join('\r\n')}\r\n\r\n{`)
  await asked
  const answered = once(socket, 'data')
  await registry.close({ timeout: 0 })
  expect(String(await answered)).toContain('HTTP/1.1 503')
})
