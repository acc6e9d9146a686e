import { checkOptions, invalid, rule, untilAborted } from '../../adapter.js'
import { type Clock, JobError } from '../../index.js'
import { errorBody, type WireError, type WireErrorType } from '../../wire/index.js'
import { isDeclaredTooLong, isTooLong, maxBody } from './body-size.js'
import type { Parameters } from './parameters.js'

/** How long a body may take to arrive, in milliseconds. */
const longestBody = 10_000

/** The fields of a body, or the error that refuses it. */
export type BodyRead = { readonly fields: Record<string, unknown> } | { readonly refusal: WireError }

/** A request with a body, as far as it is read here. */
interface SentRequest {
  readonly headers: { get(name: string): string | null }
  readonly body?: ((maxBytes: number) => Promise<unknown>) | undefined
}

/**
 * Reads the body of a request: a JSON object with some of the given fields, or nothing. A parser of the server may have read it before.
 * Throws `invalid_options`, and the reason of `closed` when that aborts first.
 */
export function readBody(
  { body, headers }: SentRequest,
  names: readonly string[],
  parameters: Parameters,
  clock: Clock,
  closed?: AbortSignal,
): BodyRead | Promise<BodyRead> {
  if (!body) return { fields: {} }
  if (isDeclaredTooLong({ headers })) return tooLong()
  return bodyInTime(untilAborted(body(maxBody), closed), clock).then((received) => {
    const read = fieldsIn(received, headers)
    if ('fields' in read) checkFields(read.fields, names, parameters)
    return read
  })
}

/** The longest body that says nothing, `{}`, in bytes. */
const longestEmpty = 2

/**
 * Throws `invalid_options` for a request with a body, when the call reads its values from the query only. Waits for a body only when
 * its headers do not tell that it is too long, and throws the reason of `closed` when that aborts first.
 */
export async function refuseBody(
  { body, headers }: SentRequest,
  parameters: Parameters,
  clock: Clock,
  closed?: AbortSignal,
): Promise<void> {
  const isLong = Number(headers.get('content-length') ?? 0) > longestEmpty
  if (!isLong && saysNothing(body && (await bodyInTime(untilAborted(body(longestEmpty), closed), clock)))) return
  const names = Object.values(parameters).map(({ name }) => `\`${name}\``)
  const rest = names.length > 0 ? `send ${names.join(', ')} in the query` : 'it takes no values'
  throw unreadable(`Expected the body of the call to be empty: ${rest}.`)
}

function saysNothing(received: unknown): boolean {
  return isEmpty(received) || (received instanceof Uint8Array ? new TextDecoder().decode(received) : received) === '{}'
}

function fieldsIn(received: unknown, headers: SentRequest['headers']): BodyRead {
  const isText = typeof received === 'string' || received instanceof Uint8Array
  if (isText && isTooLong(received)) return tooLong()
  if (isEmpty(received)) return { fields: {} }
  const type = headers.get('content-type')
  if (!/^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i.test(type ?? '')) {
    const got = type === null ? 'none' : `\`${type.slice(0, 100)}\``
    return refuse(
      'unsupported_media_type',
      `Expected the \`content-type\` of the body to be application/json, got ${got}.`,
    )
  }
  if (isText && (headers.get('content-encoding') ?? 'identity') !== 'identity') {
    return refuse('unsupported_media_type', 'Expected a body without a `content-encoding`.')
  }
  if (!isText && isTooLong(received)) return tooLong()
  const value = isText ? parsed(received) : received
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('body', 'an object', value)
  return { fields: value as Record<string, unknown> }
}

const anything = rule.optional({ accepts: () => true, expected: 'anything' })

