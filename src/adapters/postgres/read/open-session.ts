import { JobError, type Query } from '../../../adapter.js'
import { loadDriver, placeholderHint } from '../../shared/index.js'
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

/** Whether the server does not understand or allow a query, or misses the value of a parameter. */
export function isRefusedQuery(state: unknown): boolean {
  return /^(?:0A|42)|^08P01$/.test(String(state))
}

/** The error of a failed query, as the job reports it. */
export function queryFailure(cause: unknown, query?: Query): JobError {
  if (JobError.isInstance(cause)) return cause
  const { code, where } = Object(cause) as { code?: unknown; where?: unknown }
  if (isDataError(cause) && / parameter \$\d/.test(String(where)))
    return new JobError('invalid_options', `The server refused a value of the query (SQLSTATE ${code}).`, { cause })
  const failed = failure('datasource', 'The query failed', cause)
  if (!query || !isRefusedQuery(code)) return failed
  return new JobError('datasource', `${failed.message}${placeholderHint(query)}`, { cause })
}

/**
 * The error of a query that the server refuses as it was written, before it runs: with its place in the query. Other statements around
 * the query have other positions.
 */
export function statementFailure(cause: unknown, query: Query): JobError {
  const { position } = Object(cause) as { position?: unknown }
  const failed = queryFailure(cause, query)
  if (failed.cause !== cause || !/^\d+$/.test(String(position))) return failed
  const message = failed.message.replace(
    'The query failed',
    (words) => `${words} at ${placeIn(query.text, Number(position))}`,
  )
  return new JobError(failed.code, message, { cause })
}

/** A position of a text, in characters from 1, as a line and a column. */
function placeIn(text: string, position: number): string {
  const lines = [...text]
    .slice(0, position - 1)
    .join('')
    .split('\n')
  return `line ${lines.length}, column ${[...(lines.at(-1) as string)].length + 1}`
}
