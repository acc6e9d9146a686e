import type { JobsHandler } from '../index.js'
import { type NodeRequest, type NodeResponse, toNodeHandler } from './node.js'

/** An Express middleware. */
export type ExpressMiddleware = (request: NodeRequest, response: NodeResponse, next: (error?: unknown) => void) => void

/**
 * Serves a handler of `headgate/http` in Express, for `app.use` with or without a path. `OPTIONS` and requests
 * outside of the base path go to the next middleware. A body parser may run before.
 * `authorize` gets the Express request as `native`. Throws `invalid_options`.
 */
export function toExpressMiddleware(handler: JobsHandler): ExpressMiddleware {
  return toNodeHandler(handler)
}
