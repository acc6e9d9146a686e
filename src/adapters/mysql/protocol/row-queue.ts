import { headerLength, longRow } from './encoded-rows.js'

/** Rows and their number. */
export interface Rows {
  readonly chunks: readonly Buffer[]
  readonly count: number
}

/** Rows that are being collected. The last chunk is the part of `buffer` from `start` to `end`. */
interface OpenRows {
  readonly chunks: Buffer[]
  count: number
  bytes: number
  buffer: Buffer | undefined
  start: number
  end: number
}

function noRows(): OpenRows {
  return { chunks: [], count: 0, bytes: 0, buffer: undefined, start: 0, end: 0 }
}

/** Collects the rows that arrive into batches of up to `maxRows` rows and about `maxBytes` bytes, without copying them. */
export class RowQueue {
  readonly #maxRows: number
  readonly #maxBytes: number
  readonly #full: Rows[] = []
  #open = noRows()

  constructor(maxRows: number, maxBytes: number) {
    this.#maxRows = maxRows
    this.#maxBytes = maxBytes
  }

  /** Whether a batch is complete. */
  get isFull(): boolean {
    return this.#full.length > 0
  }

  /** Whether all rows were taken. */
  get isEmpty(): boolean {
    return this.#full.length === 0 && this.#open.count === 0
  }

  /** Adds the row whose fields are in `buffer` from `start` to `end`, behind its header. */
  add(buffer: Buffer, start: number, end: number): void {
    const from = start - headerLength
    const isLarge = this.#open.bytes + end - from > this.#maxBytes
    if (isLarge && this.#open.count > 0) this.#close()
    const open = this.#open
    if (open.buffer === buffer && open.end === from && end - start < longRow) open.end = end
    else {
      keepChunk(open)
      // mysql2 puts a row that came in several pieces together without its header.
      buffer.writeUIntLE(Math.min(end - start, longRow), from, 3)
      open.buffer = buffer
      open.start = from
      open.end = end
    }
    open.bytes += end - from
    if (++open.count >= this.#maxRows) this.#close()
  }

  /** The next complete batch. At the end of the rows, also the incomplete one. */
  take(isAtEnd: boolean): Rows | undefined {
    if (isAtEnd && this.#open.count > 0) this.#close()
    return this.#full.shift()
  }

  #close(): void {
    keepChunk(this.#open)
    this.#full.push(this.#open)
    this.#open = noRows()
  }
}

function keepChunk(rows: OpenRows): void {
  if (rows.buffer) rows.chunks.push(rows.buffer.subarray(rows.start, rows.end))
  rows.buffer = undefined
}
