import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import Koa, { type Context } from 'koa'
import { expect, test } from 'vitest'
import type { JobsHandler, JobsHandlerOptions, JobsRequest } from '../../src/http/index.js'
import { toKoaMiddleware } from '../../src/http/mounts/koa.js'
import { describedHandler } from './described-handler.js'
import { base, defineHeld, listen, newRegistry, sendTo } from './support.js'

function middleware(options?: JobsHandlerOptions) {
  const registry = newRegistry()
  defineHeld(registry, 'copy', 'a')
  return toKoaMiddleware(describedHandler(registry, options))
}

const sendToKoa = async (app: Koa) => sendTo((await listen(app.callback())).port)

test('OPTIONS go on to the host, which may answer for CORS', async () => {
  const app = new Koa().use(middleware()).use((context) => {
    context.set('access-control-allow-origin', '*')
    context.status = 204
  })
  const { status, headers } = await (await sendToKoa(app))(`${base}/copy/a`, { method: 'OPTIONS' })
  expect([status, headers.get('access-control-allow-origin')]).toEqual([204, '*'])
})

test('OPTIONS that nobody answers are a 405', async () => {
  const { status, headers } = await (await sendToKoa(new Koa().use(middleware())))(`${base}/copy/a`, {
    method: 'OPTIONS',
  })
  expect([status, headers.get('allow')]).toEqual([405, 'GET, HEAD'])
})

test('what is not under the base path goes on', async () => {
  const app = new Koa().use(middleware()).use((context) => {
    context.status = 418
  })
  expect((await (await sendToKoa(app))('/other')).status).toBe(418)
})

test('goes by the rest of the address that a mount leaves, or by the one that came', async () => {
  for (const basePath of ['/', '/api/jobs']) {
    const jobs = middleware({ basePath })
    const app = new Koa().use((context, next) => {
      context.url = context.url.replace('/api/jobs', '')
      return jobs(context, next)
    })
    const send = await sendToKoa(app)
    expect((await send('/api/jobs/copy/a')).status).toBe(200)
    // One call has one address: that of another would pass by a guard.
    expect((await send('/api/jobs/api/jobs/copy/a')).status).toBe(404)
  }
})

test('authorize sees the context of Koa', async () => {
  const authorize: JobsHandlerOptions['authorize'] = ({ native }) => (native as Context).state.user === 'ann'
  const app = new Koa<{ user?: string }>()
  app.use((context, next) => {
    context.state.user = context.get('x-user')
    return next()
  })
  const send = await sendToKoa(app.use(middleware({ authorize })) as Koa)
  expect((await send(`${base}/copy/a`, { headers: { 'x-user': 'ann' } })).status).toBe(200)
  expect((await send(`${base}/copy/a`)).status).toBe(403)
})

test('a client that leaves a stream of events is no error of the application, and a stream that fails is', async () => {
  const registry = newRegistry()
  const handler = describedHandler(registry)
  const failing = {
    basePath: handler.basePath,
    covers: (url: string) => handler.covers(url),
    answer: async (request: JobsRequest) => {
      const answer = await handler.answer(request)
      if (request.headers.get('x-fail') === null) return answer
      const body = {
        async *[Symbol.asyncIterator]() {
          yield ': begun\n\n'
          throw new Error('the stream failed')
        },
      }
      return { ...answer, body } as typeof answer
    },
  }
  const errors: string[] = []
  const app = new Koa().use(toKoaMiddleware(failing as JobsHandler))
  app.on('error', (error: Error) => errors.push(error.message))
  const { port } = await listen(app.callback())
  const connectTo = async (leave: (socket: Socket) => void, header = '') => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.write(`GET ${base}/_events HTTP/1.1\r\nhost: localhost\r\n${header}\r\n`)
    await once(socket, 'data')
    leave(socket)
    if (!socket.closed) await once(socket, 'close')
  }
  for (let n = 0; n < 5; n++) {
    await connectTo((socket) => socket.destroy())
    await connectTo((socket) => socket.resetAndDestroy())
    await connectTo((socket) => socket.end())
  }
  await connectTo(() => undefined, 'x-fail: yes\r\n')
  await expect.poll(() => errors).toEqual(['the stream failed'])
})
