import { JobError } from '../../../adapter.js'
import type { Answer } from './connection.js'

/** Maximum length of what a message repeats of an answer, in characters. */
const maxShown = 500

/** Why the server did not do what it was asked for. */
export interface Failure {
  /** The type of the error, such as `mapper_parsing_exception`. Empty when the answer has none. */
  readonly type: string
  readonly reason: string
}

/** The value of an answer in JSON. Throws when it is something else, such as the page of a proxy. */
export function jsonOf(
  { status, body }: Pick<Answer, 'status' | 'body'>,
  parse: (text: string) => unknown = JSON.parse,
): unknown {
  try {
    return parse(body.toString('utf8'))
  } catch (cause) {
    const start = body
      .toString('utf8', 0, maxShown * 4)
      .replace(/\s+/g, ' ')
      .trim()
    const shown = start.trim() === '' ? 'nothing' : `\`${shortened(start)}\``
    throw new JobError(
      'target',
      `Expected an answer in JSON, got ${shown} with the status ${status}. Is something between?`,
      {
        cause,
        isTransient: false,
      },
    )
  }
}

/** What an answer, or an item of one, says of its failure. */
export function failureIn(error: unknown): Failure {
  if (typeof error === 'string') return { type: '', reason: shortened(error) }
  const { type, reason, caused_by: cause } = Object(error) as Record<string, unknown>
  const own = typeof reason === 'string' ? reason : ''
  const inner = cause === undefined ? '' : failureIn(cause).reason
  const text = inner && !own.includes(inner) ? `${own}: ${inner}` : own
  return { type: typeof type === 'string' ? shortened(type) : '', reason: shortened(text) }
}

/** What a bad answer says. Any text that is no JSON is a reason too. */
export function failureOf(answer: Answer): Failure {
  try {
    return failureIn((Object(jsonOf(answer)) as { error?: unknown }).error)
  } catch (error) {
    return { type: '', reason: (error as Error).message }
  }
}

/** The error for a bad answer. */
export function refusal(answer: Answer): JobError {
  const { status } = answer
  const { type, reason } = failureOf(answer)
  const hint = status === 401 ? ' Check `auth`.' : status === 403 ? ' The user lacks a right.' : ''
  const text = [type, reason].filter((part) => part !== '').join(': ') || 'no reason'
  return new JobError('target', `The server answered with the status ${status}: ${text}.${hint}`.replace('..', '.'), {
    isTransient: isBusy(status, type),
  })
}

/** The disk of the server is full, for example. */
const blocked = 'cluster_block_exception'

/** What the server answers with the status 500 for a request that never succeeds. */
const hopeless = 'illegal_state_exception'

/** Whether the same request may succeed later: the server is busy, starts, or its disk is full. */
export function isBusy(status: number, type: string): boolean {
  return status === 429 || (status >= 500 && type !== hopeless) || type === blocked
}

function shortened(given: string): string {
  const text = given.replace(/\s+/g, ' ').trim()
  return text.length > maxShown ? `${text.slice(0, maxShown)}…` : text
}
