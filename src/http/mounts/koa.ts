import { checkHandler } from '../api/index.js'
import type { JobsHandler } from '../index.js'
import { answerOf, coveredUrl, type NodeConnection, type NodeRequest, toReadable } from './node-request.js'

/** The part of Koa's context that headgate uses. */
export interface KoaContext extends NodeRequest {
  res: NodeConnection
  status: number
  body: unknown
  set(headers: Record<string, string>): void
  onerror?(error: unknown): void
}

/** A Koa middleware, for apps with any state and context. */
export type KoaMiddleware = <Context extends KoaContext>(
  context: Context,
  next: () => Promise<unknown>,
) => Promise<void>

/**
 * Serves a handler of `headgate/http` in Koa, for `app.use` or under `koa-mount`, also after a body parser. `OPTIONS` and requests outside of the base path go to the next
 * middleware. `OPTIONS` without another answer are answered with 405. `authorize` gets the Koa context as `native`. Throws `invalid_options`.
 */
export function toKoaMiddleware(handler: JobsHandler): KoaMiddleware {
  checkHandler(handler)
  return async (context, next) => {
    const url = coveredUrl(handler, context)
    if (url === undefined) return void (await next())
    if (context.method === 'OPTIONS') {
      await next()
      // Koa starts with 404, so another middleware has answered.
      if (context.status !== 404) return
    }
    const { status, headers, body } = await answerOf(handler, context, context.res, url)
    context.status = status
    if (typeof body !== 'string') ignoreDisconnects(context)
    context.body = typeof body === 'string' ? body : toReadable(body, context, context.res)
    // After the body, which sets its own length and type.
    context.set(headers)
  }
}

/** Prevents Koa from reporting each disconnected client as an application error. */
function ignoreDisconnects(context: KoaContext): void {
  const { onerror } = context
  context.onerror = (error) => {
    const isLeft = /^(ERR_STREAM_PREMATURE_CLOSE|ECONNRESET|EPIPE)$/.test(String(Object(error).code))
    if (!isLeft) onerror?.call(context, error)
  }
}
