import { type ReadCursor, type ReadOptions, RecordBatch } from '../index.js'
import { boundsAfter, boundsOf, checkDivisible } from './_postgres-bounds.js'
import type { CursorType } from './_postgres-cursor-types.js'
import type { Description } from './_postgres-description.js'
import type { Keyset, Range } from './_postgres-keyset.js'
import { readSideBySide } from './_postgres-parallel.js'
import type { Position } from './_postgres-position.js'
import { Ranges } from './_postgres-ranges.js'
import type { Session } from './_postgres-session.js'
import { damaged } from './_postgres-stored.js'

/** Ranges per reader: who is done with a small one takes the next, so that uneven ranges even out. */
const rangesPerReader = 4

/** How much a session may have read that nobody has taken, in bytes: about what it reads while a target commits. */
const aheadBytes = 1 << 21

/** What a read in ranges is made of. */
export interface SplitReading {
  readonly cursor: ReadCursor
  readonly keyset: Keyset
  readonly options: ReadOptions
  readonly description: Description
  /** Where it begins. */
  readonly position: Position | undefined
  /** The most records to read. */
  readonly limit: number
  /** Begins a transaction that sees what that of `snapshot` sees. */
  begin(snapshot: string): Promise<Session>
  /** Gives batches the place of their last record as position, unless ties go on behind it. */
  place(batches: AsyncIterable<RecordBatch>): AsyncGenerator<RecordBatch>
}

/** A read of a query in ranges of its first cursor column, of which several are read side by side. */
export class SplitRead {
  readonly #reading: SplitReading
  /** The sessions beside the one that was there. */
  readonly #others: Session[] = []
  #left: number

  constructor(reading: SplitReading) {
    this.#reading = reading
    this.#left = reading.limit
  }

  /** The batches of a range, as they come. `session` is one of those that read. */
  async *batches(session: Session, range: Range): AsyncGenerator<RecordBatch> {
    const ranges = await this.#rangesOf(session, range)
    if (!Number.isFinite(this.#left)) await this.#beginOthers(session)
    const read = (session: Session, range: Range) => this.#reading.place(this.#fetch(session, range))
    // The last one waits until all ranges are known to be at their end.
    let last: RecordBatch | undefined
    const isLeft = () => this.#left > 0
    const room = Math.min(aheadBytes, this.#reading.options.batchBytes ?? aheadBytes)
    for await (const batch of readSideBySide([session, ...this.#others], ranges, read, room, isLeft)) {
      if (last) yield last
      last = this.#mark(batch, ranges)
    }
    if (last) yield this.#mark(last, ranges)
  }

  async commit(): Promise<void> {
    for (const session of this.#others) await session.commit()
  }

  /** Gives back what is held. Never rejects. */
  async release(): Promise<void> {
    await Promise.all(this.#others.map((session) => session.release()))
  }

  async #rangesOf(session: Session, range: Range): Promise<Ranges> {
    const { cursor, keyset, position, description } = this.#reading
    const type = description.types[0] as CursorType
    if (position?.ranges) {
      const ends = position.ranges.flatMap(({ until }) => until ?? [])
      const inOrder = await boundsAfter(session, keyset, undefined, ends, type)
      if (String(inOrder) !== String(ends)) throw damaged('Expected `cursor.ranges` to be in the order of the cursor')
      return Ranges.of(cursor, position, [])
    }
    checkDivisible(type, cursor.columns[0] as string, 'parallel')
    return Ranges.of(cursor, position, await boundsOf(session, keyset, range, type, cursor.parallel * rangesPerReader))
  }

  async #beginOthers(session: Session): Promise<void> {
    const { rows } = await session.run({ text: 'select pg_export_snapshot()', values: [] })
    const snapshot = String(rows[0]?.[0])
    while (this.#others.length + 1 < this.#reading.cursor.parallel) {
      this.#others.push(await this.#beginOther(session, snapshot))
    }
  }

  async #beginOther(session: Session, snapshot: string): Promise<Session> {
    try {
      return await this.#reading.begin(snapshot)
    } catch (error) {
      // A snapshot is gone with the connection that gave it: when that one is lost, this is what failed.
      await session.run({ text: 'select 1', values: [] })
      throw error
    }
  }

  async *#fetch(session: Session, range: Range): AsyncGenerator<RecordBatch> {
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

  /** Says where reading goes on behind a batch and all before it, and up to where nothing is missing. */
  #mark(batch: RecordBatch, ranges: Ranges): RecordBatch {
    const { cursor, position, description } = this.#reading
    if (batch.position === undefined) return batch
    const { afterNull } = position ?? {}
    const place = ranges.position
    const { after } = place
    batch.position = { order: description.order, ...(afterNull && { afterNull }), ...place } satisfies Position
    const name = JSON.stringify(cursor.columns.map((column) => batch.lastValueOf(column)))
    const reached = Object.fromEntries((after?.columns ?? []).map((column, index) => [column, after?.values[index]]))
    batch.split = { name, reached }
    return batch
  }
}
