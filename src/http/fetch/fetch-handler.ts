import { toWebStream } from '../answers/index.js'
import type { JobsAnswer, JobsRequest } from '../api/index.js'

/** The API as a fetch handler, with the methods that other mounts use. */
export interface JobsHandler {
  /** Answers a web request. Never rejects. */
  (request: Request): Promise<Response>
  /** Answers any request. Never rejects. */
  answer(request: JobsRequest): Promise<JobsAnswer>
  /** Whether a URL is under the base path. The handler answers others with 404. */
  covers(url: string): boolean
  /** Ends all event streams, so that a server can close. Their readers reconnect. */
  endStreams(): void
  /** The base path of all calls. */
  readonly basePath: string
}

/** What a handler serves: the API, or pages with it. */
export type Served = Pick<JobsHandler, 'answer' | 'covers' | 'endStreams'>

/** Makes a fetch handler, which the mounts use too. */
export function toFetchHandler(served: Served, basePath: string): JobsHandler {
  const handle = async (request: Request): Promise<Response> => {
    const { method, url } = request
    const headers = headersOf(request)
    const answer = await served.answer({ method, url, headers, native: request, signal: request.signal })
    const { body } = answer
    return new Response(typeof body === 'string' ? body || null : toWebStream(body), answer)
  }
  return Object.assign(handle, {
    answer: (request: JobsRequest) => served.answer(request),
    covers: (url: string) => served.covers(url),
    endStreams: () => served.endStreams(),
    basePath,
  })
}

/** The headers of a web request. A request without a `Host` gets the host of its URL. */
function headersOf({ url, headers }: Request): JobsRequest['headers'] {
  return { get: (name) => headers.get(name) ?? (name.toLowerCase() === 'host' ? new URL(url).host : null) }
}
