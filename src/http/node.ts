import { pipeline } from 'node:stream'
import { coveredUrl, type NodeConnection, type NodeRequest, toJobsRequest, toReadable } from './_node-request.js'
import type { JobsHandler } from './handler.js'

export type { NodeRequest } from './_node-request.js'

/** What is used of node's response. */
export interface NodeResponse extends NodeConnection {
  headersSent: boolean
  writeHead(status: number, headers: Record<string, string>): unknown
  end(body: string): unknown
}

/** A listener of servers of `node:http` and `node:http2`, and a middleware of Connect and Express. */
export type NodeHandler = (request: NodeRequest, response: NodeResponse, next?: (error?: unknown) => void) => void

/**
 * Serves a handler of `headgate/http` by `node:http`, by the compatibility API of `node:http2`, or as middleware of
 * Connect. As a middleware it passes on `OPTIONS` and what is not under the base path; mounted on a sub-path, it goes by the
 * address that came if the base path is under that path too, and else by the rest of the address. Bodies are not read.
 */
export function toNodeHandler(handler: JobsHandler): NodeHandler {
  const serve = async (request: NodeRequest, response: NodeResponse, url: string, next?: (error: unknown) => void) => {
    try {
      const { status, headers, body } = await handler.answer(toJobsRequest(request, response, url))
      // Somebody before has given up waiting and answered.
      if (response.headersSent) return
      // Before the headers, which say whether the connection is kept.
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

/** A client that went away is no error, and the pipeline has ended both sides by now. */
function leave(): void {}
