import { RowReader } from './_postgres-row-reader.js'

/** A field of a result, as the server describes it. */
export interface Field {
  readonly name: string
  /** The object id of its type; for a domain, that of the type underneath. */
  readonly dataTypeID: number
  /** Its length or precision, as the type has it; -1 for none. */
  readonly dataTypeModifier: number
  /** The object id of the table whose column it is, and the number of that; 0 for what is computed. */
  readonly tableID: number
  readonly columnID: number
}

/** What pg's `Connection` has that a query of one's own uses. */
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

/** What a step has brought since it was last asked. */
export interface Brought {
  readonly chunks: readonly Buffer[]
  readonly count: number
  /** Whether the server has come to the end of the step, and all that it sent was brought. */
  readonly isOver: boolean
}

type Listener = (bytes: Buffer) => void

const noData = 'n'.charCodeAt(0)

/** Something asked of the server, as pg runs queries. Until the answer is whole, what the server sends comes here first. */
export class Step {
  readonly #say: (connection: Connection) => void
  readonly #goOn: ((connection: Connection, fields: readonly Field[] | undefined) => void) | undefined
  readonly #rows = new RowReader()
  #connection: Connection | undefined
  #listeners: Listener[] = []
  #isSynced: boolean
  #isOver = false
  #isAtEnd = false
  #failure: { error: unknown } | undefined
  /** Whoever waits for rows, until as many are there as are taken at once. */
  #waiting: { resolve(brought: Brought): void; reject(error: unknown): void } | undefined

  /**
   * With `goOn`, the step only begins with `say`: it goes on when the server has told the fields, or, with `undefined`, that the
   * statement gives no rows.
   */
  constructor(
    say: (connection: Connection) => void,
    goOn?: (connection: Connection, fields: readonly Field[] | undefined) => void,
  ) {
    this.#say = say
    this.#goOn = goOn
    this.#isSynced = goOn === undefined
  }

  /** Whether the query has no more rows than those that came. */
  get isAtEnd(): boolean {
    return this.#isAtEnd
  }

  /** Whether the server has come to the end of the step. Rows that it sent may wait to be taken. */
  get isOver(): boolean {
    return this.#isOver
  }

  /**
   * What has come, as soon as it is that many bytes, or the step is over. It is no more of them, but for a larger row, which comes by
   * itself. The server has to wait until it is asked again.
   */
  take(bytes: number): Promise<Brought> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
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
    this.#say(connection)
  }

  handleRowDescription({ fields }: { fields?: readonly Field[] }): void {
    const connection = this.#connection as Connection
    try {
      this.#goOn?.(connection, fields)
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
    connection.sendCopyFail('A query that is read has nothing to copy from.')
  }

  handleCopyData(): void {}

  handleReadyForQuery(): void {
    this.#end()
  }

  /** Also called by pg when the connection is lost, or an answer was too long in coming. */
  handleError(error: unknown): void {
    this.#failure ??= { error }
    if (!this.#isSynced) this.#connection?.sync()
    this.#end()
  }

  readonly #read = (bytes: Buffer): void => {
    const rest = this.#rows.read(bytes, this.#tell)
    // What comes after the step is for whoever listens now.
    if (rest?.length) this.#connection?.stream.emit('data', rest)
    if (!this.#isOver) this.#answer()
  }

  /** Lets pg hear of what is no row. Gives whether the step goes on. */
  readonly #tell = (message: Buffer): boolean => {
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
    const waiting = this.#waiting
    if (!waiting || !(this.#isOver || this.#rows.isFull)) return
    this.#waiting = undefined
    if (!this.#isOver) this.#connection?.stream.pause()
    if (this.#failure) waiting.reject(this.#failure.error)
    else {
      const { chunks, count } = this.#rows.take()
      waiting.resolve({ chunks, count, isOver: this.#isOver && this.#rows.isEmpty })
    }
  }
}
