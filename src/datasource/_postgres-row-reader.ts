import { int32 } from './_postgres-tuples.js'

/** The kind of a message takes one byte, its length, which counts itself, four. */
const headerLength = 5

const dataRow = 'D'.charCodeAt(0)

/** Rows, and how many they are. */
interface Rows {
  readonly chunks: Buffer[]
  count: number
  bytes: number
}

function noRows(): Rows {
  return { chunks: [], count: 0, bytes: 0 }
}

/**
 * Tells rows from the other messages of a server. What stands in rows is moved together where it lies: nothing is copied
 * or looked into.
 */
export class RowReader {
  /** The most bytes that rows have that are taken at once: a larger row is taken by itself. */
  limit = Number.POSITIVE_INFINITY
  /** What is taken one after the other. The last one may grow. */
  readonly #batches: Rows[] = [noRows()]
  /** A message that has not come whole: with room for all of it, once its length is known. */
  #partial: Buffer | undefined
  /** How much of it is there. */
  #filled = 0

  /** Whether as much is there as is taken at once. */
  get isFull(): boolean {
    return this.#batches.length > 1 || this.#last.bytes >= this.limit
  }

  /** Whether all rows that came were taken. */
  get isEmpty(): boolean {
    return this.#batches.length === 1 && this.#last.count === 0
  }

  /** The rows that have come since the last time, up to `limit`. */
  take(): Rows {
    const taken = this.#batches.shift() as Rows
    if (this.#batches.length === 0) this.#batches.push(noRows())
    return taken
  }

  /**
   * Takes what the server sent, and gives each message that is no row to `tell`. When that gives `false`, it stops there and
   * gives what is left.
   */
  read(chunk: Buffer, tell: (message: Buffer) => boolean): Buffer | undefined {
    const partial = this.#partial
    if (!partial) return this.#walk(chunk, tell)
    if (partial.length < headerLength) {
      this.#partial = undefined
      return this.#walk(Buffer.concat([partial, chunk]), tell)
    }
    const copied = chunk.copy(partial, this.#filled)
    this.#filled += copied
    if (this.#filled < partial.length) return undefined
    this.#partial = undefined
    const isOver = this.#walk(partial, tell) !== undefined
    const rest = chunk.subarray(copied)
    return isOver ? rest : this.#walk(rest, tell)
  }

  #walk(bytes: Buffer, tell: (message: Buffer) => boolean): Buffer | undefined {
    let at = 0
    // Rows that follow each other: they begin with the first one, where it is.
    let start = 0
    let end = 0
    while (at + headerLength <= bytes.length) {
      const next = at + 1 + int32(bytes, at + 1)
      if (next > bytes.length) break
      if (bytes[at] === dataRow) {
        const before = this.#last.bytes + (end === 0 ? 0 : end - start)
        if (before > 0 && before + next - at - headerLength > this.limit) {
          this.#keep(bytes, start, end)
          end = 0
          this.#batches.push(noRows())
        }
        if (end === 0) start = end = at + headerLength
        else bytes.copyWithin(end, at + headerLength, next)
        end += next - at - headerLength
        this.#last.count++
      } else {
        this.#keep(bytes, start, end)
        end = 0
        if (!tell(bytes.subarray(at, next))) return bytes.subarray(next)
      }
      at = next
    }
    this.#keep(bytes, start, end)
    if (at < bytes.length) this.#begin(bytes.subarray(at))
    return undefined
  }

  get #last(): Rows {
    return this.#batches.at(-1) as Rows
  }

  #keep(bytes: Buffer, start: number, end: number): void {
    if (end === 0) return
    this.#last.chunks.push(bytes.subarray(start, end))
    this.#last.bytes += end - start
  }

  #begin(bytes: Buffer): void {
    const length = bytes.length < headerLength ? bytes.length : 1 + int32(bytes, 1)
    this.#partial = Buffer.allocUnsafe(length)
    this.#filled = bytes.copy(this.#partial)
  }
}
