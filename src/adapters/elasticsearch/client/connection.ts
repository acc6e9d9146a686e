/** A request to the server. */
export interface ServerRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE'
  /** The path, without a prefix of the address, each part encoded. */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  /** JSON, or lines of JSON for a `_bulk`. */
  readonly body?: string | Buffer
  /** Whether the body is lines of JSON. Default `false`. */
  readonly isBulk?: boolean
  readonly signal: AbortSignal
}

/** What the server, or something between, has answered. */
export interface Answer {
  readonly status: number
  /** How long to wait before another try, in milliseconds, if the server says so. */
  readonly retryAfter: number | undefined
  readonly body: Buffer
}

/** How requests reach the server. */
export interface Connection {
  /** Resolves with the whole answer, whatever its status. Rejects with {@link NoAnswer}, or with the reason of the signal. */
  request(request: ServerRequest): Promise<Answer>
  /** Ends what the connection itself has opened. */
  close(): void
}

/** A request that got no answer, or a part of one. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer'
  readonly isTransient = true
  /** Whether the server may have done what it was asked for. */
  readonly mayBeDone: boolean

  constructor(message: string, mayBeDone: boolean, options?: ErrorOptions) {
    super(message, options)
    this.mayBeDone = mayBeDone
  }
}

/** Maximum size of an answer, in bytes. */
export const maxAnswer = 1 << 28

/** An answer that is longer than one may be. */
export class AnswerTooLong extends NoAnswer {
  constructor() {
    super(`The answer has more than ${maxAnswer} bytes.`, true)
  }
}

/** The header `retry-after` in milliseconds: a number of seconds, or a date. */
export function retryAfterOf(header: unknown): number | undefined {
  if (typeof header !== 'string' || header === '') return undefined
  const wait = /^\d{1,9}$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now()
  return Number.isNaN(wait) ? undefined : Math.max(0, wait)
}

/** Codes of errors that come before anything is sent. */
const unsent: ReadonlySet<unknown> = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'])

/** Whether a failed connection has sent nothing. */
export function isUnsent(error: unknown): boolean {
  for (let link = error, depth = 0; link instanceof Error && depth < 10; link = link.cause, depth++) {
    if (unsent.has((link as { code?: unknown }).code)) return true
    const { errors } = link as { errors?: unknown }
    if (Array.isArray(errors) && errors.length > 0 && errors.every(isUnsent)) return true
  }
  return false
}

/** Reads a stream up to its end. Throws {@link NoAnswer} when it is longer than an answer may be. */
export async function readAnswer(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of stream) {
    size += chunk.byteLength
    if (size > maxAnswer) throw new AnswerTooLong()
    chunks.push(chunk)
  }
  return chunks.length === 1 ? Buffer.from(chunks[0] as Uint8Array) : Buffer.concat(chunks)
}
