import type { PostgresQueryable, Statement } from './_postgres-database.js'

/** The part of pg's `PoolClient` that is called to listen. */
export interface PostgresListener {
  /** Runs one statement. */
  query(text: string): Promise<unknown>
  /** Calls `listener` at a notification, at an error, or when the connection ends. */
  on(event: 'notification' | 'error' | 'end', listener: (message: { payload?: string | undefined }) => void): unknown
  /** Closes the connection. */
  release(destroy: boolean): void
  /** Lets the process end although the connection is open. */
  unref?(): void
}

/** The part of pg's `Pool` that is called. */
export interface PostgresPool {
  /** Runs one statement, which is prepared when it has a name. */
  query(statement: Statement): Promise<{ rows: unknown[] }>
  /** Gives a connection to listen with. */
  connect(): Promise<PostgresListener>
  /** Hears of every new connection, before it is given to anybody. */
  on?(event: 'connect', listener: (connection: PostgresListener) => void): unknown
  /** What the pool was made with. */
  readonly options?: { readonly max?: number | undefined }
}

/** The part of PGlite that is called. */
export interface ListeningClient extends PostgresQueryable {
  /** Calls `callback` at every notification. Gives the function that stops it. */
  listen(channel: string, callback: (payload: string) => void): Promise<() => Promise<void>>
}

/** Hears the notifications of a channel, until it is closed or breaks. */
export interface Ear {
  close(): Promise<void>
}

/** Begins to hear a channel. */
export type Listen = (channel: string, heard: (payload: string) => void, broken: () => void) => Promise<Ear>

/** How a pool of pg listens: with a connection of its own. Not when the pool has no other one. */
export function listenOf(pool: PostgresPool): Listen | undefined {
  if ((pool.options?.max ?? Number.POSITIVE_INFINITY) < 2) return undefined
  return async (channel, heard, broken) => {
    const connection = await pool.connect()
    let isOpen = true
    const close = () => {
      if (isOpen) connection.release(true)
      isOpen = false
    }
    const fail = () => {
      close()
      broken()
    }
    connection.on('error', fail)
    connection.on('end', fail)
    connection.on('notification', ({ payload }) => heard(payload ?? ''))
    try {
      await connection.query(`listen ${channel}`)
    } catch (error) {
      close()
      throw error
    }
    connection.unref?.()
    return { close: async () => close() }
  }
}

/** How a client listens that can by itself, as PGlite does. */
export function listenWith(client: PostgresQueryable): Listen | undefined {
  if (!('listen' in client) || typeof client.listen !== 'function') return undefined
  return async (channel, heard) => ({ close: await (client as ListeningClient).listen(channel, heard) })
}
