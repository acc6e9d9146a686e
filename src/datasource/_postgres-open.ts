import pg from 'pg'
import { JobError } from '../index.js'
import { Abortable } from './_abortable.js'
import { type PostgresClient, Session } from './_postgres-session.js'

/** The part of pg's `Pool` that is called. */
export interface PostgresPool {
  connect(): Promise<PostgresClient>
  /** Hears of every new connection, before it is given to anybody. */
  on?(event: 'connect', listener: (client: PostgresClient) => void): unknown
}

/** The pools that were calmed: several datasources may share one. */
const calmed = new WeakSet<PostgresPool>()

/**
 * Keeps the process alive when the server ends a connection in the moment in which it is ready: before whoever asked for
 * it can listen, and pg tells of it by an error event. Its first query fails all the same.
 */
export function calm(pool: PostgresPool): void {
  if (calmed.has(pool)) return
  calmed.add(pool)
  pool.on?.('connect', (client) => client.on('error', () => undefined))
}

/** Nothing connects before it is asked to, and a failed connection is not kept. */
export function openPool(connectionString: string): PostgresPool & { end(): Promise<void> } {
  const pool = new pg.Pool({ connectionString, fallback_application_name: 'headgate', allowExitOnIdle: true })
  // A connection that breaks while nobody uses it: the pool has dropped it already.
  pool.on('error', () => undefined)
  return pool
}

/** A pool may hold this many connections that broke while nobody used them, and know nothing of it yet. */
const maxBroken = 10

/** Begins on a connection that works: one that turns out to be broken, before it did anything, is passed over. */
export async function openSession(
  pool: PostgresPool,
  signal: AbortSignal,
  statementTimeout: number | undefined,
  settings: string,
): Promise<{ client: PostgresClient; session: Session }> {
  for (let broken = 0; ; broken++) {
    const client = await connect(pool, signal)
    const session = new Session(client, signal, statementTimeout)
    try {
      await session.begin(settings)
      return { client, session }
    } catch (error) {
      await session.release()
      if (signal.aborted) throw signal.reason
      if (!isConnectionLost(error) || broken === maxBroken) throw queryFailure(error)
    }
  }
}

/** An error without a severity is not the server's; after a fatal one, the server closes the connection. */
function isConnectionLost(error: unknown): boolean {
  const { severity = 'FATAL' } = Object(error) as { severity?: unknown }
  return severity === 'FATAL' && !JobError.isInstance(error)
}

async function connect(pool: PostgresPool, signal: AbortSignal): Promise<PostgresClient> {
  signal.throwIfAborted()
  const abortable = new Abortable(signal)
  const connecting = (async () => pool.connect())()
  try {
    return await abortable.wait(connecting)
  } catch (cause) {
    if (!signal.aborted) throw connectionFailure(cause)
    // The pool cannot be told to forget it: the connection goes straight back when it comes.
    connecting.then(
      (client) => client.release(),
      () => undefined,
    )
    throw signal.reason
  } finally {
    abortable.dispose()
  }
}

function connectionFailure(cause: unknown): JobError {
  const failure = new JobError('datasource', 'The connection attempt failed.', { cause, ...passing(cause) })
  return new JobError('datasource', `Failed to initialize pool: ${failure.message}`, { cause: failure })
}

/** What a job is told of a failure. */
export function queryFailure(cause: unknown): JobError {
  if (JobError.isInstance(cause)) return cause
  const { severity, code } = Object(cause) as { severity?: unknown; code?: unknown }
  const message = severity ? `The query failed (SQLSTATE ${code}).` : 'The query failed.'
  return new JobError('datasource', message, { cause, ...passing(cause) })
}

/** What pg says of a connection that broke or did not come in time has no code to tell it by. */
function passing(cause: unknown): { isTransient?: true } {
  const { message } = Object(cause) as { message?: unknown }
  return /^(Connection terminated|Client has encountered a connection error|timeout exceeded)/.test(String(message))
    ? { isTransient: true }
    : {}
}
