import {
  type CursorPosition,
  type CursorRange,
  type CursorReadOptions,
  Ranges,
  type ReadBatch,
  RecordBatch,
  readInParallel,
} from '../../../adapter.js'
import type { ReadSession } from '../read/index.js'
import type { CursorType } from './cursor-types.js'
import type { Description } from './description.js'
import type { Keyset } from './keyset.js'
import { checkDivisible, splitPointsOf } from './split-points.js'

/** Ranges per reader. A reader that finishes a small range takes the next one, which evens out the work. */
const rangesPerReader = 4

/** How many bytes a session may prefetch: about what it reads while a target commits. */
const prefetchBytes = 1 << 21

/** The inputs of a parallel read. */
export interface SplitReading {
  readonly keyset: Keyset
  readonly options: CursorReadOptions
  readonly description: Description
  /** The start position. */
  readonly position: CursorPosition | undefined
  /** The maximum number of records to read. */
  readonly limit: number
  /** Begins a transaction with the snapshot `snapshot`. */
  begin(snapshot: string): Promise<ReadSession>
  /** Sets the position of each batch to that of its last record, unless ties follow. */
  withPositions(batches: AsyncIterable<RecordBatch>): AsyncGenerator<ReadBatch>
}

/** Reads a query in ranges of its first cursor column, several in parallel. */
export class SplitRead {
  readonly #reading: SplitReading
  /** The additional sessions. */
  readonly #others: ReadSession[] = []
  #left: number

  constructor(reading: SplitReading) {
    this.#reading = reading
    this.#left = reading.limit
  }

  /** Yields the batches of a range as they arrive. `session` is one of the readers. */
  async *batches(session: ReadSession, range: CursorRange): AsyncGenerator<ReadBatch> {
    const ranges = await this.#rangesOf(session, range)
    if (!Number.isFinite(this.#left)) await this.#beginOthers(session)
    const read = (session: ReadSession, range: CursorRange) => this.#reading.withPositions(this.#fetch(session, range))
    // The last batch waits until all ranges have ended.
    let last: ReadBatch | undefined
    const isLeft = () => this.#left > 0
    const limit = Math.min(prefetchBytes, this.#reading.options.batchBytes ?? prefetchBytes)
    for await (const batch of readInParallel([session, ...this.#others], ranges, read, limit, isLeft)) {
      if (last) yield last
      last = this.#mark(batch, ranges)
    }
    if (last) yield this.#mark(last, ranges)
  }

  async commit(): Promise<void> {
    for (const session of this.#others) await session.commit()
  }

  /** Releases all connections. Never rejects. */
  async release(): Promise<void> {
    await Promise.all(this.#others.map((session) => session.release()))
  }

  async #rangesOf(session: ReadSession, range: CursorRange): Promise<Ranges> {
    const { keyset, options, position, description } = this.#reading
    const { cursor } = options
    const type = description.types[0] as CursorType
    if (position?.ranges) return Ranges.of(cursor, position, [])
    checkDivisible(type, cursor.columns[0] as string, 'parallel')
    return Ranges.of(
      cursor,
      position,
      await splitPointsOf(session, keyset, range, type, cursor.parallel * rangesPerReader),
    )
  }

  async #beginOthers(session: ReadSession): Promise<void> {
    const { rows } = await session.run({ text: 'select pg_export_snapshot()', values: [] })
    const snapshot = String(rows[0]?.[0])
    while (this.#others.length + 1 < this.#reading.options.cursor.parallel) {
      this.#others.push(await this.#beginOther(session, snapshot))
    }
  }

  async #beginOther(session: ReadSession, snapshot: string): Promise<ReadSession> {
    try {
      return await this.#reading.begin(snapshot)
    } catch (error) {
      // A snapshot ends with its connection. If that connection is lost, its error is the cause.
      await session.run({ text: 'select 1', values: [] })
      throw error
    }
  }

  async *#fetch(session: ReadSession, range: CursorRange): AsyncGenerator<RecordBatch> {
    const { keyset, description, options } = this.#reading
    const { batchSize, batchBytes = Number.POSITIVE_INFINITY } = options
    const limit = Number.isFinite(this.#left) ? this.#left : undefined
    session.open(keyset.select(range, limit), description.formatOf)
    while (!session.isAtEnd) {
      const rows = await session.fetch(batchSize, batchBytes)
      this.#left -= rows?.length ?? 0
      if (rows) yield RecordBatch.fromEncoded(description.columns, rows)
    }
  }

  /** Sets the position of a batch: where reading resumes, and up to where nothing is missing. */
  #mark(read: ReadBatch, ranges: Ranges): ReadBatch {
    const { options, position, description } = this.#reading
    const { batch } = read
    if (read.position === undefined) return read
    const { afterNull } = position ?? {}
    const current = ranges.position
    const { after } = current
    const reached = { order: description.order, ...(afterNull && { afterNull }), ...current } satisfies CursorPosition
    const name = JSON.stringify(options.cursor.columns.map((column) => batch.lastValueOf(column)))
    const lastValues = Object.fromEntries((after?.columns ?? []).map((column, index) => [column, after?.values[index]]))
    return { batch, position: reached, parallel: { name, reached: lastValues } }
  }
}
