import { JobError } from '../../index.js'
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
  const handle = async (request: Request, ...rest: unknown[]): Promise<Response> => {
    if (!isWebRequest(request)) return misplaced(rest)
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

function isWebRequest(request: unknown): request is Request {
  return typeof Object(Object(request).headers).get === 'function'
}

/**
 * What a server gets that was given the handler itself, in place of a mount: an error in its own way, as it would wait for an answer for
 * ever.
 */
function misplaced([response, next]: unknown[]): Response {
  const error = new JobError('invalid_options', notMounted)
  const { end } = Object(response) as Partial<{ end(text: string): void }>
  if (typeof next === 'function') next(error)
  else if (typeof end === 'function')
    Object.assign(response as object, { statusCode: 500 }) && end.call(response, notMounted)
  else throw error
  return new Response(null, { status: 500 })
}

const notMounted =
  'Expected the handler of the jobs API to get a web `Request`. Mount it with `toExpressMiddleware`, `toFastifyPlugin`, `toKoaMiddleware` or ' +
  '`toNodeHandler`, such as `app.use(toExpressMiddleware(handler))`.'

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
