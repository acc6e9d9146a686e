import { type NodeConnection, type NodeRequest, toJobsRequest, toReadable, withoutPrefix } from './_node-request.js'
import type { JobsHandler } from './handler.js'

/** What is used of Fastify's reply. */
export interface FastifyReply {
  raw: NodeConnection
  code(status: number): { headers(headers: Record<string, string>): { send(payload: unknown): unknown } }
}

/** What is used of a Fastify instance. */
export interface FastifyInstance {
  prefix: string
  supportedMethods: string[]
  addHook(name: 'preClose', hook: () => Promise<void>): unknown
  removeAllContentTypeParsers(): unknown
  addContentTypeParser(type: string, options: object, parser: (request: unknown, body: unknown) => unknown): unknown
  route(route: { method: string[]; url: string; exposeHeadRoute: false; handler: FastifyHandler }): unknown
}

type FastifyHandler = (request: NodeRequest, reply: FastifyReply) => Promise<unknown>

/** A plugin of Fastify. */
export type FastifyPlugin = (app: FastifyInstance) => Promise<void>

/**
 * Serves a handler of `headgate/http` by Fastify: for `app.register`, whose `prefix` comes in front of the base path. All
 * methods are served but `OPTIONS`. Bodies are not read. `authorize` sees Fastify's request as `native`. When the app
 * closes, the streams of events end.
 */
export function toFastifyPlugin(handler: JobsHandler): FastifyPlugin {
  return async (app) => {
    app.addHook('preClose', async () => handler.endStreams())
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', {}, async () => {})
    const method = app.supportedMethods.filter((name) => name !== 'OPTIONS')
    const restOf = withoutPrefix(app.prefix)
    const answer: FastifyHandler = async (request, reply) => {
      const url = restOf(request.url ?? '')
      const { status, headers, body } = await handler.answer(toJobsRequest(request, reply.raw, url))
      const payload = typeof body === 'string' ? body : toReadable(body, request, reply.raw)
      return reply.code(status).headers(headers).send(payload)
    }
    const base = handler.basePath === '/' ? '' : handler.basePath
    for (const url of [base || '/', `${base}/*`]) app.route({ method, url, exposeHeadRoute: false, handler: answer })
  }
}
