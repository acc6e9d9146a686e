import { JobError, type JobErrorCode, succeedsWithin, systemClock } from '../../../adapter.js'
import { loadDriver } from '../../shared/index.js'
import type { MysqlConnection } from './driver.js'

/** The part of a pool of mysql2 that headgate uses: of `createPool` of `mysql2` or of `mysql2/promise`. */
export interface MysqlPool {
  getConnection(callback: never): unknown
}

type GetConnection = (callback: (error: Error | null, connection: MysqlConnection) => void) => void

/** The pool of `mysql2`, also where the caller has that of `mysql2/promise`. */
export interface CallbackPool {
  getConnection: GetConnection
  on?(event: 'acquire' | 'connection' | 'enqueue', listener: (connection: MysqlConnection) => void): unknown
  readonly config?: {
    readonly connectionLimit?: number
    readonly connectionConfig?: Readonly<Record<string, unknown>>
  }
}

interface ClosablePool extends CallbackPool {
  end(callback: (error?: Error) => void): void
}

/** The default number of connections of a pool of mysql2. */
const defaultLimit = 10

/** How long a connection is idle before TCP keep-alive starts, in milliseconds. */
const keepAliveDelay = 60_000

/** How long a connection attempt may take, in milliseconds. */
const connectTimeout = 10_000

/** How long connections may take to end when their pool ends, in milliseconds. */
const endTime = 1000

/** The pool of mysql2 behind a pool of `mysql2/promise`, or the pool itself. */
export function callbackPoolOf(pool: MysqlPool): CallbackPool {
  const { pool: inner } = pool as { pool?: Partial<CallbackPool> }
  return (typeof inner?.getConnection === 'function' ? inner : pool) as CallbackPool
}

/** Opens the pool of an adapter. `code` is the code of its errors. Throws `invalid_options` for a text that is not an address. */
export function openPool(code: JobErrorCode, connectionString: string): OwnPool {
  const isAddress = /^(mysql|mariadb):\/\//i.test(connectionString) && URL.canParse(connectionString)
  if (isAddress) return new OwnPool(code, connectionString)
  // The text itself may hold a password.
  const expected = 'a URL such as `mysql://user@host:3306/database`'
  throw new JobError('invalid_options', `Expected \`connectionString\` to be ${expected}, got a text that is not one`)
}

/** Loads mysql2 and creates the pool at the first connection. */
export class OwnPool implements CallbackPool {
  readonly config: { readonly connectionLimit: number; readonly connectionConfig: Readonly<Record<string, unknown>> }
  readonly #code: JobErrorCode
  readonly #connectionString: string
  #pool: Promise<ClosablePool> | undefined
  /** All connections that are open. */
  readonly #connections = new Set<MysqlConnection>()

  constructor(code: JobErrorCode, connectionString: string) {
    const { hostname: host, port, pathname } = new URL(connectionString)
    this.#code = code
    this.#connectionString = connectionString
    const connectionConfig = { host, port: Number(port || 3306), database: decodeURIComponent(pathname.slice(1)) }
    this.config = { connectionLimit: defaultLimit, connectionConfig }
  }

  getConnection: GetConnection = (callback) => {
    this.#open().then(
      (pool) => pool.getConnection(callback),
      (error: Error) => callback(error, undefined as never),
    )
  }

  /** Closes all connections: gracefully within a second, then by force. Work that still runs on them fails. */
  async end(): Promise<void> {
    const pool = await this.#open()
    const ended = new Promise<void>((resolve) => {
      pool.end(() => resolve())
    })
    await succeedsWithin(systemClock, endTime, ended)
    for (const { stream } of this.#connections) stream.destroy()
  }

  #open(): Promise<ClosablePool> {
    this.#pool ??= this.#make().catch((error: unknown) => {
      this.#pool = undefined
      throw error
    })
    return this.#pool
  }

  async #make(): Promise<ClosablePool> {
    const { default: mysql } = await loadDriver(this.#code, 'mysql2', () => import('mysql2'))
    const pool = mysql.createPool({
      uri: this.#connectionString.replace(/^mariadb:/i, 'mysql:'),
      connectionLimit: defaultLimit,
      connectTimeout,
      enableKeepAlive: true,
      keepAliveInitialDelay: keepAliveDelay,
    }) as unknown as ClosablePool
    pool.on?.('connection', (connection) => {
      this.#connections.add(connection)
      ;(connection as unknown as NodeJS.EventEmitter).once('end', () => this.#connections.delete(connection))
    })
    // An idle connection does not keep the process alive.
    const idle = pool as unknown as NodeJS.EventEmitter
    idle.on('acquire', ({ stream }: MysqlConnection) => stream.ref?.())
    idle.on('release', ({ stream }: MysqlConnection) => stream.unref?.())
    return pool
  }
}

const handled = new WeakSet<MysqlConnection>()

/**
 * Handles the error that mysql2 emits when a connection is lost, which would otherwise crash the process. Adds one listener per
 * connection, however many adapters share it.
 */
function handleErrors(connection: MysqlConnection): void {
  if (handled.has(connection)) return
  handled.add(connection)
  connection.on('error', ignore)
}

/** How long to wait for a connection while the application holds all of them, in milliseconds. */
const maxWait = 60_000

function take(pool: CallbackPool): Promise<MysqlConnection> {
  return new Promise((resolve, reject) => {
    pool.getConnection((error, connection) => {
      if (error) return reject(error)
      handleErrors(connection)
      resolve(connection)
    })
  })
}

/**
 * Acquires a connection of the pool. Rejects with the reason of the signal as soon as it aborts. Any other failure
 * rejects with the error that `explain` returns, also when the pool grants no connection within a minute.
 */
export async function connect(
  pool: CallbackPool,
  signal: AbortSignal,
  explain: (cause: unknown) => Error,
): Promise<MysqlConnection> {
  signal.throwIfAborted()
  const connecting = take(pool)
  let abort = ignore
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort)
    timer = setTimeout(() => reject(noConnectionError(pool)), maxWait)
  })
  try {
    return await Promise.race([connecting, timeout])
  } catch (cause) {
    // A pool cannot cancel a request, so the connection is released when it arrives.
    connecting.then((connection) => connection.release(), ignore)
    throw signal.aborted ? signal.reason : explain(cause)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', abort)
  }
}

function noConnectionError({ config }: CallbackPool): Error {
  const most = config?.connectionLimit === undefined ? '' : ` of at most ${config.connectionLimit}`
  return new Error(
    `The pool had no free connection${most} within ${maxWait} ms. Raise its \`connectionLimit\`, or give the adapters pools of their own.`,
  )
}

function ignore(): void {}
