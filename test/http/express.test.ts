import express, { type Request } from 'express'
import { expect, test } from 'vitest'
import type { JobsHandlerOptions } from '../../src/http/index.js'
import { toExpressMiddleware } from '../../src/http/mounts/express.js'
import { describedHandler } from './described-handler.js'
import { base, defineHeld, listen, newRegistry, sendTo } from './support.js'

function middleware(options?: JobsHandlerOptions) {
  const registry = newRegistry()
  defineHeld(registry, 'copy', 'a')
  return toExpressMiddleware(describedHandler(registry, options))
}

test('OPTIONS go on to the host, which may answer for CORS', async () => {
  const app = express().use(middleware())
  app.options(`${base}/copy/a`, (_, response) => void response.set('access-control-allow-origin', '*').sendStatus(204))
  const send = sendTo((await listen(app)).port)
  const { status, headers } = await send(`${base}/copy/a`, { method: 'OPTIONS' })
  expect([status, headers.get('access-control-allow-origin')]).toEqual([204, '*'])
})

test('OPTIONS that nobody answers are not found', async () => {
  const send = sendTo((await listen(express().use(middleware()))).port)
  expect((await send(`${base}/copy/a`, { method: 'OPTIONS' })).status).toBe(404)
})

test('headers that middleware before has set stay', async () => {
  const app = express()
  app.use((_, response, next) => {
    response.set('access-control-allow-origin', 'https://admin.example')
    next()
  })
  const send = sendTo((await listen(app.use(middleware()))).port)
  expect((await send(`${base}/copy/a`)).headers.get('access-control-allow-origin')).toBe('https://admin.example')
})

test('authorize sees the request of Express', async () => {
  const authorize: JobsHandlerOptions['authorize'] = ({ native }) => (native as Request).get('x-user') === 'ann'
  const send = sendTo((await listen(express().use(middleware({ authorize })))).port)
  expect((await send(`${base}/copy/a`, { headers: { 'x-user': 'ann' } })).status).toBe(200)
  expect((await send(`${base}/copy/a`)).status).toBe(403)
})

test('fits the types of Express', () => {
  express().use(middleware()).use('/x', middleware()).all('/y', middleware())
})
