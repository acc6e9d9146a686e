import { pipeline } from 'node:stream'
import { checkHandler } from '../api/index.js'
import type { JobsHandler } from '../index.js'
import { answerOf, coveredUrl, type NodeConnection, type NodeRequest, toReadable } from './node-request.js'

export type { NodeRequest } from './node-request.js'

/** The part of Node's response that headgate uses. */
export interface NodeResponse extends NodeConnection {
  headersSent: boolean
  writeHead(status: number, headers: Record<string, string>): unknown
  end(body: string): unknown
}

/** A listener for servers of `node:http` and `node:http2`, and a middleware for Connect and Express. */
export type NodeHandler = (request: NodeRequest, response: NodeResponse, next?: (error?: unknown) => void) => void

/**
 * Serves a handler of `headgate/http` in `node:http`, in the compatibility API of `node:http2`, or as a Connect
 * middleware. As a middleware, it passes on `OPTIONS` and requests outside of the base path. On a mount path, it uses
 * the original URL when the base path is under that path, otherwise the rest of the URL. A body parser may run before. Throws
 * `invalid_options`.
 */
export function toNodeHandler(handler: JobsHandler): NodeHandler {
  checkHandler(handler)
  const serve = async (request: NodeRequest, response: NodeResponse, url: string, next?: (error: unknown) => void) => {
    try {
      const { status, headers, body } = await answerOf(handler, request, response, url)
      // An earlier middleware, such as one with a timeout, has answered.
      if (response.headersSent) return
      // Before the headers, which say whether the connection stays open.
      const stream = typeof body === 'string' ? undefined : toReadable(body, request, response)
      response.writeHead(status, headers)
      if (stream) pipeline(stream, response as unknown as NodeJS.WritableStream, leave)
      else response.end(String(body))
    } catch (error) {
      if (next) next(error)
      else response.destroy()
    }
  }
  return (request, response, next) => {
    const isMounted = next !== undefined || request.originalUrl !== undefined
    const covered = isMounted ? coveredUrl(handler, request) : request.url
    if (next && (covered === undefined || request.method === 'OPTIONS')) return next()
    void serve(request, response, covered ?? request.url ?? '', next)
  }
}

/** A disconnected client is no error. The pipeline has ended both sides. */
function leave(): void {}
