import { JobError, type JobErrorCode, type JobErrorOptions } from '../index.js'

/** The error of what failed, for the reason that the driver gives. An error of headgate stays as it is. */
export function failure(code: JobErrorCode, what: string, cause: unknown, options?: JobErrorOptions): JobError {
  if (JobError.isInstance(cause)) return cause
  const { severity, code: state } = Object(cause) as { severity?: unknown; code?: unknown }
  const message = severity ? `${what} (SQLSTATE ${state}).` : `${what}.`
  return new JobError(code, message, { cause, ...passing(cause), ...options })
}

/** pg gives no code to its errors about a connection that broke or did not come in time. */
const messages = /^(Connection terminated|Client has encountered a connection error|timeout (exceeded|expired))/

/** Marks an error of pg as transient that only its message tells to be so. */
export function passing(cause: unknown): { isTransient?: true } {
  const { message } = Object(cause) as { message?: unknown }
  return messages.test(String(message)) ? { isTransient: true } : {}
}

/** An error without a severity does not come from the server. After a fatal one, the server closes the connection. */
export function isConnectionLost(error: unknown): boolean {
  const { severity = 'FATAL' } = Object(error) as { severity?: unknown }
  return severity === 'FATAL' && !JobError.isInstance(error)
}
