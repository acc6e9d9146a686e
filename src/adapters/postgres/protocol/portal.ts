import type { Query } from '../../../adapter.js'
import { changedFailure } from './changed-failure.js'
import { PostgresRows, type ReadField } from './encoded-rows.js'
import { type Connection, type Field, ProtocolRequest, type Received } from './request.js'

/** Converts a value to what is sent as the parameter. */
export type PrepareValue = (value: unknown) => string | Buffer | null

/** The format of rows. */
export interface RowFormat {
  readonly name: string
  readonly isBinary: boolean
  readonly read: ReadField
  /** Whether complete tuples are what their types were when the query was described. Undefined where no type in them can change. */
  readonly isIntact?: (chunk: Buffer) => boolean
}

/** The part of pg's `Client` that runs a custom query object. */
interface Client {
  query(query: object): unknown
}

/** The unnamed portal. It ends with its transaction, or when the next one is opened. */
const portal = ''

/** How much a drain drops at a time, in bytes. */
const drainBytes = 1 << 20

/**
 * A query inside a transaction whose rows are fetched in portions and stay bytes.
 *
 * pg turns every value into a string, even unread ones, and its cursors limit a fetch by rows only, whatever their
 * size.
 */
export class Portal {
  readonly #client: Client
  readonly #query: Query
  readonly #prepareValue: PrepareValue
  readonly #formatOf: (fields: readonly Field[]) => RowFormat
  #format: RowFormat | undefined
  #request: ProtocolRequest | undefined
  #isAtEnd = false

  /** `formatOf` is called once, with the fields of the result. */
  constructor(
    client: Client,
    query: Query,
    prepareValue: PrepareValue,
    formatOf: (fields: readonly Field[]) => RowFormat,
  ) {
    this.#client = client
    this.#prepareValue = prepareValue
    this.#query = query
    this.#formatOf = formatOf
  }

  /** Whether there are no more rows. */
  get isAtEnd(): boolean {
    return this.#isAtEnd && !this.#request
  }

  /** Whether the server may still be working on the query. */
  get isBusy(): boolean {
    return this.#request !== undefined && !this.#request.isOver
  }

  /**
   * Fetches up to `rows` rows, fewer as soon as `bytes` bytes have arrived. Returns `undefined` when there are no
   * more.
   */
  async fetch(rows: number, bytes: number): Promise<PostgresRows | undefined> {
    while (!this.isAtEnd) {
      this.#request ??= this.#begin(rows)
      const { count, chunks } = await this.#receive(this.#request, bytes)
      const { name, read, isIntact } = this.#format as RowFormat
      if (isIntact && !chunks.every(isIntact)) throw changedFailure('the attributes of a composite type differ')
      if (count > 0) return new PostgresRows(name, count, chunks, read)
    }
    return undefined
  }

  /** Waits until the server has finished. Drops the rows that it still sends. */
  async drain(): Promise<void> {
    while (this.#request) await this.#receive(this.#request, drainBytes)
  }

  async #receive(request: ProtocolRequest, bytes: number): Promise<Received> {
    let isOver = true
    try {
      const received = await request.receive(bytes)
      isOver = received.isOver
      this.#isAtEnd ||= request.isAtEnd
      return received
    } finally {
      if (isOver) this.#request = undefined
    }
  }

  #begin(rows: number): ProtocolRequest {
    const execute = (connection: Connection) => {
      connection.execute({ portal, rows })
      connection.sync()
    }
    const request = this.#format
      ? new ProtocolRequest(execute)
      : new ProtocolRequest(describe(this.#query.text), (connection, fields) => {
          this.#bind(connection, fields ?? [])
          execute(connection)
        })
    this.#client.query(request)
    return request
  }

  #bind(connection: Connection, fields: readonly Field[]): void {
    const values = this.#query.values.map((value) => this.#prepareValue(value))
    this.#format = this.#formatOf(fields)
    connection.bind({ portal, values, binary: this.#format.isBinary })
  }
}

/** Returns the fields of a query without running it, or `undefined` for a query that returns no rows. */
export async function fieldsOf(client: Client, text: string): Promise<readonly Field[] | undefined> {
  let fields: readonly Field[] | undefined
  const request = new ProtocolRequest(describe(text), (connection, described) => {
    fields = described
    connection.sync()
  })
  client.query(request)
  await request.receive(Number.POSITIVE_INFINITY)
  return fields
}

function describe(text: string): (connection: Connection) => void {
  return (connection) => {
    connection.parse({ text })
    connection.describe({ type: 'S' })
    connection.flush()
  }
}
