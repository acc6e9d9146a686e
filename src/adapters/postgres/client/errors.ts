import { JobError, type JobErrorCode, type JobErrorOptions } from '../../../adapter.js'

/** The SQLSTATE of a write in a transaction that is read-only. */
const readOnlyState = '25006'

const readOnlyHint =
  ' The session is read-only: the server is a standby (`select pg_is_in_recovery()`), or the role or the database has `default_transaction_read_only` on (`show default_transaction_read_only`).'

const readingHint = ' The query writes, and a read by a cursor, or of a standby, is read-only.'

/** The SQLSTATE of a date or a time out of range. */
const rangeState = '22008'

const zeroDateHint =
  ' Postgres has no date `0000-00-00`, which MySQL has: select `nullif(column, 0) as column` from MySQL to read it as null.'

/** What else a message says, by what the server refuses. */
function hintOf(code: JobErrorCode, state: unknown, cause: unknown): string {
  if (state === readOnlyState) return code === 'datasource' ? readingHint : readOnlyHint
  const isZeroDate = state === rangeState && /"0000-00-00\b/.test(String(Object(cause).message))
  return code === 'target' && isZeroDate ? zeroDateHint : ''
}

/** Wraps the error of the driver. An error of headgate stays as it is. */
export function failure(code: JobErrorCode, what: string, cause: unknown, options?: JobErrorOptions): JobError {
  if (JobError.isInstance(cause)) return cause
  const { severity, code: state } = Object(cause) as { severity?: unknown; code?: unknown }
  const message = severity ? `${what} (SQLSTATE ${state}).${hintOf(code, state, cause)}` : `${what}.`
  // Unlike a target, a query that writes does so on every server.
  const writes = code === 'datasource' && state === readOnlyState && { isTransient: false }
  return new JobError(code, message, { cause, ...passing(cause), ...writes, ...options })
}

/** What the server says no to, by the SQLSTATE of a refused connection. Class 28 is the login. */
const refusedConnections: Readonly<Record<string, string>> = {
  '3D000': 'The database does not exist',
  '42501': 'The role may not connect to the database',
  '53300': 'The server has no free connection',
}

/** Wraps the error of a connection attempt. Tells a server that refuses the connection from one that is not reached. */
export function connectionFailure(
  code: JobErrorCode,
  cause: unknown,
  unreached = 'Could not reach the server',
): JobError {
  const { severity, code: state } = Object(cause) as { severity?: unknown; code?: unknown }
  const isLogin = /^28/.test(String(state)) || /^SASL: /.test(String(Object(cause).message))
  if (isLogin) return failure(code, 'The server refused the login', cause)
  if (!severity) return failure(code, unreached, cause)
  return failure(code, refusedConnections[String(state)] ?? 'The server refused the connection', cause)
}

export function isReadOnly(error: unknown): boolean {
  return Object(error).code === readOnlyState
}

/** The messages by which pg reports a lost or late connection: these errors have no code. */
const messages = /^(Connection terminated|Client has encountered a connection error|timeout (exceeded|expired))/

/** Marks an error of pg as transient when only its message shows that it is. */
export function passing(cause: unknown): { isTransient?: true } {
  const { message } = Object(cause) as { message?: unknown }
  return messages.test(String(message)) ? { isTransient: true } : {}
}

/** Whether the server rejects a value as invalid for its type: SQLSTATEs of class 22. */
export function isDataError(error: unknown): boolean {
  return /^22/.test(String(Object(error).code))
}

/** Whether the server was told to stop the statement: `query_canceled`. */
export function isCanceled(error: unknown): boolean {
  return Object(error).code === '57014'
}

/**
 * Whether the connection is lost. An error without a severity does not come from the server, and the server closes
 * the connection after a fatal one.
 */
export function isConnectionLost(error: unknown): boolean {
  const { severity = 'FATAL' } = Object(error) as { severity?: unknown }
  return severity === 'FATAL' && !JobError.isInstance(error)
}