function checkFields(fields: Record<string, unknown>, names: readonly string[], parameters: Parameters): void {
  const misplaced = Object.values(parameters).find(({ name }) => Object.hasOwn(fields, name))
  if (misplaced && !names.includes(misplaced.name)) {
    throw unreadable(`Expected \`${misplaced.name}\` in the query of the call, not in its body.`)
  }
  checkOptions('body', fields, Object.fromEntries(names.map((name) => [name, anything])))
  refuseRounded('params', fields.params)
}

/** Throws `invalid_options` for an integer that JSON has rounded: a job would run for another customer, say. */
function refuseRounded(field: string, value: unknown): void {
  const rest: [name: string, value: unknown][] = [[field, value]]
  for (let next = rest.pop(); next; next = rest.pop()) {
    const [name, found] = next
    if (Number.isInteger(found) && !Number.isSafeInteger(found)) {
      throw invalid(name, 'a number that JSON keeps, or its digits as text', found)
    }
    if (typeof found !== 'object' || found === null) continue
    for (const [key, item] of Object.entries(found)) rest.push([`${name}.${key}`, item])
  }
}

/** The body. Throws `invalid_options` when it takes too long to arrive, or its connection breaks. */
export function bodyInTime<Body>(reading: Promise<Body>, clock: Clock): Promise<Body> {
  return new Promise((resolve, reject) => {
    const late = () => reject(unreadable(`The body of the request did not arrive within ${longestBody} ms.`))
    const timer = clock.setTimer(longestBody, late, { background: true })
    reading
      .then(resolve, (cause) => {
        reject(JobError.isInstance(cause) ? cause : unreadable('The body of the request could not be read.', cause))
      })
      .finally(() => timer.cancel())
  })
}

function parsed(received: string | Uint8Array): unknown {
  try {
    return JSON.parse(typeof received === 'string' ? received : utf8.decode(received))
  } catch (cause) {
    throw unreadable(`Expected the body to be JSON in UTF-8${positionIn(cause)}.`, cause)
  }
}

/** Where JSON breaks, without the text that is there. */
function positionIn(error: unknown): string {
  const [, position] = /at position (\d{1,10})/.exec(String(Object(error).message)) ?? []
  return position === undefined ? '' : `, which breaks at character ${Number(position) + 1}`
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** Whether there is no body. Parsers make an empty object of none. */
function isEmpty(received: unknown): boolean {
  if (typeof received === 'string' || received instanceof Uint8Array) return received.length === 0
  if (typeof received !== 'object' || received === null) return received === undefined || received === null
  if (Array.isArray(received)) return false
  // A parser may have made an object of a million names.
  for (const name in received) if (Object.hasOwn(received, name)) return false
  return true
}

function unreadable(message: string, cause?: unknown): JobError {
  return new JobError('invalid_options', message, { cause, isTransient: false })
}

/** The error for a body that was read before, and not passed on. */
export function alreadyRead(): JobError {
  return unreadable(
    'A middleware has read the body of the request, and did not pass it on. Pass the request before it is read, or with a parsed `body`.',
  )
}

/** The error for a body that is too long. */
export function bodyTooLong(): WireError {
  return errorBody('payload_too_large', `Expected the body to have up to ${maxBody} bytes.`)
}

function tooLong(): BodyRead {
  return { refusal: bodyTooLong() }
}

function refuse(type: WireErrorType, reason: string): BodyRead {
  return { refusal: errorBody(type, reason) }
}

/** Collects pieces of a body up to a limit. The result is longer than the limit if the body is. */
export async function collected(pieces: AsyncIterable<Uint8Array | string>, limit: number): Promise<Uint8Array> {
  const kept: Uint8Array[] = []
  let length = 0
  for await (const piece of pieces) {
    const bytes = typeof piece === 'string' ? encoder.encode(piece) : piece
    kept.push(bytes)
    length += bytes.length
    if (length > limit) break
  }
  const all = new Uint8Array(length)
  let at = 0
  for (const bytes of kept) {
    all.set(bytes, at)
    at += bytes.length
  }
  return all
}

const encoder = new TextEncoder()
