import type { JobsHandler } from './handler.js'
import { type NodeRequest, type NodeResponse, toNodeHandler } from './node.js'

/** A middleware of Express. */
export type ExpressMiddleware = (request: NodeRequest, response: NodeResponse, next: (error?: unknown) => void) => void

/**
 * Serves a handler of `headgate/http` by Express: for `app.use`, with or without a path. `OPTIONS` and what is not under the
 * base path go on to the next middleware. Bodies are not read, so it does not matter whether a parser came before. `authorize`
 * sees Express' request as `native`.
 */
export function toExpressMiddleware(handler: JobsHandler): ExpressMiddleware {
  return toNodeHandler(handler)
}
