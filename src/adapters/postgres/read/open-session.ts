import { JobError } from '../../../adapter.js'
import { loadDriver } from '../../shared/index.js'
import {
  connect,
  connectionFailure,
  failure,
  isConnectionLost,
  isDataError,
  type PostgresPool,
} from '../client/index.js'
import { ReadSession, type SessionTimeouts } from './read-session.js'

/** How many broken idle connections a pool may hold without having noticed. */
const maxBroken = 10

/** Opens a session on a working connection. A connection that proves broken before it did anything is skipped. */
export async function openSession(
  pool: PostgresPool,
  signal: AbortSignal,
  timeouts: SessionTimeouts,
  settings: string,
): Promise<ReadSession> {
  const prepareValue = (await loadDriver('datasource', 'pg', () => import('pg/lib/utils.js'))).default.prepareValue
  for (let broken = 0; ; broken++) {
    const client = await connect(pool, signal, poolFailure)
    const session = new ReadSession(client, signal, timeouts, prepareValue)
    try {
      await session.begin(pool, settings)
      return session
    } catch (error) {
      await session.release()
      if (signal.aborted) throw signal.reason
      if (!isConnectionLost(error) || broken === maxBroken) throw queryFailure(error)
    }
  }
}

/** The error of a connection that cannot be opened. */
export function poolFailure(cause: unknown): JobError {
  const attempt = connectionFailure('datasource', cause, 'The connection attempt failed')
  return new JobError('datasource', `Failed to initialize pool: ${attempt.message}`, { cause: attempt })
}

/** The error of a failed query, as the job reports it. */
export function queryFailure(cause: unknown): JobError {
  const { code, where } = Object(cause) as { code?: unknown; where?: unknown }
  const isValueRefused = isDataError(cause) && / parameter \$\d/.test(String(where))
  if (!isValueRefused) return failure('datasource', 'The query failed', cause)
  return new JobError('invalid_options', `The server refused a value of the query (SQLSTATE ${code}).`, { cause })
}
