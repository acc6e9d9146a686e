import { toWebStream } from './answers/index.js'
import {
  alreadyRead,
  checkHandlerOptions,
  collected,
  defaultBasePath,
  type JobsAnswer,
  JobsApi,
  type JobsHandlerOptions,
  type JobsRequest,
  type ServedRegistry,
} from './api/index.js'

export type { WireError, WireErrorType, WireHit, WireHits, WireJob, WireStatus } from '../wire/index.js'
export type { TextStream } from './answers/index.js'
export type {
  Authorize,
  JobsAction,
  JobsAnswer,
  JobsHandlerOptions,
  JobsRequest,
  NamedJob,
  Refusal,
  ServedRegistry,
} from './api/index.js'

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

/**
 * Creates the HTTP API of a registry. Pass the handler to a server that uses fetch, or to a mount such as
 * `toNodeHandler` of `headgate/http/node`. Throws `invalid_options`.
 */
export function createJobsHandler(registry: ServedRegistry, options: JobsHandlerOptions = {}): JobsHandler {
  checkHandlerOptions(registry, options)
  const api = new JobsApi(registry, options)
  const handle = async (request: Request): Promise<Response> => {
    const { method, url } = request
    const answer = await api.answer({
      method,
      url,
      headers: headersOf(request),
      native: request,
      signal: request.signal,
      body: (maxBytes) => bodyOf(request, maxBytes),
    })
    const { body } = answer
    if (typeof body === 'string') return new Response(body || null, answer)
    // A kept-alive connection would keep the server from closing until its idle timeout.
    const headers = body.isEndless ? { ...answer.headers, connection: 'close' } : answer.headers
    return new Response(toWebStream(body), { ...answer, headers })
  }
  return Object.assign(handle, {
    answer: (request: JobsRequest) => api.answer(request),
    covers: (url: string) => api.covers(url),
    endStreams: () => api.endStreams(),
    basePath: options.basePath ?? defaultBasePath,
  })
}

/** The headers of a web request. A request without a `Host` gets the host of its URL. */
function headersOf({ url, headers }: Request): JobsRequest['headers'] {
  return { get: (name) => headers.get(name) ?? (name.toLowerCase() === 'host' ? new URL(url).host : null) }
}

/** The bytes of a web request, unless a middleware has read them. */
async function bodyOf({ body, bodyUsed }: Request, maxBytes: number): Promise<Uint8Array | undefined> {
  if (!body) return undefined
  if (bodyUsed) throw alreadyRead()
  return collected(piecesOf(body), maxBytes)
}

/** Not every runtime iterates a stream. */
async function* piecesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = body.getReader()
  try {
    for (let read = await reader.read(); read.value; read = await reader.read()) yield read.value
  } finally {
    // A server may close the connection of a body that is cancelled, before the answer is sent.
    reader.releaseLock()
  }
}
