import { JobError, type Query } from '../../../adapter.js'
import { placeholderHint } from '../../shared/index.js'
import { type CallbackPool, connect, failure, isConnectionLost, passing } from '../client/index.js'
import { ReadSession, type SessionTimeouts } from './read-session.js'

/** How many broken idle connections a pool may hold without having noticed. */
const maxBroken = 10

/** Opens a session on a working connection. A connection that proves broken before it did anything is skipped. */
export async function openSession(
  pool: CallbackPool,
  signal: AbortSignal,
  timeouts: SessionTimeouts,
  statements: readonly string[],
): Promise<ReadSession> {
  for (let broken = 0; ; broken++) {
    const connection = await connect(pool, signal, connectionFailure)
    const session = new ReadSession(connection, signal, timeouts)
    try {
      await session.begin(statements)
      return session
    } catch (error) {
      await session.release()
      if (signal.aborted) throw signal.reason
      if (!isConnectionLost(error) || broken === maxBroken) throw queryFailure(error)
    }
  }
}

function connectionFailure(cause: unknown): JobError {
  const attempt = new JobError('datasource', 'The connection attempt failed.', { cause, ...passing(cause) })
  return new JobError('datasource', `Failed to initialize pool: ${attempt.message}`, { cause: attempt })
}

/** The error of a failed query, as the job reports it. */
export function queryFailure(cause: unknown, query?: Query): JobError {
  const failed = failure('datasource', 'The query failed', cause, writes(cause) ? { isTransient: false } : {})
  const hint = query && isRefusedQuery(cause) ? placeholderHint(query) : ''
  return hint === '' ? failed : new JobError('datasource', `${failed.message}${hint}`, { cause })
}

/** Whether a query writes in the transaction of a read, which is read-only. */
function writes(cause: unknown): boolean {
  return Object(cause).errno === 1792
}

/** `ER_WRONG_ARGUMENTS`: a parameter has no value. */
const wrongArguments = 1210

/** Whether the server does not understand a query, or misses the value of a parameter. */
function isRefusedQuery(cause: unknown): boolean {
  const { errno, sqlState } = Object(cause) as { errno?: unknown; sqlState?: unknown }
  return errno === wrongArguments || /^42/.test(String(sqlState))
}
