import { int32 } from './encoded-rows.js'

/** A message header: the kind in one byte, then the length, which includes itself, in four. */
const headerLength = 5

const dataRow = 'D'.charCodeAt(0)

/** Rows and their number. */
interface Rows {
  readonly chunks: Buffer[]
  count: number
  bytes: number
}

function noRows(): Rows {
  return { chunks: [], count: 0, bytes: 0 }
}

/**
 * Separates rows from the other messages of the server. Rows are moved together within their buffer, without copies
 * or decoding.
 */
export class RowReader {
  /** The largest number of bytes that `take` returns. A larger row is returned alone. */
  limit = Number.POSITIVE_INFINITY
  /** The results of the next `take` calls. The last one may grow. */
  readonly #batches: Rows[] = [noRows()]
  /** An incomplete message. Once its length is known, the buffer has room for all of it. */
  #partial: Buffer | undefined
  /** How many bytes of it have arrived. */
  #filled = 0

  /** Whether the next `take` returns as much as `limit` allows. */
  get isFull(): boolean {
    return this.#batches.length > 1 || this.#last.bytes >= this.limit
  }

  /** Whether `take` has returned all rows that arrived. */
  get isEmpty(): boolean {
    return this.#batches.length === 1 && this.#last.count === 0
  }

  /** Returns the rows since the last call, up to `limit`. */
  take(): Rows {
    const taken = this.#batches.shift() as Rows
    if (this.#batches.length === 0) this.#batches.push(noRows())
    return taken
  }

  /**
   * Reads bytes from the server and calls `onMessage` for each message that is not a row. When that returns `false`,
   * stops and returns the remaining bytes.
   */
  read(chunk: Buffer, onMessage: (message: Buffer) => boolean): Buffer | undefined {
    const partial = this.#partial
    if (!partial) return this.#parse(chunk, onMessage)
    if (partial.length < headerLength) {
      this.#partial = undefined
      return this.#parse(Buffer.concat([partial, chunk]), onMessage)
    }
    const copied = chunk.copy(partial, this.#filled)
    this.#filled += copied
    if (this.#filled < partial.length) return undefined
    this.#partial = undefined
    const isOver = this.#parse(partial, onMessage) !== undefined
    const rest = chunk.subarray(copied)
    return isOver ? rest : this.#parse(rest, onMessage)
  }

  #parse(bytes: Buffer, onMessage: (message: Buffer) => boolean): Buffer | undefined {
    let at = 0
    // Consecutive rows are moved to the end of the first one.
    let start = 0
    let end = 0
    while (at + headerLength <= bytes.length) {
      const next = at + 1 + int32(bytes, at + 1)
      if (next > bytes.length) break
      if (bytes[at] === dataRow) {
        const before = this.#last.bytes + (end === 0 ? 0 : end - start)
        if (before > 0 && before + next - at - headerLength > this.limit) {
          this.#addChunk(bytes, start, end)
          end = 0
          this.#batches.push(noRows())
        }
        if (end === 0) start = end = at + headerLength
        else bytes.copyWithin(end, at + headerLength, next)
        end += next - at - headerLength
        this.#last.count++
      } else {
        this.#addChunk(bytes, start, end)
        end = 0
        if (!onMessage(bytes.subarray(at, next))) return bytes.subarray(next)
      }
      at = next
    }
    this.#addChunk(bytes, start, end)
    if (at < bytes.length) this.#keepPartial(bytes.subarray(at))
    return undefined
  }

  get #last(): Rows {
    return this.#batches.at(-1) as Rows
  }

  #addChunk(bytes: Buffer, start: number, end: number): void {
    if (end === 0) return
    this.#last.chunks.push(bytes.subarray(start, end))
    this.#last.bytes += end - start
  }

  #keepPartial(bytes: Buffer): void {
    const length = bytes.length < headerLength ? bytes.length : 1 + int32(bytes, 1)
    this.#partial = Buffer.allocUnsafe(length)
    this.#filled = bytes.copy(this.#partial)
  }
}
