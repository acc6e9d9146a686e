import { JobError } from '../index.js'
import { failure, isConnectionLost, passing } from '../postgres/errors.js'
import { connect, type PostgresClient, type PostgresPool } from '../postgres/pool.js'
import { Session, type SessionTimeouts } from './_postgres-session.js'

/** A pool may hold this many connections that broke while nobody used them, and know nothing of it yet. */
const maxBroken = 10

/** Begins on a connection that works: one that turns out to be broken, before it did anything, is passed over. */
export async function openSession(
  pool: PostgresPool,
  signal: AbortSignal,
  timeouts: SessionTimeouts,
  settings: string,
): Promise<{ client: PostgresClient; session: Session }> {
  for (let broken = 0; ; broken++) {
    const client = await connect(pool, signal, connectionFailure)
    const session = new Session(client, signal, timeouts)
    try {
      await session.begin(pool, settings)
      return { client, session }
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

/** What a job is told of a failure. */
export function queryFailure(cause: unknown): JobError {
  return failure('datasource', 'The query failed', cause)
}
