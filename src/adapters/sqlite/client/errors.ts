import { JobError, type JobErrorCode, type JobErrorOptions } from '../../../adapter.js'

/** The codes of SQLite, in the low byte of its extended codes. */
const codes = { BUSY: 5, READONLY: 8, TOOBIG: 18, CONSTRAINT: 19, MISMATCH: 20 }

/** Whether another connection holds the lock. */
export function isBusy(error: unknown): boolean {
  return hasCode(error, 'BUSY')
}

/** Whether the file may only be read. */
export function isReadOnly(error: unknown): boolean {
  return hasCode(error, 'READONLY')
}

/** Whether a value breaks a constraint of the tables. */
export function isConstraint(error: unknown): boolean {
  return hasCode(error, 'CONSTRAINT')
}

/** Whether a record is at fault for the error of its row, and others may be stored. */
export function isOfRow(error: unknown): boolean {
  return isConstraint(error) || hasCode(error, 'MISMATCH') || hasCode(error, 'TOOBIG')
}

/** node:sqlite sets `errcode`, libsql `rawCode`, and better-sqlite3 `code` only. libsql does not know the names of all codes. */
function hasCode(error: unknown, name: keyof typeof codes): boolean {
  const { code, errcode, rawCode } = Object(error) as { code?: unknown; errcode?: unknown; rawCode?: unknown }
  const number = errcode ?? rawCode
  return (typeof number === 'number' && (number & 0xff) === codes[name]) || String(code).startsWith(`SQLITE_${name}`)
}

/** Wraps the error of the driver. An error of headgate stays as it is. */
export function failure(code: JobErrorCode, what: string, cause: unknown, options?: JobErrorOptions): JobError {
  if (JobError.isInstance(cause)) return cause
  return new JobError(code, `${what}${shownCode(cause)}.`, {
    cause,
    ...(isBusy(cause) && { isTransient: true }),
    ...options,
  })
}

function shownCode(cause: unknown): string {
  const { code, errcode } = Object(cause) as { code?: unknown; errcode?: unknown }
  if (typeof errcode === 'number') return ` (SQLite error ${errcode})`
  return String(code).startsWith('SQLITE_') ? ` (${code})` : ''
}
