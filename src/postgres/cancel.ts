import type pg from 'pg'
import { JobError, type JobErrorCode, succeedsWithin, systemClock } from '../index.js'

/** What a client of pg knows of its connection. */
interface Backend {
  readonly host?: string
  readonly port?: number
  readonly ssl?: unknown
  readonly sslNegotiation?: string
  readonly processID?: number | null
  readonly secretKey?: number | null
}

/** What pg's `Connection` has beside what its type declarations tell. */
interface Connection extends pg.Connection {
  connect(portOrPath: number | string, host?: string): void
  requestSsl(): void
  cancel(processID: number, secretKey: number): void
}

/** How long the server may take to become idle before it is asked again, in milliseconds. */
const pause = 50

/**
 * Cancels what the server is at for `client` until it is idle: a request that overtakes its statement does nothing, and a
 * statement may follow the one that was cancelled. `idle` settles when the server is ready for the next query. Never
 * rejects; gives up after `timeout` milliseconds.
 */
export async function cancelUntilIdle(
  code: JobErrorCode,
  client: object,
  idle: Promise<unknown>,
  timeout: number,
): Promise<void> {
  const deadline = performance.now() + timeout
  let isIdle = false
  const becomesIdle = idle.catch(ignore).then(() => {
    isIdle = true
  })
  do {
    await cancelOnServer(code, client, timeout).catch(ignore)
    await succeedsWithin(systemClock, pause, becomesIdle)
  } while (!isIdle && performance.now() < deadline)
}

function ignore(): void {}

/**
 * Asks the server to cancel what the client's connection is at, the way Postgres has for it: over a connection of its
 * own that needs no login and no place in a pool, and that PgBouncer understands. Resolves when the server has passed it
 * on, rejects with an error of this `code` when that took more than `timeout` milliseconds or failed.
 */
export async function cancelOnServer(code: JobErrorCode, client: object, timeout: number): Promise<void> {
  // A storage over PGlite does without the package.
  const { default: pg } = await import('pg')
  const { host = 'localhost', port = 5432, ssl, sslNegotiation, processID, secretKey } = client as Backend
  return new Promise((resolve, reject) => {
    if (!processID || !secretKey) return reject(new JobError(code, 'The server gave no key to cancel with.'))
    const connection = new pg.Connection({ ssl, sslNegotiation } as pg.ConnectionConfig) as Connection
    const send = () => connection.cancel(processID, secretKey)
    const late = new JobError(code, `The server took no cancel request within ${timeout} ms.`)
    const timer = setTimeout(() => connection.stream.destroy(late), timeout)
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
