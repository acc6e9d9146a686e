import { chain, JobError, type JobErrorCode, read } from './errors.js'

/** Codes of the system, of undici and of SQLite for what passes: a peer that is away, slow or busy. */
const codes: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'ENETDOWN',
  'ENETUNREACH',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'UND_ERR_SOCKET',
  'SQLITE_BUSY',
])

/**
 * SQLSTATEs for what passes: class 08 (connection), serialization failures and deadlocks, class 53 (no resources) but for
 * a full disk, a lock that was not to be had, and a server that shuts down, crashed or starts.
 */
const sqlStates = /^(08...|40001|40P01|53[023]00|53000|55P03|57P0[1235])$/

/** What trying again can never help. */
const final: ReadonlySet<JobErrorCode> = new Set(['invalid_options', 'not_defined', 'closed', 'aborted', 'lease_lost'])

/**
 * Whether an error passes, so that the same may work a moment later: the default of a job's `retry.isTransient`. The
 * outermost of the error and its causes that says so by a property `isTransient` decides; else, whether one of them has a
 * code of the documented list.
 */
export function isTransient(error: unknown): boolean {
  const links = [...chain(error)]
  if (links.some((link) => JobError.isInstance(link) && final.has(link.code))) return false
  const said = links.map((link) => read(link, 'isTransient')).find((answer) => typeof answer === 'boolean')
  return said ?? links.some((link) => isTransientCode(read(link, 'code')))
}

function isTransientCode(code: unknown): boolean {
  return codes.has(code) || (typeof code === 'string' && sqlStates.test(code))
}
