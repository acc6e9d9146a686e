import type { EncodedRows, Row } from '../../../adapter.js'

/** Returns the text of a field, which is in `bytes` from `start` to `end`. */
export type ReadField = (column: number, bytes: Buffer, start: number, end: number) => string

/** Reads fields that hold text. */
export const readText: ReadField = (_column, bytes, start, end) => bytes.toString('utf8', start, end)

/**
 * Rows in the wire format of Postgres: per row, the number of fields in two bytes, then each field after its length
 * in four bytes, -1 for NULL. With binary values, this is the row format of binary COPY.
 */
export class PostgresRows implements EncodedRows {
  readonly format: string
  readonly length: number
  readonly chunks: readonly Buffer[]
  readonly #read: ReadField
  /** The offsets of the last one or two tuples of the last chunk, once they were needed. */
  #tail: readonly number[] = []

  /** Every chunk holds complete tuples. */
  constructor(format: string, length: number, chunks: readonly Buffer[], read: ReadField) {
    this.format = format
    this.length = length
    this.chunks = chunks
    this.#read = read
  }

  rows(): Row[] {
    const rows: Row[] = []
    for (const chunk of this.chunks) {
      for (let at = 0; at < chunk.length; ) {
        const row = new Array<string | null>(int16(chunk, at))
        at += 2
        for (let column = 0; column < row.length; column++) {
          const end = endOfField(chunk, at)
          row[column] = this.#valueAt(column, chunk, at)
          at = end
        }
        rows.push(row)
      }
    }
    return rows
  }

  values(column: number): (string | null)[] {
    const values: (string | null)[] = []
    for (const chunk of this.chunks) {
      for (let start = 0; start < chunk.length; start = endOfTuple(chunk, start)) {
        values.push(this.#valueAt(column, chunk, startOfField(chunk, start, column)))
      }
    }
    return values
  }

  firstValue(column: number): string | null {
    const chunk = this.chunks[0] as Buffer
    return this.#valueAt(column, chunk, startOfField(chunk, 0, column))
  }

  lastValue(column: number): string | null {
    const chunk = this.chunks.at(-1) as Buffer
    if (this.#tail.length === 0) this.#tail = lastTuples(chunk)
    return this.#valueAt(column, chunk, startOfField(chunk, this.#tail.at(-1) as number, column))
  }

  /** Whether a row has the same bytes in a column as the row before it, without decoding values. */
  repeats(column: number): boolean {
    let before = this.chunks[0] as Buffer
    let beforeAt = -1
    for (const chunk of this.chunks) {
      for (let start = 0; start < chunk.length; start = endOfTuple(chunk, start)) {
        const at = startOfField(chunk, start, column)
        if (beforeAt >= 0 && isSameField(before, beforeAt, chunk, at)) return true
        before = chunk
        beforeAt = at
      }
    }
    return false
  }

  slice(start: number, end: number): PostgresRows {
    const chunks: Buffer[] = []
    const known = this.#tail[start - this.length + this.#tail.length]
    if (known !== undefined && end >= this.length) {
      return new PostgresRows(
        this.format,
        this.length - start,
        [(this.chunks.at(-1) as Buffer).subarray(known)],
        this.#read,
      )
    }
    let index = 0
    for (const chunk of this.chunks) {
      let from = chunk.length
      let to = 0
      for (let at = 0; at < chunk.length && index < end; index++) {
        const next = endOfTuple(chunk, at)
        if (index >= start && index < end) {
          from = Math.min(from, at)
          to = next
        }
        at = next
      }
      if (from < to) chunks.push(chunk.subarray(from, to))
    }
    return new PostgresRows(this.format, Math.max(0, Math.min(end, this.length) - start), chunks, this.#read)
  }

  #valueAt(column: number, chunk: Buffer, at: number): string | null {
    const length = int32(chunk, at)
    return length < 0 ? null : this.#read(column, chunk, at + 4, at + 4 + length)
  }
}

function lastTuples(chunk: Buffer): number[] {
  let before = -1
  let last = 0
  for (let end = endOfTuple(chunk, 0); end < chunk.length; end = endOfTuple(chunk, end)) {
    before = last
    last = end
  }
  return before < 0 ? [last] : [before, last]
}

/** Compares from the end, where consecutive keys differ. */
function isSameField(a: Buffer, aAt: number, b: Buffer, bAt: number): boolean {
  for (let offset = endOfField(a, aAt) - aAt - 1; offset >= 0; offset--) {
    if (a[aAt + offset] !== b[bAt + offset]) return false
  }
  return true
}

function endOfTuple(chunk: Buffer, at: number): number {
  return startOfField(chunk, at, int16(chunk, at))
}

/** The offset of a field of the tuple. For the number of its fields, the offset of the next tuple. */
function startOfField(chunk: Buffer, tuple: number, column: number): number {
  let at = tuple + 2
  for (let before = 0; before < column; before++) at = endOfField(chunk, at)
  return at
}

function endOfField(chunk: Buffer, at: number): number {
  return at + 4 + Math.max(0, int32(chunk, at))
}

// Reading the bytes directly takes a third of the time of the methods of Buffer.

function int16(chunk: Buffer, at: number): number {
  return ((chunk[at] as number) << 8) | (chunk[at + 1] as number)
}

export function int32(chunk: Buffer, at: number): number {
  return (int16(chunk, at) << 16) | int16(chunk, at + 2)
}
