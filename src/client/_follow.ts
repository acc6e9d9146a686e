import { type Clock, sleep } from '../core/clock.js'
import { JobError } from '../core/errors.js'
import { backoff } from '../core/retry-policy.js'
import { fromEntry, hasEnded, type LoggedStatus } from '../http/wire-bodies.js'
import { isEntry } from './_answers.js'
import { type Connection, untilAborted } from './_connection.js'
import { type Message, messagesOf } from './_messages.js'

/** How long a stream may be silent before it is taken for dead, in milliseconds: a server gives signs of life. */
const longestSilence = 60_000

/** How long to wait for a new try at most: before the first one, and before any, in milliseconds. */
const waits = { delay: 500, maxDelay: 10_000 }

/** So many ends are remembered, as a server may tell them again. */
const maxRemembered = 10_000

/** What a {@link follow} is of. */
export interface FollowOptions {
  readonly connection: Connection
  readonly clock: Clock
  readonly query: object
  readonly signal: AbortSignal | undefined
}

/**
 * The events of a server, for as long as they are taken: a connection that is lost is made again, and what ended meanwhile
 * is told. Gives `connected` whenever all that follows will be told, and `gap` when ends may be missing that the server cannot
 * tell any more. Throws what the first connection met, and later what another try cannot mend.
 */
export async function* follow(options: FollowOptions): AsyncGenerator<LoggedStatus | 'connected' | 'gap', never> {
  const { clock, signal } = options
  const ended = new Set<string>()
  let lastEventId: string | undefined
  for (let failures = 0; ; failures++) {
    if (failures > 0) await sleep(clock, backoff(failures, waits), signal)
    signal?.throwIfAborted()
    try {
      let isNew = true
      for await (const { event, id, data } of connect(options, lastEventId)) {
        failures = 0
        if (event === 'gap') yield 'gap'
        // What else may be told by name is not known yet.
        else if (event === undefined && data !== undefined) {
          const status = toStatus(data)
          if (!hasEnded(status) || isFirst(ended, status.executionId)) yield status
        }
        lastEventId = id ?? lastEventId
        if (isNew && id !== undefined) yield 'connected'
        isNew &&= id === undefined
      }
      if (lastEventId === undefined) throw lost('The stream of events was over before it began.')
    } catch (error) {
      signal?.throwIfAborted()
      if (lastEventId === undefined || !(error as JobError).isTransient) throw error
    }
  }
}

/** One connection: its messages, until it is lost, or ended by the server. */
async function* connect(
  { connection, clock, query, signal }: FollowOptions,
  lastEventId: string | undefined,
): AsyncGenerator<Message> {
  const over = new AbortController()
  /** Waits for the server, but not for ever. */
  const heard = async <Answer>(answer: Promise<Answer>): Promise<Answer> => {
    const timer = clock.setTimer(longestSilence, () => over.abort(lost('The server fell silent.')), {
      background: true,
    })
    try {
      return await answer
    } finally {
      timer.cancel()
    }
  }
  try {
    const call = {
      path: ['_events'],
      query,
      headers: { accept: 'text/event-stream', ...(lastEventId !== undefined && { 'last-event-id': lastEventId }) },
      signal: signal ? AbortSignal.any([signal, over.signal]) : over.signal,
    }
    const reader = (await heard(connection.open(call))).getReader()
    const read = async () => {
      const { value } = await heard(untilAborted(reader.read(), call.signal))
      return value
    }
    try {
      yield* messagesOf(read)
    } finally {
      reader.cancel().catch(() => {})
    }
  } catch (cause) {
    throw JobError.isInstance(cause) ? cause : lost('The connection to the server was lost.', cause)
  } finally {
    over.abort()
  }
}

function lost(message: string, cause?: unknown): JobError {
  return new JobError('server', message, { cause, isTransient: true })
}

function toStatus(data: string): LoggedStatus {
  let cause: unknown
  try {
    const entry: unknown = JSON.parse(data)
    if (isEntry(entry)) return fromEntry(entry)
  } catch (error) {
    cause = error
  }
  throw new JobError('server', 'The server told of something that is no event.', { cause })
}

function isFirst(ended: Set<string>, executionId: string): boolean {
  if (ended.has(executionId)) return false
  ended.add(executionId)
  const [oldest = ''] = ended
  if (ended.size > maxRemembered) ended.delete(oldest)
  return true
}
