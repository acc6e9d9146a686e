import { RowReader } from './row-splitter.js'

/** A field of a result, as the server describes it. */
export interface Field {
  readonly name: string
  /** The object id of its type. For a domain, that of the base type. */
  readonly dataTypeID: number
  /** The type modifier, such as length or precision; -1 for none. */
  readonly dataTypeModifier: number
  /** The object id of its table and the number of its column there; 0 for a computed field. */
  readonly tableID: number
  readonly columnID: number
}

/** The part of pg's `Connection` that a custom query uses. */
export interface Connection {
  readonly stream: NodeJS.ReadableStream
  parse(statement: { text: string }): void
  describe(statement: { type: 'S' }): void
  bind(portal: { portal: string; values: readonly unknown[]; binary: boolean }): void
  execute(portal: { portal: string; rows: number }): void
  flush(): void
  sync(): void
  sendCopyFail(message: string): void
}

/** The rows that a request has received since the last call. */
export interface Received {
  readonly chunks: readonly Buffer[]
  readonly count: number
  /** Whether the request has ended and all its rows were returned. */
  readonly isOver: boolean
}

type Listener = (bytes: Buffer) => void

const noData = 'n'.charCodeAt(0)

/**
 * A request to the server that pg queues like a query. Until it ends, it gets the bytes from the server before pg
 * does.
 */
export class ProtocolRequest {
  readonly #send: (connection: Connection) => void
  readonly #continueWith: ((connection: Connection, fields: readonly Field[] | undefined) => void) | undefined
  readonly #rows = new RowReader()
  #connection: Connection | undefined
  #listeners: Listener[] = []
  #isSynced: boolean
  #isOver = false
  #isAtEnd = false
  #failure: { error: unknown } | undefined
  /** The pending `receive` call. */
  #pending: { resolve(received: Received): void; reject(error: unknown): void } | undefined

  /**
   * With `continueWith`, the request has two phases: `send` starts it, and `continueWith` is called with the fields
   * of the result, or with `undefined` for a statement that returns no rows.
   */
  constructor(
    send: (connection: Connection) => void,
    continueWith?: (connection: Connection, fields: readonly Field[] | undefined) => void,
  ) {
    this.#send = send
    this.#continueWith = continueWith
    this.#isSynced = continueWith === undefined
  }

  /** Whether all rows of the query have arrived. */
  get isAtEnd(): boolean {
    return this.#isAtEnd
  }

  /** Whether the request has ended. Rows may remain to be received. */
  get isOver(): boolean {
    return this.#isOver
  }

  /**
   * Returns the received rows as soon as they have that many bytes, or the request has ended. Returns at most that
   * many bytes, except for a larger row, which comes alone. The server waits until the next call.
   */
  receive(bytes: number): Promise<Received> {
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject }
      this.#rows.limit = bytes
      if (!this.#isOver) this.#connection?.stream.resume()
      this.#answer()
    })
  }

  submit(connection: Connection): void {
    this.#connection = connection
    const { stream } = connection
    this.#listeners = stream.listeners('data') as Listener[]
    stream.removeAllListeners('data').on('data', this.#read)
    this.#send(connection)
  }

  handleRowDescription({ fields }: { fields?: readonly Field[] }): void {
    const connection = this.#connection as Connection
    try {
      this.#continueWith?.(connection, fields)
      this.#isSynced = true
    } catch (error) {
      this.handleError(error)
    }
  }

  handlePortalSuspended(): void {}

  handleCommandComplete(): void {
    this.#isAtEnd = true
  }

  handleEmptyQuery(): void {
    this.#isAtEnd = true
  }

  handleCopyInResponse(connection: Connection): void {
    connection.sendCopyFail('A datasource query cannot copy from stdin.')
  }

  handleCopyData(): void {}

  handleReadyForQuery(): void {
    this.#end()
  }

  /** pg also calls this when the connection is lost or an answer took too long. */
  handleError(error: unknown): void {
    this.#failure ??= { error }
    if (!this.#isSynced) this.#connection?.sync()
    this.#end()
  }

  readonly #read = (bytes: Buffer): void => {
    const rest = this.#rows.read(bytes, this.#handleMessage)
    // What follows the request belongs to the next listener.
    if (rest?.length) this.#connection?.stream.emit('data', rest)
    if (!this.#isOver) this.#answer()
  }

  /** Passes messages that are not rows to pg. Returns whether the request continues. */
  readonly #handleMessage = (message: Buffer): boolean => {
    if (message[0] === noData) this.handleRowDescription({})
    else for (const listener of this.#listeners) listener(message)
    return !this.#isOver
  }

  #end(): void {
    if (this.#isOver) return
    this.#isOver = true
    const stream = this.#connection?.stream.off('data', this.#read)
    for (const listener of this.#listeners) stream?.on('data', listener)
    this.#answer()
  }

  #answer(): void {
    const pending = this.#pending
    if (!pending || !(this.#isOver || this.#rows.isFull)) return
    this.#pending = undefined
    if (!this.#isOver) this.#connection?.stream.pause()
    if (this.#failure) pending.reject(this.#failure.error)
    else {
      const { chunks, count } = this.#rows.take()
      pending.resolve({ chunks, count, isOver: this.#isOver && this.#rows.isEmpty })
    }
  }
}
