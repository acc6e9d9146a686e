import Koa, { type Context } from 'koa'
import { expect, test } from 'vitest'
import { createJobsHandler, type JobsHandlerOptions } from '../../src/http/handler.js'
import { toKoaMiddleware } from '../../src/http/koa.js'
import { base, defineHeld, listen, newRegistry, sendTo } from './support.js'

function middleware(options?: JobsHandlerOptions) {
  const registry = newRegistry()
  defineHeld(registry, 'copy', 'a')
  return toKoaMiddleware(createJobsHandler(registry, options))
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
