import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { bodyParser } from '@koa/bodyparser'
import express from 'express'
import fastify, { type FastifyInstance } from 'fastify'
import { Hono } from 'hono'
import Koa from 'koa'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { JobsHandler } from '../../src/http/index.js'
import { createJobsHandler } from '../../src/http/index.js'
import { toExpressMiddleware } from '../../src/http/mounts/express.js'
import { toFastifyPlugin } from '../../src/http/mounts/fastify.js'
import { toKoaMiddleware } from '../../src/http/mounts/koa.js'
import { toNodeHandler } from '../../src/http/mounts/node.js'
import { base, type Listener, listen, newRegistry } from './support.js'

type Mount = (handler: JobsHandler) => Promise<number>

const onNode = async (listener: Listener) => (await listen(listener)).port

async function onFastify(app: FastifyInstance, handler: JobsHandler): Promise<number> {
  app.register(toFastifyPlugin(handler))
  await app.listen({ port: 0, host: '127.0.0.1' })
  onTestFinished(() => app.close())
  return (app.server.address() as { port: number }).port
}

const quiet = { forceCloseConnections: true }

/** Mounts that read the body themselves. */
const plain: Record<string, Mount> = {
  'node:http': (handler) => onNode(toNodeHandler(handler)),
  Express: (handler) => onNode(express().use(toExpressMiddleware(handler))),
  Fastify: (handler) => onFastify(fastify(quiet), handler),
  Koa: (handler) => onNode(new Koa().use(toKoaMiddleware(handler)).callback()),
  fetch: (handler) => onNode(getRequestListener(new Hono().all(`${base}/*`, ({ req }) => handler(req.raw)).fetch)),
}

/** Mounts behind a parser that takes more than headgate does. */
const parsed: Record<string, Mount> = {
  'express.json()': (handler) => onNode(express().use(express.json({ limit: '9mb' }), toExpressMiddleware(handler))),
  'express.text()': (handler) =>
    onNode(express().use(express.text({ limit: '9mb', type: () => true }), toExpressMiddleware(handler))),
  'bodyParser() of Koa': (handler) =>
    onNode(
      new Koa()
        .use(bodyParser({ jsonLimit: '9mb' }))
        .use(toKoaMiddleware(handler))
        .callback(),
    ),
}

/** A handler of one job, which takes any parameters. */
function handlerOfOneJob(): JobsHandler {
  const registry = newRegistry()
  registry.define({ type: 'report', id: 'a', run: () => {} })
  return createJobsHandler(registry)
}

/** A raw connection, and what it has received. */
async function rawTo(port: number) {
  const socket: Socket = connect(port, '127.0.0.1')
  let received = ''
  socket.on('data', (data) => {
    received += data
  })
  socket.on('error', () => {})
  onTestFinished(() => void socket.destroy())
  await once(socket, 'connect')
  const until = (pattern: RegExp) => expect.poll(() => received, { timeout: 5000, interval: 10 }).toMatch(pattern)
  return { socket, until, text: () => received }
}

const start = `${base}/report/a/_start`
const head = (...headers: string[]) =>
  [`POST ${start} HTTP/1.1`, 'Host: localhost', 'Content-Type: application/json', ...headers, '', ''].join('\r\n')
const status = `GET ${base}/report/a HTTP/1.1\r\nHost: localhost\r\n\r\n`

describe.each(Object.entries(plain))('a body of %s', (_, mount) => {
  test('that says it is too long is refused before it comes, and its connection closes', async () => {
    const { socket, until } = await rawTo(await mount(handlerOfOneJob()))
    const closed = once(socket, 'close')
    socket.write(`${head('Content-Length: 1000000')}{"params":`)
    await until(/^HTTP\/1\.1 413 .*connection: close.*payload_too_large/is)
    await closed
  })

  test('that is too long and comes is refused, and the next request is answered', async () => {
    const { socket, until, text } = await rawTo(await mount(handlerOfOneJob()))
    socket.write(head('Content-Length: 200000') + 'x'.repeat(200_000))
    await until(/^HTTP\/1\.1 413 .*payload_too_large/is)
    if (/connection: close/i.test(text())) return
    socket.write(status)
    await until(/HTTP\/1\.1 (200|404) /)
  })

  test('in chunks without an end is refused, and its connection closes', async () => {
    const { socket, until } = await rawTo(await mount(handlerOfOneJob()))
    const closed = once(socket, 'close')
    socket.write(head('Transfer-Encoding: chunked'))
    const chunk = `8000\r\n${'x'.repeat(32_768)}\r\n`
    for (let n = 0; n < 3; n++) socket.write(chunk)
    await until(/^HTTP\/1\.1 413 .*connection: close.*payload_too_large/is)
    await closed
  })

  test('that is short leaves the connection open', async () => {
    const { socket, until, text } = await rawTo(await mount(handlerOfOneJob()))
    socket.write(`${head('Content-Length: 2')}{}${status}`)
    await until(/^HTTP\/1\.1 201 .*HTTP\/1\.1 200 /s)
    expect(text()).not.toMatch(/connection: close/i)
  })
})

describe.each(Object.entries(parsed))('a body that a parser has read (%s)', (_, mount) => {
  const send = async (body: string) => {
    const port = await mount(handlerOfOneJob())
    const headers = { 'content-type': 'application/json' }
    // In chunks: a `content-length` would tell the size.
    const chunks = { body: new Blob([body]).stream(), duplex: 'half' } as RequestInit
    return fetch(`http://127.0.0.1:${port}${start}`, { method: 'POST', headers, ...chunks })
  }
  const padded = (length: number) => `{"params":{"a":"${'x'.repeat(length - 19)}"}}`

  test.each([
    ['has 65,537 bytes', padded(65_537)],
    ['has fewer characters, of more bytes', `{"params":{"a":"${'ä'.repeat(40_000)}"}}`],
    ['has long names', `{"params":{"${'x'.repeat(70_000)}":1}}`],
    ['is an array of a million elements', JSON.stringify({ params: Array.from({ length: 1_000_000 }, () => 1) })],
  ])('is limited as others are: one that %s is a 413', async (_, body) => {
    const answer = await send(body)
    expect([answer.status, ((await answer.json()) as { error: Record<string, string> }).error.type]).toEqual([
      413,
      'payload_too_large',
    ])
  })

  test('may have 65,536 bytes', async () => {
    // The parameters themselves have a limit of their own.
    const answer = await send(padded(65_536))
    expect([answer.status, ((await answer.json()) as { error: Record<string, string> }).error.reason]).toEqual([
      400,
      expect.stringContaining('Expected `params` to be a JSON object of up to 10000 characters'),
    ])
  })
})
