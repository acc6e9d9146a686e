import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { getRequestListener } from '@hono/node-server'
import { bodyParser } from '@koa/bodyparser'
import express from 'express'
import fastify, { type FastifyInstance } from 'fastify'
import { Hono } from 'hono'
import Koa from 'koa'
import type Next from 'next'
import { onTestFinished } from 'vitest'
import type { JobsHandler } from '../../src/http/index.js'
import { toExpressMiddleware } from '../../src/http/mounts/express.js'
import { toFastifyPlugin } from '../../src/http/mounts/fastify.js'
import { toKoaMiddleware } from '../../src/http/mounts/koa.js'
import { toNodeHandler } from '../../src/http/mounts/node.js'
import { type Send, sendBy, sendOverHttp2, sendTo } from './send.js'
import { base, type Listener, listen } from './support.js'

/** A way to serve a handler whose base path is the default. */
export type Face = (handler: JobsHandler) => Promise<Send>

export const served = async (listener: Listener, prefix?: string) => sendTo((await listen(listener)).port, prefix)

/** Every face, where every call that the server lets through reaches the handler as it came. */
export const faces: Record<string, Face> = {
  fetch: byFetch,
  'node:http': (handler) => served(toNodeHandler(handler)),
  'node:http2': async (handler) => sendOverHttp2((await listen(toNodeHandler(handler), createServer())).port),
  'Express at the root': (handler) => served(express().use(toExpressMiddleware(handler))),
  'Express at the base path': (handler) => served(express().use(base, toExpressMiddleware(handler))),
  'Express at a path in front': (handler) => served(express().use('/api', toExpressMiddleware(handler)), '/api'),
  'Express behind express.json()': (handler) => served(express().use(express.json(), toExpressMiddleware(handler))),
  Fastify: (handler) => byFastify(fastify({ forceCloseConnections: true }), handler, sendTo),
  'Fastify under a prefix': (handler) =>
    byFastify(fastify({ forceCloseConnections: true }), handler, sendTo, '/api/:v'),
  'Fastify over HTTP/2': (handler) =>
    byFastify(fastify({ http2: true }) as unknown as FastifyInstance, handler, sendOverHttp2),
  Koa: (handler) => served(newKoa().use(toKoaMiddleware(handler)).callback()),
  'Koa behind bodyParser()': (handler) => served(newKoa().use(bodyParser()).use(toKoaMiddleware(handler)).callback()),
  'Koa over HTTP/2': async (handler) => {
    const listener = newKoa().use(toKoaMiddleware(handler)).callback()
    return sendOverHttp2((await listen(listener, createServer())).port)
  },
  Hono: (handler) => served(getRequestListener(new Hono().all(`${base}/*`, ({ req }) => handler(req.raw)).fetch)),
  'Hono, mounted at the base path': (handler) =>
    served(getRequestListener(new Hono().mount(base, handler, { replaceRequest: false }).fetch)),
}

/** The same with real servers, and Next.js, which puts addresses in order and answers some methods itself. */
export const mounts: Record<string, Face> = { ...without('fetch', faces), 'Next.js': byNext }

function without<Value>(name: string, { [name]: _, ...rest }: Record<string, Value>): Record<string, Value> {
  return rest
}

async function byFetch(handler: JobsHandler): Promise<Send> {
  return sendBy((path, sent) => {
    const opened = handler(new Request(`http://localhost${path}`, sent)).then(({ status, headers, body }) => ({
      status,
      headers,
      body: body ? Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0]) : Readable.from([]),
    }))
    return { opened, leave: () => void opened.then(({ body }) => body.destroy()) }
  })
}

export async function byFastify(
  app: FastifyInstance,
  handler: JobsHandler,
  sendTo: (port: number, prefix: string) => Send,
  prefix = '',
): Promise<Send> {
  app.register(toFastifyPlugin(handler), { prefix })
  await app.listen({ port: 0 })
  onTestFinished(() => app.close())
  return sendTo((app.server.address() as AddressInfo).port, prefix)
}

/** Koa tells of clients that left a stream, which is no news here. */
function newKoa(): Koa {
  return new Koa().on('error', () => {})
}

/** The routes of `next-app`, which give every request to the handler of the test. */
async function byNext(handler: JobsHandler): Promise<Send> {
  Object.assign(globalThis, { servedByNext: handler })
  server ??= startNext()
  return sendTo(await server)
}

let server: Promise<number> | undefined

async function startNext(): Promise<number> {
  // Its types are those of a module that has a default inside its default.
  const next = (await import('next')).default as unknown as typeof Next.default
  const app = next({ dev: true, dir: join(import.meta.dirname, 'next-app'), quiet: true })
  await app.prepare()
  const server = createHttpServer(app.getRequestHandler()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}
