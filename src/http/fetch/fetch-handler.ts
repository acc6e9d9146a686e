import { toWebStream } from '../answers/index.js'
import { alreadyRead, answersEarly, collected, type JobsAnswer, type JobsRequest } from '../api/index.js'

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
    /** Whether a part of the body is still to come, once it has been read. */
    let isPending: boolean | undefined
    const readBody = async (maxBytes: number) => {
      isPending = true
      const received = await bodyOf(request, maxBytes)
      isPending = received !== undefined && received.length > maxBytes
      return received
    }
    const answer = await served.answer({
      method,
      url,
      headers: headersOf(request),
      native: request,
      signal: request.signal,
      get body() {
        return request.body ? readBody : undefined
      },
    })
    const { body, status } = answer
    const isEarly = answersEarly(status) && (isPending ?? (request.body !== null && !request.bodyUsed))
    // A kept-alive connection would keep the server from closing until its idle timeout.
    const isLast = typeof body === 'string' ? isEarly : body.isEndless
    const headers = isLast ? { ...answer.headers, connection: 'close' } : answer.headers
    if (typeof body === 'string') return new Response(body || null, { ...answer, headers })
    return new Response(toWebStream(body), { ...answer, headers })
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
