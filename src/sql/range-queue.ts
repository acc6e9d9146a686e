import type { ReadCursor } from '../ingestion/index.js'
import { boundAfter, type CursorPosition, type RangePosition, type RecordPosition } from './cursor-position.js'
import type { Bound, CursorRange } from './range.js'

/** A range of a read and its progress. */
interface Entry extends RangePosition {
  readonly id: number
  isTaken: boolean
  isDone: boolean
}

/**
 * The ranges of a parallel read, in order of the first column. They may be read in any order. The position of the
 * whole read is the record up to which everything is read, and for later ranges their own positions.
 *
 * @experimental
 */
export class Ranges {
  readonly #cursor: ReadCursor
  /** The last record up to which everything is read. */
  #after: RecordPosition | undefined
  /** The first unfinished range and all ranges after it. The last one has no end. */
  #entries: Entry[]

  private constructor(cursor: ReadCursor, after: RecordPosition | undefined, positions: readonly RangePosition[]) {
    this.#cursor = cursor
    this.#after = after
    this.#entries = positions.map((position, id) => ({
      ...position,
      id,
      isTaken: false,
      isDone: position.isRead ?? false,
    }))
    this.#settle()
  }

  /** The ranges of a position. Without one, the ranges between `bounds`, the raw texts of ascending values. */
  static of(cursor: ReadCursor, position: CursorPosition | undefined, bounds: readonly string[]): Ranges {
    const positions = position?.ranges ?? [...bounds.map((until) => ({ until })), {}]
    return new Ranges(cursor, position?.after, positions)
  }

  /** Takes the first range that is neither being read nor finished. */
  take(): { id: number; range: CursorRange } | undefined {
    const index = this.#entries.findIndex(({ isTaken, isDone }) => !isTaken && !isDone)
    const entry = this.#entries[index]
    if (!entry) return undefined
    entry.isTaken = true
    const { id, at, until } = entry
    const after = at ? boundAfter(at, this.#cursor) : this.#startOf(index)
    return { id, range: { isNull: false, after, until: until === undefined ? undefined : before(until) } }
  }

  /** Records that a range was read up to a record. */
  advance(id: number, at: RecordPosition): void {
    const entry = this.#entries.find((entry) => entry.id === id)
    if (entry) Object.assign(entry, { at })
    this.#settle()
  }

  /** Records that a range was read to its end. */
  finish(id: number): void {
    const entry = this.#entries.find((entry) => entry.id === id)
    if (entry) entry.isDone = true
    this.#settle()
  }

  /** The position from which reading resumes. */
  get position(): Pick<CursorPosition, 'after' | 'ranges'> {
    const after = this.after
    const [first, ...others] = this.#entries
    const isSplit = first !== undefined && others.length > 0
    return { ...(after && { after }), ...(isSplit && { ranges: this.#entries.map(rangePositionOf) }) }
  }

  /** The last record up to which everything is read: that of the first range. */
  get after(): RecordPosition | undefined {
    return this.#entries[0]?.at ?? this.#after
  }

  /** Drops finished ranges from the front. The last range may grow, so it stays. */
  #settle(): void {
    while (this.#entries.length > 1 && this.#entries[0]?.isDone) {
      this.#after = this.#entries.shift()?.at ?? this.#after
    }
  }

  #startOf(index: number): Bound | undefined {
    const until = this.#entries[index - 1]?.until
    return until === undefined ? boundAfter(this.#after, this.#cursor) : before(until)
  }
}

function before(value: string): Bound {
  return { values: [value], isBefore: true }
}

function rangePositionOf({ until, at, isDone }: Entry): RangePosition {
  return {
    ...(until !== undefined && { until }),
    ...(at && { at }),
    ...(isDone && until !== undefined && { isRead: true }),
  }
}
