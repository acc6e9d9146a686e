import { once } from 'node:events'
import { request as requestHttp } from 'node:http'
import { connect, constants } from 'node:http2'
import type { Readable } from 'node:stream'
import { onTestFinished } from 'vitest'

export interface Sent {
  method?: string
  headers?: Record<string, string>
  body?: string
  /** Whether an HTTP/1.1 request names the whole URL, as to a proxy. */
  isAbsolute?: boolean
}

export interface Answered {
  status: number
  headers: Headers
  text: string
}

/** An answer of which the body is still to come. */
export interface Opened {
  status: number
  headers: Headers
  body: Readable
}

/** A call under way. */
export interface Call {
  opened: Promise<Opened>
  /** Goes away, whether or not there is an answer. */
  leave(): void
}

/** Sends a request to wherever a handler is served, and reads the answer. The path is sent as it is given. */
export interface Send {
  (path: string, sent?: Sent): Promise<Answered>
  /** Sends a request, and leaves the rest to the caller. */
  begin(path: string, sent?: Sent): Call
}

/** Sends over HTTP/1.1. */
export function sendTo(port: number, prefix = ''): Send {
  return sendBy((path, { method = 'GET', headers = {}, body, isAbsolute }) => {
    const origin = isAbsolute ? `http://127.0.0.1:${port}` : ''
    const request = requestHttp({ port, host: '127.0.0.1', path: origin + prefix + path, method, headers })
    request.end(body)
    const opened = once(request, 'response').then(([response]) => ({
      status: response.statusCode,
      headers: new Headers(response.headers),
      body: response,
    }))
    // Whoever leaves does not wait for the answer.
    request.on('error', () => {})
    return { opened, leave: () => request.destroy() }
  })
}

/** Sends over HTTP/2, without TLS. */
export function sendOverHttp2(port: number, prefix = ''): Send {
  const session = connect(`http://127.0.0.1:${port}`)
  onTestFinished(() => session.destroy())
  return sendBy((path, { method = 'GET', headers = {}, body }) => {
    const stream = session.request({ ':method': method, ':path': prefix + path, ...headers }, { endStream: false })
    stream.end(body)
    const opened = once(stream, 'response').then(([{ ':status': status, ...answered }]) => ({
      status,
      headers: new Headers(Object.entries(answered) as [string, string][]),
      body: stream,
    }))
    stream.on('error', () => {})
    return { opened, leave: () => stream.close(constants.NGHTTP2_CANCEL) }
  })
}

/** Sends in a way of its own. */
export function sendBy(begin: (path: string, sent: Sent) => Call): Send {
  const send = async (path: string, sent: Sent = {}) => {
    const { status, headers, body } = await begin(path, sent).opened
    let text = ''
    for await (const chunk of body.setEncoding('utf8')) text += chunk
    return { status, headers, text }
  }
  return Object.assign(send, { begin: (path: string, sent: Sent = {}) => begin(path, sent) })
}
