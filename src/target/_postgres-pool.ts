import pg from 'pg'
import { JobError } from '../index.js'

/** The part of pg's `PoolClient` that is called; it also is asked where the server is when a statement has to be cancelled. */
export interface PostgresClient {
  query(query: object): unknown
  release(destroy?: boolean): void
  on(event: 'error', listener: (error: Error) => void): unknown
  off(event: 'error', listener: (error: Error) => void): unknown
}

/** The part of pg's `Pool` that is called. */
export interface PostgresPool {
  connect(): Promise<PostgresClient>
  /** Hears of every new connection, before it is given to anybody. */
  on?(event: 'connect', listener: (client: PostgresClient) => void): unknown
}

/** A pool for the one connection of an execution. */
export function openPool(connectionString: string, max: number): PostgresPool & { end(): Promise<void> } {
  const pool = new pg.Pool({ connectionString, fallback_application_name: 'headgate', max })
  // A connection that breaks while nobody uses it: the pool has dropped it already.
  pool.on('error', () => undefined)
  return pool
}

/** The pools that were calmed: several targets may share one. */
const calmed = new WeakSet<PostgresPool>()

/**
 * Keeps the process alive when the server ends a connection in the moment in which it is ready: before whoever asked for
 * it can listen, and pg tells of it by an error event. Its first statement fails all the same.
 */
export function calm(pool: PostgresPool): void {
  if (calmed.has(pool)) return
  calmed.add(pool)
  pool.on?.('connect', (client) => client.on('error', () => undefined))
}

/** A connection of the pool, or the signal's reason as soon as it aborts. */
export async function connect(pool: PostgresPool, signal: AbortSignal): Promise<PostgresClient> {
  signal.throwIfAborted()
  const connecting = (async () => pool.connect())()
  let stop = () => {}
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason)
    signal.addEventListener('abort', stop)
  })
  try {
    return await Promise.race([connecting, aborted])
  } catch (cause) {
    if (!signal.aborted) throw failure('reach the server', cause)
    // The pool cannot be told to forget it: the connection goes straight back when it comes.
    connecting.then(
      (client) => client.release(),
      () => undefined,
    )
    throw signal.reason
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** What could not be done, for the reason that the driver gives. What `headgate` says itself stays as it is. */
export function failure(what: string, cause: unknown, recordIndex?: number): JobError {
  if (JobError.isInstance(cause)) return cause
  const { severity, code } = Object(cause) as { severity?: unknown; code?: unknown }
  const state = severity ? ` (SQLSTATE ${code})` : ''
  return new JobError('target', `Could not ${what}${state}.`, {
    cause,
    ...passing(cause),
    ...(recordIndex !== undefined && { recordIndex }),
  })
}

/** What pg says of a connection that broke or did not come in time has no code to tell it by. */
function passing(cause: unknown): { isTransient?: true } {
  const { message } = Object(cause) as { message?: unknown }
  return /^(Connection terminated|Client has encountered a connection error|timeout exceeded)/.test(String(message))
    ? { isTransient: true }
    : {}
}

/** An error without a severity is not the server's; after a fatal one, the server closes the connection. */
export function isConnectionLost(error: unknown): boolean {
  const { severity = 'FATAL' } = Object(error) as { severity?: unknown }
  return severity === 'FATAL' && !JobError.isInstance(error)
}
