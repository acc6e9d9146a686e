import {
  checkValue,
  JobError,
  type JobErrorCode,
  type Rule,
  rule,
  succeedsWithin,
  systemClock,
} from '../../../adapter.js'
import { loadDriver } from '../../shared/index.js'

/** An event of a pg client: an error, a notification with its payload, or the end of the connection. */
type Listener = (event: { payload?: string | undefined }) => void

/** The part of pg's `PoolClient` that headgate uses. Cancel requests also read the address of the server from it. */
export interface PostgresClient {
  query(query: string | object): unknown
  release(destroy?: boolean): void
  on(event: 'error' | 'end' | 'notification', listener: Listener): unknown
  off(event: 'error' | 'end' | 'notification', listener: Listener): unknown
  /** Needed by `pgQueryStreamDatasource`. */
  getTypeParser?(dataTypeID: number, format: 'text' | 'binary'): (raw: string) => unknown
  /** Lets the process exit while the connection is open. */
  unref?(): void
}

/** The part of pg's `Pool` that headgate uses. */
export interface PostgresPool {
  connect(): Promise<PostgresClient>
  /**
   * Emits `connect` for each new connection before it is used, `acquire` for each connection that it grants, and
   * `error` for errors of idle connections.
   */
  on?(event: 'connect' | 'acquire' | 'error', listener: (client: PostgresClient) => void): unknown
  /** The options of the pool. */
  readonly options?: { readonly max?: number | undefined }
  /** The number of connections, for messages. */
  readonly totalCount?: number
  /** The number of idle connections, for messages. */
  readonly idleCount?: number
  /** The number of requests that wait for a connection. */
  readonly waitingCount?: number
}

const pooled = rule.having('connect')

/** The rule for the option `pool`. A client of pg has `connect` too, for one connection that nobody could share. */
export const poolRule: Rule = {
  ...pooled,
  accepts: (value) => pooled.accepts(value) && !isClient(value),
  optional: true,
  hint: (value) => (isClient(value) ? ' that is a client: give a `Pool`' : (pooled.hint?.(value) ?? '')),
}

function isClient(value: unknown): boolean {
  return typeof Object(value).query === 'function' && Object.hasOwn(Object(value), 'connectionParameters')
}

/** The part of pg's `Connection` that headgate uses. */
interface Connection {
  readonly stream: { destroy(): void }
  once(event: 'end', listener: () => void): unknown
}

interface Closable extends PostgresPool {
  end(): Promise<void>
}

/** The default size of a pool of pg. */
const defaultMax = 10

/** What pg reads as an address. It reads everything else as the name of a database on a host `base`. */
const address = /^(?:[a-z][\w+.-]*:\/\/|socket:|[/?])/i

/** The addresses of other servers. pg takes any scheme, as other servers speak its protocol under names of their own. */
const otherAddress =
  /^(?:mysql|mariadb|rediss?|https?|mongodb|mongodb\+srv|file|sqlite|mssql|sqlserver|oracle|amqps?):/i

/**
 * Opens the pool of an adapter. `code` is the code of its errors. Throws `invalid_options` for a text that is not an
 * address.
 */
export function openPool(code: JobErrorCode, connectionString: string, max = defaultMax): OwnPool {
  if (address.test(connectionString) && !otherAddress.test(connectionString))
    return new OwnPool(code, connectionString, max)
  // The text itself may hold a password.
  const expected = 'a URL such as `postgres://user@host:5432/database`'
  throw new JobError('invalid_options', `Expected \`connectionString\` to be ${expected}, got a text that is not one`)
}

/** Loads pg and creates the pool at the first connection, so that a storage over PGlite works without the package. */
export class OwnPool implements PostgresPool {
  readonly options: { readonly connectionString: string; readonly max: number }
  readonly #code: JobErrorCode
  #pool: Promise<Closable> | undefined
  /** All connections that are open or opening. */
  readonly #connections = new Set<Connection>()

  constructor(code: JobErrorCode, connectionString: string, max: number) {
    this.#code = code
    this.options = { connectionString, max }
  }

  async connect(): Promise<PostgresClient> {
    const pool = await this.#open()
    return pool.connect()
  }

