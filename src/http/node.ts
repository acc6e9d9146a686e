import type { JobsHandler } from './handler.js'

/** What is used of node's request, and of the requests of Connect and Express, which remember the address that came. */
export interface NodeRequest {
  method?: string | undefined
  url?: string | undefined
  originalUrl?: string | undefined
  headers: Record<string, string | string[] | undefined>
}

/** What is used of node's response. */
export interface NodeResponse {
  headersSent: boolean
  writeHead(status: number, headers: Record<string, string>): unknown
  end(body: string): unknown
  destroy(): unknown
}

/** A listener of `node:http` servers, and a middleware of Connect and Express. */
export type NodeHandler = (request: NodeRequest, response: NodeResponse, next?: (error?: unknown) => void) => void

/**
 * Serves a handler of `headgate/http` by `node:http`, Connect or Express. As a middleware it passes on what is not under
 * the base path; mounted on a sub-path, it goes by the rest of the address if that is under the base path, and else by
 * the address that came. Bodies are not read.
 */
export function toNodeHandler(handler: JobsHandler): NodeHandler {
  return (request, response, next) => {
    const { url = '', originalUrl = url } = request
    const covered = [url, originalUrl].find(handler.covers)
    if (covered === undefined && next) return next()
    const { method = 'GET' } = request
    const headers = { get: (name: string) => headerOf(request, name) }
    handler
      .answer({ method, url: covered ?? url, headers, native: request })
      .then(({ status, headers, body }) => {
        // Somebody before has given up waiting and answered.
        if (response.headersSent) return
        response.writeHead(status, headers)
        response.end(body)
      })
      .catch((error) => (next ? next(error) : response.destroy()))
  }
}

function headerOf({ headers }: NodeRequest, name: string): string | null {
  const key = name.toLowerCase()
  const value = Object.hasOwn(headers, key) ? headers[key] : undefined
  return value === undefined ? null : String(value)
}
