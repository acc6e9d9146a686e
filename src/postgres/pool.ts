/** What a client of pg emits: an error, a notification with its payload, or that the connection ended. */
type Listener = (event: { payload?: string | undefined }) => void

/** The part of pg's `PoolClient` that is called. It also says where the server is when a query has to be cancelled. */
export interface PostgresClient {
  query(query: string | object): unknown
  release(destroy?: boolean): void
  on(event: 'error' | 'end' | 'notification', listener: Listener): unknown
  off(event: 'error' | 'end' | 'notification', listener: Listener): unknown
  /** Needed by a datasource with `parsers: 'pg'`. */
  getTypeParser?(dataTypeID: number, format: 'text'): (raw: string) => unknown
  /** Lets the process end although the connection is open. */
  unref?(): void
}

/** The part of pg's `Pool` that is called. */
export interface PostgresPool {
  connect(): Promise<PostgresClient>
  /** Emits every new connection before anyone gets it, and the errors of idle connections. */
  on?(event: 'connect' | 'error', listener: (client: PostgresClient) => void): unknown
  /** What the pool was made with. */
  readonly options?: { readonly max?: number | undefined }
  /** How many connections there are, for messages. */
  readonly totalCount?: number
  /** How many of them nobody uses, for messages. */
  readonly idleCount?: number
}

interface Closable extends PostgresPool {
  end(): Promise<void>
}

/** How many connections pg's pools have when nothing else is said. */
const defaultMax = 10

/** A pool that an adapter opens for itself. */
export function openPool(connectionString: string, max = defaultMax): OwnPool {
  return new OwnPool(connectionString, max)
}

/** Loads pg and makes the pool at the first connection: a storage over PGlite works without the package. */
export class OwnPool implements PostgresPool {
  readonly options: { readonly connectionString: string; readonly max: number }
  #pool: Promise<Closable> | undefined

  constructor(connectionString: string, max: number) {
    this.options = { connectionString, max }
  }

  async connect(): Promise<PostgresClient> {
    const pool = await this.#open()
    return pool.connect()
  }

  /** Closes all connections. */
  async end(): Promise<void> {
    const pool = await this.#open()
    await pool.end()
  }

  #open(): Promise<Closable> {
    this.#pool ??= this.#make()
    return this.#pool
  }

  async #make(): Promise<Closable> {
    const { default: pg } = await import('pg')
    const pool = new pg.Pool({
      ...this.options,
      fallback_application_name: 'headgate',
      allowExitOnIdle: true,
      keepAlive: true,
      keepAliveInitialDelayMillis: keepAliveDelay,
      Client: class extends pg.Client {
        constructor(config?: object) {
          // Of the pool itself, this option would bound the wait for a free connection too.
          super({ ...config, connectionTimeoutMillis: connectTimeout })
        }
      },
    })
    handleErrors(pool)
    return pool
  }
}

/** How long a connection is idle before TCP asks whether the other side is there, in milliseconds. */
const keepAliveDelay = 60_000

/** How long a connection may take to be made, in milliseconds: an attempt that hangs keeps its place in the pool. */
const connectTimeout = 10_000

/** Lets TCP notice that the other side of a connection is gone. A pool that was given may not have asked for that. */
function keepAlive(client: PostgresClient): void {
  const { connection } = client as { connection?: { stream?: { setKeepAlive?(on: boolean, delay: number): void } } }
  connection?.stream?.setKeepAlive?.(true, keepAliveDelay)
}

const handled = new WeakSet<object>()

/**
 * Keeps the process alive when the server ends a connection that nobody uses, or that nobody listens to yet: pg emits an
 * error then, and has dropped the connection already. One listener for each pool and connection, however many adapters
 * share it.
 */
export function handleErrors(pool: PostgresPool): void {
  if (handled.has(pool)) return
  handled.add(pool)
  pool.on?.('error', ignore)
  pool.on?.('connect', handleClientErrors)
}

function handleClientErrors(client: PostgresClient): void {
  if (handled.has(client)) return
  handled.add(client)
  client.on('error', ignore)
}

/** Takes a connection of the pool, whose errors are handled from then on. */
export async function take(pool: PostgresPool): Promise<PostgresClient> {
  const client = await pool.connect()
  handleClientErrors(client)
  keepAlive(client)
  return client
}

/** How long to wait for a connection of a pool whose connections the application holds, in milliseconds. */
const maxWait = 60_000

/**
 * Takes a connection of the pool. Rejects with the signal's reason as soon as it aborts, else with what `explain` makes of the
 * failure: also when the pool gives none within a minute.
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
  const givenUp = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort)
    timer = setTimeout(() => reject(noneFree(pool)), maxWait)
  })
  try {
    return await Promise.race([connecting, givenUp])
  } catch (cause) {
    // A pool cannot be told to forget a request: the connection goes straight back when it comes.
    connecting.then((client) => client.release(), ignore)
    throw signal.aborted ? signal.reason : explain(cause)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', abort)
  }
}

function noneFree({ options, totalCount = 0, idleCount = 0 }: PostgresPool): Error {
  const most = options?.max === undefined ? '' : ` of at most ${options.max}`
  const message = `timeout exceeded: the pool gave no connection within ${maxWait} ms, as ${totalCount - idleCount}${most} are in use.`
  return new Error(`${message} Raise its \`max\`, or give the adapters pools of their own.`)
}

function ignore(): void {}
