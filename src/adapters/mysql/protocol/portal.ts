import { invalid, type JobError } from '../../../adapter.js'
import type { MysqlConnection } from '../client/index.js'
import { MysqlRows, type ReadField } from './encoded-rows.js'
import type { Field } from './field.js'
import { runQuery } from './row-query.js'
import { RowQueue } from './row-queue.js'

/** Called with the fields of the result. Returns how each is read. */
export type ReadsOf = (fields: readonly Field[]) => readonly ReadField[]

/**
 * An open statement whose rows are read in batches. While a batch waits to be taken, the connection is not read, so that the server waits
 * too.
 */
export class Portal {
  readonly #connection: MysqlConnection
  readonly #queue: RowQueue
  #reads: readonly ReadField[] = []
  #hasFields = false
  #isEnded = false
  #isDraining = false
  #failure: unknown
  /** Continues a fetch that waits. */
  #wake: () => void = ignore
  readonly #ended: Promise<void>

  constructor(connection: MysqlConnection, sql: string, readsOf: ReadsOf, maxRows: number, maxBytes: number) {
    this.#connection = connection
    this.#queue = new RowQueue(maxRows, maxBytes)
    this.#ended = new Promise((resolve) => {
      runQuery(connection, sql, {
        onFields: (fields) => this.#begin(fields, readsOf),
        onRow: (buffer, start, end) => this.#add(buffer, start, end),
        onEnd: (error) => {
          this.#isEnded = true
          // The next command needs its answer.
          connection.stream.resume()
          this.#failure ??= error ?? (this.#hasFields ? undefined : noRowsFailure(sql))
          this.#wake()
          resolve()
        },
      })
    })
  }

  /** Whether the server still works on the statement. */
  get isBusy(): boolean {
    return !this.#isEnded
  }

  /** Whether all rows were taken, and none is missing. */
  get isAtEnd(): boolean {
    return this.#isEnded && this.#failure === undefined && this.#queue.isEmpty
  }

  /** The next batch of rows; `undefined` when there are no more. A failure comes after the rows before it. */
  async fetch(): Promise<MysqlRows | undefined> {
    while (!this.#queue.isFull && !this.#isEnded && this.#failure === undefined) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      this.#connection.stream.resume()
      await woken
    }
    const rows = this.#queue.take(this.#isEnded)
    if (rows) return new MysqlRows(rows.count, rows.chunks, this.#reads)
    if (this.#failure !== undefined) throw this.#failure
    return undefined
  }

  /** Reads and drops all other rows. Resolves when the statement has ended. */
  async drain(): Promise<void> {
    this.#isDraining = true
    this.#connection.stream.resume()
    await this.#ended
  }

  #begin(fields: readonly Field[], readsOf: ReadsOf): void {
    this.#hasFields = true
    try {
      this.#reads = readsOf(fields)
    } catch (error) {
      this.#stop(error)
    }
  }

  #add(buffer: Buffer, start: number, end: number): void {
    if (this.#isDraining || this.#failure !== undefined) return
    this.#queue.add(buffer, start, end)
    if (!this.#queue.isFull) return
    this.#connection.stream.pause()
    this.#wake()
  }

  /** The rest of the rows is dropped: the caller cancels the statement. */
  #stop(error: unknown): void {
    this.#failure = error
    this.#connection.stream.pause()
    this.#wake()
  }
}

/** The error for a statement that returns no rows. */
export function noRowsFailure(text: string): JobError {
  return invalid('query', 'a statement that gives rows, such as `select`', text)
}

function ignore(): void {}
