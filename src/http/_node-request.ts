import type { JobsHandler, JobsRequest } from './handler.js'

/** What is used of the request of node and of frameworks on it. Some remember the address that came. */
export interface NodeRequest {
  method?: string | undefined
  url?: string | undefined
  originalUrl?: string | undefined
  headers: Record<string, string | string[] | undefined>
}

/** The address that a handler covers: the rest that a mount on a path leaves, or else the one that came. */
export function coveredUrl(handler: JobsHandler, { url = '', originalUrl = url }: NodeRequest): string | undefined {
  return [url, originalUrl].find(handler.covers)
}

/** A request of node as a handler takes it. */
export function toJobsRequest(request: NodeRequest, url: string, native: unknown = request): JobsRequest {
  const { method = 'GET', headers } = request
  return { method, url, headers: { get: (name) => headerOf(headers, name.toLowerCase()) }, native }
}

function headerOf(headers: NodeRequest['headers'], key: string): string | null {
  const value = Object.hasOwn(headers, key) ? headers[key] : undefined
  return value === undefined ? null : String(value)
}
