import { JobError } from '../../../adapter.js'
import { connect } from './connect.js'
import { type Answer, AnswerTooLong, type Connection, NoAnswer, type ServerRequest } from './connection.js'
import type { ConnectionOptions } from './connection-options.js'
import { failureOf, isBusy, jsonOf, refusal } from './failure.js'
import { Patience } from './retry.js'

/** A request whose answer is JSON. */
export interface Question extends Omit<ServerRequest, 'signal' | 'body'> {
  /** What JSON is made of, or JSON. */
  readonly body?: unknown
  /** Parses the JSON of a good answer. Default: as JavaScript does. */
  parse?(text: string): unknown
  /** Statuses besides the good ones that are an answer: `undefined` stands for them. Default: none. */
  readonly none?: number
  /** Whether to send the request again when it got no answer. Default `true`. */
  readonly isRepeatable?: boolean
}

/** How long a server that is busy or away is asked again by default, in milliseconds. */
const defaultRetryTimeout = 120_000

/** A server, and how long to wait for it. */
export class SearchServer {
  readonly connection: Connection
  readonly retryTimeout: number
  readonly signal: AbortSignal

  constructor(connection: Connection, retryTimeout: number, signal: AbortSignal) {
    this.connection = connection
    this.retryTimeout = retryTimeout
    this.signal = signal
  }

  /** Opens a connection of its own. */
  static open(options: ConnectionOptions & { retryTimeout?: number }, signal: AbortSignal): SearchServer {
    return new SearchServer(connect(options), options.retryTimeout ?? defaultRetryTimeout, signal)
  }

  /** The same server for work that ends after the signal, such as a clean-up. */
  withSignal(signal: AbortSignal): SearchServer {
    return new SearchServer(this.connection, this.retryTimeout, signal)
  }

  /** The JSON of a good answer. Tries again while the server is busy or cannot be reached. */
  async ask(question: Question): Promise<unknown> {
    const { none, isRepeatable = true, body, parse, ...request } = question
    const text = body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }
    const patience = new Patience(this.retryTimeout, this.signal)
    for (;;) {
      const answer = await this.#answerTo({ ...request, ...text, signal: this.signal }, patience, isRepeatable)
      if (!answer) continue
      const { status } = answer
      if (status === none) return undefined
      if (status >= 200 && status < 300) return request.method === 'HEAD' ? {} : jsonOf(answer, parse)
      if (!isBusy(status, failureOf(answer).type)) throw refusal(answer)
      await patience.wait(refusal(answer), answer.retryAfter)
    }
  }

  /** `undefined` when there was none, and there may be one. */
  async #answerTo(request: ServerRequest, patience: Patience, isRepeatable: boolean): Promise<Answer | undefined> {
    try {
      return await this.connection.request(request)
    } catch (error) {
      if (!(error instanceof NoAnswer) || (error.mayBeDone && !isRepeatable)) throw error
      // The same answer would be too long again.
      if (error instanceof AnswerTooLong) throw error
      await patience.wait(error)
      return undefined
    }
  }
}

/** An object of an answer. Throws when it is none. */
export function objectIn(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new JobError('target', `Expected the server to answer with an object for ${what}.`)
}

/** A whole number of an answer. Throws when it is none. */
export function countIn(value: unknown, what: string): number {
  const { count } = objectIn(value, what)
  if (Number.isSafeInteger(count) && (count as number) >= 0) return count as number
  throw new JobError('target', `Expected the server to answer with a count for ${what}.`)
}
