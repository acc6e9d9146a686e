import type { ReadCursor } from '../index.js'
import type { Bound, Range } from './_postgres-keyset.js'
import { boundAfter, type Place, type Position, type RangePlace } from './_postgres-position.js'

/** A range of a read, and how far it was read. */
interface Entry extends RangePlace {
  readonly id: number
  isTaken: boolean
  isDone: boolean
}

/**
 * The ranges that a read is split into, in their order, by values of the first column. They may be read in any order: what is
 * said of the whole is the place up to which all is read, and for the ranges behind it their own places.
 */
export class Ranges {
  readonly #cursor: ReadCursor
  /** The place up to which all is read. */
  #after: Place | undefined
  /** Those that are not read to their end, or have one before them that is not. The last one has no end. */
  #entries: Entry[]

  private constructor(cursor: ReadCursor, after: Place | undefined, places: readonly RangePlace[]) {
    this.#cursor = cursor
    this.#after = after
    this.#entries = places.map((place, id) => ({ ...place, id, isTaken: false, isDone: place.isRead ?? false }))
    this.#settle()
  }

  /** The ranges of a position, or, when it has none, those between `bounds`, the raw texts of ascending values. */
  static of(cursor: ReadCursor, position: Position | undefined, bounds: readonly string[]): Ranges {
    const places = position?.ranges ?? [...bounds.map((until) => ({ until })), {}]
    return new Ranges(cursor, position?.after, places)
  }

  /** Takes the first range that nobody reads. */
  take(): { id: number; range: Range } | undefined {
    const index = this.#entries.findIndex(({ isTaken, isDone }) => !isTaken && !isDone)
    const entry = this.#entries[index]
    if (!entry) return undefined
    entry.isTaken = true
    const { id, at, until } = entry
    const after = at ? boundAfter(at, this.#cursor) : this.#startOf(index)
    return { id, range: { isNull: false, after, until: until === undefined ? undefined : before(until) } }
  }

  /** A range was read up to a place. */
  advance(id: number, at: Place): void {
    const entry = this.#entries.find((entry) => entry.id === id)
    if (entry) Object.assign(entry, { at })
    this.#settle()
  }

  /** A range was read to its end. */
  finish(id: number): void {
    const entry = this.#entries.find((entry) => entry.id === id)
    if (entry) entry.isDone = true
    this.#settle()
  }

  /** Where reading goes on. */
  get position(): Pick<Position, 'after' | 'ranges'> {
    const after = this.after
    const [first, ...others] = this.#entries
    const isSplit = first !== undefined && others.length > 0
    return { ...(after && { after }), ...(isSplit && { ranges: this.#entries.map(placeOf) }) }
  }

  /** The place up to which all is read: that of the first range counts. */
  get after(): Place | undefined {
    return this.#entries[0]?.at ?? this.#after
  }

  /** Drops the ranges from the front that are read to their end. The last one may grow, and stays. */
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

function placeOf({ until, at, isDone }: Entry): RangePlace {
  return {
    ...(until !== undefined && { until }),
    ...(at && { at }),
    ...(isDone && until !== undefined && { isRead: true }),
  }
}
