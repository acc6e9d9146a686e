import { JobError, type JobErrorCode, type JobErrorOptions } from '../../../adapter.js'

/**
 * Numbers of transient errors. A full disk, a limit of the configuration, a statement that was killed and one that took too long are
 * not transient: without a person's help, a retry fails in the same way.
 */
const transient: ReadonlySet<unknown> = new Set([
  // Too many connections, or too many of the user.
  ...[1040, 1203],
  // The server shuts down or starts, or has ended the connection: also for being idle, or by `kill`.
  ...[1053, 1079, 1080, 1927, 3169, 4031],
  // Reading or writing packets failed.
  ...[1152, 1158, 1159, 1160, 1161, 1184],
  // A lock was not granted in time, or a deadlock was resolved.
  ...[1205, 1213, 3572],
  // A table was altered, or a row changed, after the snapshot of the transaction.
  ...[1020, 1412, 1615],
  // The server is read-only after a failover.
  ...[1792, 1836],
])

/** `ER_OPTION_PREVENTS_STATEMENT` names the option. It passes for that of a server that is read-only after a failover. */
const preventedByOption = 1290
const readOnlyOption = /--(?:super-)?read[-_]only\b/

/** Errors of mysql2 about the connection. */
const transientCodes: ReadonlySet<unknown> = new Set(['PROTOCOL_CONNECTION_LOST', 'PROTOCOL_SEQUENCE_TIMEOUT'])

/** mysql2 has no code for these. */
const messages =
  /^(Connection lost|Can't add new command when connection is in closed state|The pool had no free connection)/

/** The part of an error of mysql2 that headgate uses. */
interface DriverError {
  readonly code?: unknown
  readonly errno?: unknown
  readonly sqlState?: unknown
  readonly message?: unknown
}

/** Wraps the error of the driver. An error of headgate stays as it is. */
export function failure(code: JobErrorCode, what: string, cause: unknown, options?: JobErrorOptions): JobError {
  if (JobError.isInstance(cause)) return cause
  const message = isOfServer(cause) ? `${what} (${nameOf(cause)}, ${(cause as DriverError).errno}).` : `${what}.`
  return new JobError(code, message, { cause, ...passing(cause), ...options })
}

/** The name of an error of the server. mysql2 knows those of MySQL, and not the check constraints of MariaDB, which have a number of another error. */
function nameOf(cause: unknown): unknown {
  const { code, errno, message } = Object(cause) as DriverError
  return errno === 4025 && /^CONSTRAINT /.test(String(message)) ? 'ER_CONSTRAINT_FAILED' : code
}

/** Marks an error of mysql2 as transient when its number or its message shows that it is. */
export function passing(cause: unknown): { isTransient?: true } {
  const { code, errno, message } = Object(cause) as DriverError
  const isPrevented = errno === preventedByOption && readOnlyOption.test(String(message))
  const isTransient = isPrevented || transient.has(errno) || transientCodes.has(code) || messages.test(String(message))
  return isTransient ? { isTransient: true } : {}
}

/** Whether the error comes from the server. */
export function isOfServer(error: unknown): boolean {
  const { errno, sqlState } = Object(error) as DriverError
  return typeof errno === 'number' && errno >= 1000 && typeof sqlState === 'string'
}

/** Whether the server was told to stop the statement: `ER_QUERY_INTERRUPTED`. */
export function isInterrupted(error: unknown): boolean {
  return (Object(error) as DriverError).errno === 1317
}

/** Whether the connection is lost. The server closes it after some errors of its own. */
export function isConnectionLost(error: unknown): boolean {
  if (JobError.isInstance(error)) return false
  const { errno } = Object(error) as DriverError
  return !isOfServer(error) || errno === 1053 || errno === 1080 || errno === 1927 || errno === 3169 || errno === 4031
}
