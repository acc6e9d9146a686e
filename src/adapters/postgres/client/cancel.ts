import type pg from 'pg'
import { JobError, type JobErrorCode, succeedsWithin, systemClock } from '../../../adapter.js'
import { loadDriver } from '../../shared/index.js'
import { type PostgresPool, take } from './pool.js'

/** What a client of pg knows about its connection. */
interface Backend {
  readonly host?: string
  readonly port?: number
  readonly ssl?: unknown
  readonly sslNegotiation?: string
  readonly processID?: number | null
  readonly secretKey?: number | null
}

/** What pg's `Connection` has in addition to its type declarations. */
interface Connection extends pg.Connection {
  connect(portOrPath: number | string, host?: string): void
  requestSsl(): void
  cancel(processID: number, secretKey: number): void
}

/** How long the server may take to become idle before the cancel request is repeated, in milliseconds. */
const pause = 50

/**
 * Cancels the statements of `client` until the server is idle. A request that arrives before its statement does
 * nothing, and another statement may follow the cancelled one. `idle` settles when the server is ready for the next
 * query. Never rejects; stops after `timeout` milliseconds. `onSent` is called when the server has accepted a
 * request.
 */
export async function cancelUntilIdle(
  code: JobErrorCode,
  client: object,
  idle: Promise<unknown>,
  timeout: number,
  onSent: () => void = ignore,
): Promise<void> {
  const deadline = performance.now() + timeout
  let isIdle = false
  const becomesIdle = idle.catch(ignore).then(() => {
    isIdle = true
  })
  do {
    await cancelOnServer(code, client, timeout).then(onSent, ignore)
    await succeedsWithin(systemClock, pause, becomesIdle)
  } while (!isIdle && performance.now() < deadline)
}

/** Identifies a transaction for another connection. */
export interface ServerTransaction {
  readonly pid: string
  /** When it began. A connection of a pooler runs the transactions of many clients, one after the other. */
  readonly begunAt: string
}

/**
 * Reads what identifies the transaction of a connection. With a pooler, the process id in the protocol is the
 * pooler's own.
 */
export const transactionQuery = 'select pg_backend_pid()::text as pid, extract(epoch from now())::text as begun_at'

/** The transaction in the server's answer to statements of which `transactionQuery` is the last. */
export function transactionIn(answers: unknown): ServerTransaction | undefined {
  const { rows = [] } = Object([answers].flat().at(-1)) as { rows?: { pid?: unknown; begun_at?: unknown }[] }
  const { pid, begun_at: begunAt } = rows[0] ?? {}
  return typeof pid === 'string' && typeof begunAt === 'string' ? { pid, begunAt } : undefined
}

/**
 * Ends the server session that runs a transaction, over another connection of the pool. Used for a statement that
 * swallows its cancellation. Never rejects; waits no longer than `timeout` milliseconds.
 */
export async function terminate(
  pool: PostgresPool,
  { pid, begunAt }: ServerTransaction,
  timeout: number,
): Promise<void> {
  const text = `select pg_terminate_backend(pid) from pg_stat_activity
    where pid = $1::int and extract(epoch from xact_start)::text = $2`
  await succeedsWithin(systemClock, timeout, runOnce(pool, { text, values: [pid, begunAt] }))
}

/**
 * Ends the server session that runs a statement of a client, over another connection of the pool. With a pooler, which
 * hides the session, it ends none. Never rejects; waits no longer than `timeout` milliseconds.
 */
export async function terminateStatement(
  pool: PostgresPool,
  client: object,
  statement: string,
  timeout: number,
): Promise<void> {
  const { processID } = client as Backend
  const text = `select pg_terminate_backend(pid) from pg_stat_activity
    where pid = $1::int and usename = current_user and state = 'active' and left(query, 200) = left($2, 200)`
  if (processID) await succeedsWithin(systemClock, timeout, runOnce(pool, { text, values: [processID, statement] }))
}

async function runOnce(pool: PostgresPool, query: object): Promise<void> {
  const client = await take(pool)
  try {
    await client.query(query)
  } finally {
    client.release()
  }
}

function ignore(): void {}

/**
 * Sends a Postgres cancel request for the connection of a client. The request uses a separate connection that needs
 * no login and no free connection of a pool, and that PgBouncer understands. Resolves when the server has accepted
 * it. Rejects with an error of this `code` when that failed or took more than `timeout` milliseconds.
 */
async function cancelOnServer(code: JobErrorCode, client: object, timeout: number): Promise<void> {
  const { default: pg } = await loadDriver(code, 'pg', () => import('pg'))
  const { host = 'localhost', port = 5432, ssl, sslNegotiation, processID, secretKey } = client as Backend
  return new Promise((resolve, reject) => {
    if (!processID || !secretKey) return reject(new JobError(code, 'The server sent no key for cancel requests.'))
    const connection = new pg.Connection({ ssl, sslNegotiation } as pg.ConnectionConfig) as Connection
    const send = () => connection.cancel(processID, secretKey)
    const timedOut = new JobError(code, `The server accepted no cancel request within ${timeout} ms.`)
    const timer = setTimeout(() => connection.stream.destroy(timedOut), timeout)
    connection.once('connect', () => {
      if (!ssl) send()
      else if (sslNegotiation !== 'direct') connection.requestSsl()
    })
    connection.once('sslconnect', send)
    connection.on('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    connection.once('end', () => {
      clearTimeout(timer)
      resolve()
    })
    if (host.startsWith('/')) connection.connect(`${host}/.s.PGSQL.${port}`)
    else connection.connect(port, host)
  })
}
