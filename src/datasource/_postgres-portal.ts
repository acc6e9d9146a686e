import utils from 'pg/lib/utils.js'
import type { Query } from '../index.js'
import { type Brought, type Connection, type Field, Step } from './_postgres-step.js'
import { type ReadField, Tuples } from './_postgres-tuples.js'

/** How rows come. */
export interface RowFormat {
  readonly name: string
  readonly isBinary: boolean
  readonly read: ReadField
}

/** The part of pg's `Client` that runs a query of one's own. */
interface Client {
  query(query: object): unknown
}

/** The portal without a name: it ends with its transaction, or when the next one is opened. */
const portal = ''

/** How much is dropped at a time, in bytes. */
const dropped = 1 << 20

/**
 * A query whose rows are fetched some at a time, inside a transaction, and stay the bytes that they came as.
 *
 * pg makes a string of every value, also of those that nobody looks at, and its cursors bound what they fetch by rows alone,
 * whatever their size.
 */
export class Portal {
  readonly #client: Client
  readonly #query: Query
  readonly #formatOf: (fields: readonly Field[]) => RowFormat
  #format: RowFormat | undefined
  #step: Step | undefined
  #isAtEnd = false

  /** `formatOf` is asked once, when the server has told the fields. */
  constructor(client: Client, query: Query, formatOf: (fields: readonly Field[]) => RowFormat) {
    this.#client = client
    this.#query = query
    this.#formatOf = formatOf
  }

  /** Whether there are no more rows. */
  get isAtEnd(): boolean {
    return this.#isAtEnd && !this.#step
  }

  /** Whether the server may still be at it. */
  get isBusy(): boolean {
    return this.#step !== undefined && !this.#step.isOver
  }

  /** The next rows: `rows` at most, and fewer as soon as `bytes` have come. `undefined` when there are no more. */
  async fetch(rows: number, bytes: number): Promise<Tuples | undefined> {
    while (!this.isAtEnd) {
      this.#step ??= this.#begin(rows)
      const { count, chunks } = await this.#take(this.#step, bytes)
      const { name, read } = this.#format as RowFormat
      if (count > 0) return new Tuples(name, count, chunks, read)
    }
    return undefined
  }

  /** Lets the server come to the end of what it is at. Rows that it still sends are dropped. */
  async drain(): Promise<void> {
    while (this.#step) await this.#take(this.#step, dropped)
  }

  async #take(step: Step, bytes: number): Promise<Brought> {
    let isOver = true
    try {
      const brought = await step.take(bytes)
      isOver = brought.isOver
      this.#isAtEnd ||= step.isAtEnd
      return brought
    } finally {
      if (isOver) this.#step = undefined
    }
  }

  #begin(rows: number): Step {
    const execute = (connection: Connection) => {
      connection.execute({ portal, rows })
      connection.sync()
    }
    const step = this.#format
      ? new Step(execute)
      : new Step(describe(this.#query.text), (connection, fields) => {
          this.#bind(connection, fields ?? [])
          execute(connection)
        })
    this.#client.query(step)
    return step
  }

  #bind(connection: Connection, fields: readonly Field[]): void {
    const values = this.#query.values.map((value) => utils.prepareValue(value))
    this.#format = this.#formatOf(fields)
    connection.bind({ portal, values, binary: this.#format.isBinary })
  }
}

/** The fields of a query, which is not run; `undefined` for one that gives no rows. */
export async function fieldsOf(client: Client, text: string): Promise<readonly Field[] | undefined> {
  let fields: readonly Field[] | undefined
  const step = new Step(describe(text), (connection, described) => {
    fields = described
    connection.sync()
  })
  client.query(step)
  await step.take(Number.POSITIVE_INFINITY)
  return fields
}

function describe(text: string): (connection: Connection) => void {
  return (connection) => {
    connection.parse({ text })
    connection.describe({ type: 'S' })
    connection.flush()
  }
}
