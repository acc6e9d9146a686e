import { chain, JobError, type JobErrorCode, read } from './errors.js'

/** Transient codes of the system, of undici and of SQLite: a peer is unreachable, slow or busy. */
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
 * Transient SQLSTATEs. A full disk (53100), a limit of the configuration (53400) and a cancelled statement (57014) are not
 * transient: without a person's help, a retry fails in the same way.
 */
const sqlStates: ReadonlySet<unknown> = new Set([
  // A standby is read-only after a failover, or a setting of the server ended an idle or long transaction.
  '25006',
  '25P03',
  '25P04',
  // A transaction had a serialization failure or a deadlock, or its outcome is unknown.
  '40001',
  '40003',
  '40P01',
  // The server is short of resources.
  '53000',
  '53200',
  '53300',
  // An object or a lock is in use.
  '55006',
  '55P03',
  // The server shuts down, crashed or starts, or ended an idle session.
  '57P01',
  '57P02',
  '57P03',
  '57P05',
  // A snapshot is too old, and a new read takes a new one.
  '72000',
  // A foreign server could not be reached.
  'HV00N',
])

/** The connection broke or could not be established. */
const connectionState = /^08[0-9A-Z]{3}$/

/**
 * A violation of the protocol. Poolers also report a server that is not ready with it, and end the connection. Where the connection
 * goes on, the request is at fault, such as a query with a parameter that has no value.
 */
const protocolState = '08P01'

/** Codes that are never transient. */
const final: ReadonlySet<JobErrorCode> = new Set(['invalid_options', 'not_defined', 'closed', 'aborted', 'lease_lost'])

/**
 * Whether an error is transient, so that a retry may succeed: the default of a job's `retry.isTransient`. The outermost of the error
 * and its causes with a boolean property `isTransient` decides. Otherwise, an error is transient if one of them has a code of the
 * documented list.
 */
export function isTransient(error: unknown): boolean {
  const links = [...chain(error)]
  if (links.some((link) => JobError.isInstance(link) && final.has(link.code))) return false
  const declared = links.map((link) => read(link, 'isTransient')).find((answer) => typeof answer === 'boolean')
  return declared ?? links.some(hasTransientCode)
}

/** Codes of the system, SQLite (`errcode` is node:sqlite's) and Postgres for a storage that is full, read-only or damaged. */
const refusals: ReadonlySet<unknown> = new Set([
  'ENOSPC',
  'EDQUOT',
  'EROFS',
  'SQLITE_FULL',
  'SQLITE_READONLY',
  'SQLITE_CORRUPT',
  'SQLITE_NOTADB',
  '53100',
])
const sqliteRefusals: ReadonlySet<unknown> = new Set([8, 11, 13, 26])

/** Data, keys, permissions and limits that Postgres rejects: classes 22, 23, 42 and 54. */
const refusedStates = /^(22|23|42|54)[0-9A-Z]{3}$/

/** Whether a storage permanently rejects a write: it is full or read-only, or does not accept the data. */
export function isRefused(error: unknown): boolean {
  return [...chain(error)].some((link) => {
    const code = read(link, 'code')
    const errcode = read(link, 'errcode')
    return (
      refusals.has(code) ||
      (typeof code === 'string' && refusedStates.test(code)) ||
      (typeof errcode === 'number' && sqliteRefusals.has(errcode & 0xff))
    )
  })
}

/**
 * Codes of Node and Postgres for a package that is not installed, for credentials, and for a database, a schema or a privilege that is
 * missing.
 */
const misconfigurations: ReadonlySet<unknown> = new Set([
  'ERR_MODULE_NOT_FOUND',
  'MODULE_NOT_FOUND',
  'EACCES',
  '28000',
  '28P01',
  '3D000',
  '3F000',
  '42501',
])

/** Whether an adapter fails until a person changes its configuration or the rights of its role. */
export function isMisconfigured(error: unknown): boolean {
  return [...chain(error)].some((link) => misconfigurations.has(read(link, 'code')))
}

function hasTransientCode(link: unknown): boolean {
  const code = read(link, 'code')
  if (code === protocolState && read(link, 'severity') === 'ERROR') return false
  return codes.has(code) || sqlStates.has(code) || (typeof code === 'string' && connectionState.test(code))
}
