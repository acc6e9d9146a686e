import { type Clock, JobError, sleep, untilAborted } from '../core/base/index.js'
import { backoff } from '../core/model/index.js'
import { fromEntry, hasEnded, type LoggedStatus } from '../wire/index.js'
import { type Asked, isAbout, isEntry } from './answers.js'
import type { Connection } from './connection.js'
import { parseJson } from './parse-json.js'
import { type Message, messagesOf } from './sse-parser.js'

/** How long a stream may be silent before the client reconnects, in milliseconds. The server sends heartbeats. */
const longestSilence = 60_000

/** Maximum waits before the first retry and before any retry, in milliseconds. */
const waits = { delay: 500, maxDelay: 10_000 }

/** How many ended executions are remembered. The server may send an end twice. */
const maxRemembered = 10_000

/** The options of {@link follow}. */
export interface FollowOptions {
  readonly connection: Connection
  readonly clock: Clock
  readonly query: Asked & object
  readonly signal: AbortSignal | undefined
}

/**
 * Yields the events of a server, for as long as the caller iterates. Reconnects after a lost connection, and yields the ends that it
 * missed. Yields `connected` when no later change will be missed, and `gap` when the server can no longer send some ends. Throws the
 * error of the first connection, and later errors that are not transient.
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
        // Later servers may send other named events.
        else if (event === undefined && data !== undefined) {
          const status = toStatus(data, options.query)
          if (!hasEnded(status) || isFirst(ended, status.executionId)) yield status
        }
        // A header cannot hold other ids.
        if (id !== undefined && isToken(id)) lastEventId = id
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

/** The messages of one connection, until it ends. */
async function* connect(
  { connection, clock, query, signal }: FollowOptions,
  lastEventId: string | undefined,
): AsyncGenerator<Message> {
  const over = new AbortController()
  /** Waits for the server within `longestSilence`. */
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

/** Whether a header can hold an id: up to 1,000 printable ASCII characters. */
function isToken(id: string): boolean {
  return /^[\x20-\x7e]{0,1000}$/.test(id)
}

function lost(message: string, cause?: unknown): JobError {
  return new JobError('server', message, { cause, isTransient: true })
}

function toStatus(data: string, asked: Asked): LoggedStatus {
  let cause: unknown
  try {
    const entry: unknown = parseJson(data)
    if (isEntry(entry) && isAbout(asked, entry)) return fromEntry(entry)
  } catch (error) {
    cause = error
  }
  throw new JobError('server', 'The server sent an invalid event.', { cause })
}

function isFirst(ended: Set<string>, executionId: string): boolean {
  if (ended.has(executionId)) return false
  ended.add(executionId)
  const [oldest = ''] = ended
  if (ended.size > maxRemembered) ended.delete(oldest)
  return true
}
