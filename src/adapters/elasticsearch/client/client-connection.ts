import type { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { JobError } from '../../../adapter.js'
import {
  type Answer,
  type Connection,
  isUnsent,
  NoAnswer,
  readAnswer,
  retryAfterOf,
  type ServerRequest,
} from './connection.js'
import type { SearchClient } from './connection-options.js'

/** Requests over a client of the caller, which stays open. The client neither parses an answer nor sends a request again. */
export class ClientConnection implements Connection {
  readonly #client: SearchClient
  readonly #timeout: number | undefined

  constructor(client: SearchClient, timeout: number | undefined) {
    this.#client = client
    this.#timeout = timeout
  }

  async request({ method, path, query = {}, body, isBulk, signal }: ServerRequest): Promise<Answer> {
    signal.throwIfAborted()
    const content = body === undefined ? {} : isBulk ? { bulkBody: body } : { body: String(body) }
    const given = {
      ...{ asStream: true, meta: true, maxRetries: 0, signal, headers: { accept: 'application/json' } },
      ...(this.#timeout !== undefined && { requestTimeout: this.#timeout }),
    }
    try {
      const answer = await this.#client.transport.request({ method, path, querystring: query, ...content }, given)
      return await answerOf(answer)
    } catch (error) {
      if (signal.aborted) throw signal.reason
      // Clients throw for bad answers where they are not asked for a stream.
      const known = await answerOf((error as { meta?: unknown } | null)?.meta).catch(() => undefined)
      if (known) return known
      if (error instanceof NoAnswer || JobError.isInstance(error)) throw error
      throw new NoAnswer('The client got no answer.', !isUnsent(error), { cause: error })
    }
  }

  close(): void {}
}

/** The answer in the form of both clients. */
async function answerOf(given: unknown): Promise<Answer> {
  const { statusCode, headers, body } = Object(given) as { statusCode?: unknown; headers?: unknown; body?: unknown }
  // Clients give 0, or none, where there was no answer.
  if (typeof statusCode !== 'number' || statusCode < 100) {
    throw new JobError(
      'target',
      'Expected `transport.request` of the client to resolve with an answer that has a `statusCode`.',
    )
  }
  const { 'retry-after': wait, 'content-encoding': encoding } = Object(headers) as Record<string, unknown>
  return { status: statusCode, retryAfter: retryAfterOf(wait), body: await bytesOf(body, encoding) }
}

async function bytesOf(body: unknown, encoding: unknown): Promise<Buffer> {
  if (typeof body === 'string') return Buffer.from(body)
  if (Buffer.isBuffer(body)) return body
  if (typeof Object(body)[Symbol.asyncIterator] !== 'function') return Buffer.from(JSON.stringify(body ?? null))
  const stream = body as Readable
  try {
    return await readAnswer(encoding === 'gzip' ? stream.pipe(createGunzip()) : stream)
  } catch (error) {
    throw error instanceof NoAnswer ? error : new NoAnswer('The answer was cut.', true, { cause: error })
  }
}