  /** Closes all connections: gracefully within a second, then by force. Work that still runs on them fails. */
  async end(): Promise<void> {
    const pool = await this.#open()
    const ended = pool.end()
    if (!(await succeedsWithin(systemClock, endTime, ended)))
      for (const { stream } of this.#connections) stream.destroy()
    await ended
  }

  #open(): Promise<Closable> {
    this.#pool ??= this.#make()
    return this.#pool
  }

  async #make(): Promise<Closable> {
    const { default: pg } = await loadDriver(this.#code, 'pg', () => import('pg'))
    const connections = this.#connections
    const pool = new pg.Pool({
      ...this.options,
      fallback_application_name: 'headgate',
      allowExitOnIdle: true,
      keepAlive: true,
      keepAliveInitialDelayMillis: keepAliveDelay,
      Client: class extends pg.Client {
        constructor(config?: object) {
          // As an option of the pool, this would also limit the wait for a free connection.
          super({ ...config, connectionTimeoutMillis: connectTimeout })
          const { connection } = this as unknown as { connection: Connection }
          connections.add(connection)
          connection.once('end', () => connections.delete(connection))
        }
      },
    })
    handleErrors(pool)
    return pool
  }
}

/** How long a connection is idle before TCP keep-alive starts, in milliseconds. */
const keepAliveDelay = 60_000

/**
 * How long connections may take to end when their pool ends, in milliseconds. A closing registry waits longer than
 * this.
 */
const endTime = 1000

/**
 * How long a connection attempt may take, in milliseconds. An attempt that hangs counts against the size of the pool.
 */
const connectTimeout = 10_000

/** Turns on TCP keep-alive, which detects that the other side is gone. A pool from the application may not have it. */
function keepAlive(client: PostgresClient): void {
  const { connection } = client as { connection?: { stream?: { setKeepAlive?(on: boolean, delay: number): void } } }
  connection?.stream?.setKeepAlive?.(true, keepAliveDelay)
}

const handled = new WeakSet<object>()

/**
 * Handles the error that pg emits when the server ends an idle connection, which would otherwise crash the process.
 * pg has already dropped that connection. Adds one listener per pool and per connection, however many adapters share
 * them.
 */
export function handleErrors(pool: PostgresPool): void {
  if (handled.has(pool)) return
  handled.add(pool)
  pool.on?.('error', ignore)
  pool.on?.('connect', handleClientErrors)
}

function handleClientErrors(client: PostgresClient | undefined): void {
  if (!client || handled.has(client)) return
  handled.add(client)
  client.on('error', ignore)
}

const clientRule = rule.having('query', 'release', 'on')

/** Acquires a connection of the pool and handles its errors from then on. */
export async function take(pool: PostgresPool): Promise<PostgresClient> {
  const client = await pool.connect()
  checkValue('pool.connect()', client, clientRule)
  handleClientErrors(client)
  keepAlive(client)
  return client
}

/** How long to wait for a connection while the application holds all of them, in milliseconds. */
const maxWait = 60_000

/**
 * Acquires a connection of the pool. Rejects with the reason of the signal as soon as it aborts. Any other failure
 * rejects with the error that `explain` returns, also when the pool grants no connection within a minute.
 */
export async function connect(
  pool: PostgresPool,
  signal: AbortSignal,
  explain: (cause: unknown) => Error,
): Promise<PostgresClient> {
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
    connecting.then((client) => client.release(), ignore)
    throw signal.aborted ? signal.reason : explain(cause)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', abort)
  }
}

function noConnectionError({ options, totalCount = 0, idleCount = 0, waitingCount = 0 }: PostgresPool): Error {
  // A request waits only when the pool is full. Otherwise the pool opens a connection for it.
  if (waitingCount === 0) {
    return new Error(
      `timeout exceeded: could not connect to the server within ${maxWait} ms. Check that it can be reached.`,
    )
  }
  const most = options?.max === undefined ? '' : ` of at most ${options.max}`
  const message = `timeout exceeded: the pool had no free connection within ${maxWait} ms: ${totalCount - idleCount}${most} are in use.`
  return new Error(`${message} Raise its \`max\`, or give the adapters pools of their own.`)
}

function ignore(): void {}
