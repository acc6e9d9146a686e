import { checkHandler } from '../api/index.js'
import type { JobsHandler } from '../index.js'
import { answerOf, type NodeConnection, type NodeRequest, toReadable, withoutPrefix } from './node-request.js'

/** The part of Fastify's reply that headgate uses. */
export interface FastifyReply {
  raw: NodeConnection
  code(status: number): { headers(headers: Record<string, string>): { send(payload: unknown): unknown } }
}

/** The part of a Fastify instance that headgate uses. */
export interface FastifyInstance {
  prefix: string
  /** Absent in Fastify 4. */
  supportedMethods?: string[]
  addHook(name: 'preClose', hook: () => Promise<void>): unknown
  removeAllContentTypeParsers(): unknown
  addContentTypeParser(type: string, options: object, parser: (request: unknown, body: unknown) => unknown): unknown
  route(route: { method: string[]; url: string; exposeHeadRoute: false; handler: FastifyHandler }): unknown
}

/** What Fastify 4 routes in any of its releases. */
const methodsOf4 = ['DELETE', 'GET', 'HEAD', 'PATCH', 'POST', 'PUT']

type FastifyHandler = (request: NodeRequest, reply: FastifyReply) => Promise<unknown>

/** A Fastify plugin. */
export type FastifyPlugin = (app: FastifyInstance) => Promise<void>

/**
 * Serves a handler of `headgate/http` in Fastify, for `app.register`. Its `prefix` comes before the base path. The plugin serves all methods except
 * `OPTIONS`. `authorize` gets the Fastify request as `native`. Closing the app ends the event streams. Throws `invalid_options`.
 */
export function toFastifyPlugin(handler: JobsHandler): FastifyPlugin {
  checkHandler(handler)
  return async (app) => {
    app.addHook('preClose', async () => handler.endStreams())
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', {}, async (_, stream) => stream)
    const method = (app.supportedMethods ?? methodsOf4).filter((name) => name !== 'OPTIONS')
    const restOf = withoutPrefix(app.prefix)
    const answer: FastifyHandler = async (request, reply) => {
      const { status, headers, body } = await answerOf(handler, request, reply.raw, restOf(request.url ?? ''))
      const payload = typeof body === 'string' ? body : toReadable(body, request, reply.raw)
      return reply.code(status).headers(headers).send(payload)
    }
    const base = handler.basePath === '/' ? '' : handler.basePath
    for (const url of [base || '/', `${base}/*`]) app.route({ method, url, exposeHeadRoute: false, handler: answer })
  }
}
