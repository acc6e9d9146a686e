import { coveredUrl, type NodeConnection, type NodeRequest, toJobsRequest, toReadable } from './_node-request.js'
import type { JobsHandler } from './handler.js'

/** What is used of Koa's context. */
export interface KoaContext extends NodeRequest {
  res: NodeConnection
  status: number
  body: unknown
  set(headers: Record<string, string>): void
}

/** A middleware of Koa, for apps of any state and context. */
export type KoaMiddleware = <Context extends KoaContext>(
  context: Context,
  next: () => Promise<unknown>,
) => Promise<void>

/**
 * Serves a handler of `headgate/http` by Koa: for `app.use`, or under `koa-mount`. `OPTIONS` and what is not under
 * the base path go on to the next middleware; `OPTIONS` that nobody answers are answered with 405. Bodies are not read, so
 * it does not matter whether a parser came before. `authorize` sees Koa's context as `native`.
 */
export function toKoaMiddleware(handler: JobsHandler): KoaMiddleware {
  return async (context, next) => {
    const url = coveredUrl(handler, context)
    if (url === undefined) return void (await next())
    if (context.method === 'OPTIONS') {
      await next()
      // Koa begins with 404: somebody has answered.
      if (context.status !== 404) return
    }
    const { status, headers, body } = await handler.answer(toJobsRequest(context, context.res, url))
    context.status = status
    context.body = typeof body === 'string' ? body : toReadable(body, context, context.res)
    // After the body, which sets a length and a type of its own.
    context.set(headers)
  }
}
