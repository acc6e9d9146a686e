import {
  type BatchOptions,
  type CursorPosition,
  invalid,
  JobError,
  type JobRecord,
  type Lookback,
  quotedNames,
  Ranges,
  type ReadBatch,
  type ReadCursor,
  type RecordBatch,
  type RecordPosition,
  recordPositionOf,
  type Segment,
  type SplitRequest,
  segmentsOf,
  tieFailure,
} from '../../../adapter.js'
import { sizeOf } from '../size-of.js'
import { type CursorColumn, compareKeys } from './cursor-column.js'
import { positionIn } from './memory-position.js'
import { SortedRecords } from './sorted-records.js'

/** Ranges per reader, as of a database: a resume then finds several that were not read to their end. */
const rangesPerReader = 4

/** Records in memory, and how batches are made of them. */
export interface MemoryRecords {
  readonly records: readonly JobRecord[]
  /** The batch of the records at these places. */
  batchOf(places: readonly number[]): RecordBatch
}

/** Limits of a batch. */
type BatchLimits = Pick<BatchOptions, 'batchSize' | 'batchBytes'>

/** A batch of a range, before its position is known as one of the whole read. */
interface Piece {
  readonly read: ReadBatch
  /** The place of its last record. */
  readonly last: number
  /** Whether it ends the range. */
  readonly isLast: boolean
}

/** Reads records in memory in the order of a cursor. */
export class MemoryRead {
  readonly #source: MemoryRecords
  readonly #cursor: ReadCursor
  readonly #sorted: SortedRecords
  readonly #segments: readonly Segment[]
  #position: CursorPosition | undefined
  /** How many records may still be read. */
  #left: number

  private constructor(source: MemoryRecords, cursor: ReadCursor, sorted: SortedRecords) {
    this.#source = source
    this.#cursor = cursor
    this.#sorted = sorted
    const lookback = this.#lookback()
    this.#position = positionIn(sorted, cursor)
    this.#segments = segmentsOf(cursor, this.#position, () => lookback)
    this.#left = cursor.limit
  }

  /** Sorts the records, and validates the position of the cursor. Throws `datasource` for records that have no order. */
  static async of(source: MemoryRecords, cursor: ReadCursor): Promise<MemoryRead> {
    return new MemoryRead(source, cursor, await SortedRecords.of(source.records, cursor.columns))
  }

  /** The batches, which may not be read twice. */
  *batches(limits: BatchLimits): Generator<ReadBatch> {
    this.#handleNulls()
    this.#refuseTies()
    const isParallel = this.#cursor.parallel > 1 && !Number.isFinite(this.#left)
    const isSplit = isParallel || this.#position?.ranges !== undefined
    for (const segment of this.#segments) {
      const isLast = segment === this.#segments.at(-1)
      if (segment.isRepeated) yield* this.#repeated(segment, limits)
      else if (this.#left > 0)
        yield* isSplit && isLast ? this.#readRanges(segment, limits) : this.#read(segment, limits)
    }
  }

  /** How many records `batches` returns without a limit. */
  count(): number {
    const ranges = this.#position?.ranges && Ranges.of(this.#cursor, this.#position, [])
    const segments = ranges ? this.#segments.slice(0, -1) : this.#segments
    let count = 0
    for (const segment of segments) count += this.#sorted.range(segment).length
    for (let next = ranges?.take(); next; next = ranges?.take()) count += this.#sorted.range(next.range).length
    return count
  }

  /** The values at which ranges after the first begin, behind the position: those given, or of about as many records each. */
  split(split: SplitRequest): string[] {
    if (this.#position?.ranges) throw splitFailure()
    if (this.#cursor.nulls === 'fail') this.#handleNulls()
    const segment = this.#segments.at(-1) as Segment
    return typeof split === 'number' ? this.#boundsIn(segment, split) : this.#boundsAfter(segment, split)
  }

  #boundsIn(segment: Segment, count: number): string[] {
    const places = this.#sorted.range(segment)
    const values = [...new Set(places.map((place) => this.#sorted.valuesAt(place)[0] as string))]
    const bounds = Array.from({ length: count - 1 }, (_, n) => values[Math.floor(((n + 1) * values.length) / count)])
    return [...new Set(bounds)].filter((bound) => bound !== undefined && bound !== values[0]) as string[]
  }

  #boundsAfter({ after }: Segment, given: readonly string[]): string[] {
    const [column] = this.#sorted.columns as readonly [CursorColumn]
    if (column.kind === undefined) return [...given]
    const keys = given.map((bound) => column.parse(bound))
    const foreign = keys.indexOf(undefined)
    if (foreign >= 0) throw invalid('partitions', `values of the cursor column \`${column.name}\``, given[foreign])
    const last = after && this.#sorted.keysOf(after.values.slice(0, 1))
    const later = keys.filter((key) => key !== undefined).filter((key) => !last || compareKeys([key], last) > 0)
    return [...new Set(later.toSorted((one, other) => compareKeys([one], [other])).map((key) => column.textOf(key)))]
  }

  #lookback(): Lookback | undefined {
    const { lookback: distance } = this.#cursor
    const [{ name, kind }] = this.#sorted.columns as readonly [CursorColumn]
    if (distance === 0) return undefined
    if (kind === undefined || kind === 'number') return { distance, type: 'number', isTime: false }
    if (kind === 'date' || this.#sorted.hasTimes) return { distance, type: kind, isTime: true }
    const expected =
      'Expected the first column of a cursor with `lookback` to be a number, a date or a text of a time in ISO 8601'
    throw new JobError('datasource', `${expected}, got \`${name}\`, which is a ${kind}.`)
  }

  /** The first of several ranges counts the nulls of all. */
  #handleNulls(): void {
    const { nulls, range, onNullsSkipped } = this.#cursor
    if (range?.from !== undefined) return
    if (nulls === 'skip') onNullsSkipped(this.#sorted.nullCount)
    const column = nulls === 'skip' ? undefined : this.#sorted.nullFrom(nulls === 'first' ? 1 : 0)
    if (column) throw nullFailure(column.name, column === this.#sorted.columns[0])
  }

  /** An unread or new record that is tied with the last one would never be read. */
  #refuseTies(): void {
    const { ties, lookback, columns } = this.#cursor
    if (ties === 'drain' || lookback > 0) return
    for (const { after, isNull } of this.#segments) {
      if (!after || after.isBefore) continue
      if (this.#sorted.countAt(after, isNull) > 1) throw tieFailure(columns, after.values)
    }
  }

  *#repeated(segment: Segment, limits: BatchLimits): Generator<ReadBatch> {
    const places = this.#sorted.range(segment)
    for (let start = 0; start < places.length; ) {
      const end = this.#endOfBatch(places, start, places.length, limits)
      yield { batch: this.#source.batchOf(places.slice(start, end)), isReplay: true }
      start = end
    }
  }

  *#read(segment: Segment, limits: BatchLimits): Generator<ReadBatch> {
    const before = { ...this.#position, order: this.#sorted.order }
    const whole = (record: RecordPosition | undefined): CursorPosition | undefined =>
      record && { ...before, ...(segment.isNull ? { afterNull: record } : { after: record }) }
    for (const { read } of this.#pieces(this.#sorted.range(segment), limits)) {
      const position = whole(read.position as RecordPosition | undefined)
      if (position) this.#position = position
      yield { ...read, position, positionAfter: (count) => whole(read.positionAfter?.(count) as RecordPosition) }
    }
  }

  /** Reads several ranges, a batch of each in turn, as readers of a database that are equally fast. */
  *#readRanges(segment: Segment, limits: BatchLimits): Generator<ReadBatch> {
    const { parallel } = this.#cursor
    const isLimited = Number.isFinite(this.#left)
    const bounds = this.#position?.ranges ? [] : this.#boundsIn(segment, parallel * rangesPerReader)
    const ranges = Ranges.of(this.#cursor, this.#position, bounds)
    const waiting = [...this.#readersOf(ranges, limits)]
    const readers = waiting.splice(0, isLimited ? 1 : parallel)
    let isTied = false
    for (let turn = 0; readers.length > 0 && (this.#left > 0 || isTied); ) {
      const index = turn % readers.length
      const { id, pieces } = readers[index] as (typeof readers)[number]
      const { value: piece } = pieces.next() as IteratorResult<Piece, undefined>
      const position = piece?.read.position as RecordPosition | undefined
      if (position) ranges.advance(id, position)
      if (piece?.isLast) ranges.finish(id)
      if (!piece || piece.isLast) readers.splice(index, 1, ...waiting.splice(0, 1))
      if (piece) yield this.#mark(piece, ranges)
      // A read cannot resume between ties, so a reader that has begun them goes on to their end.
      isTied = piece !== undefined && position === undefined
      if (!isTied) turn++
    }
  }

  /** A reader of each range that has records. */
  *#readersOf(ranges: Ranges, limits: BatchLimits): Generator<{ id: number; pieces: Generator<Piece, undefined> }> {
    for (let next = ranges.take(); next; next = ranges.take()) {
      const places = this.#sorted.range(next.range)
      if (places.length === 0) ranges.finish(next.id)
      else yield { id: next.id, pieces: this.#pieces(places, limits) }
    }
  }

  /** Sets the position of a batch: where reading resumes, and up to where nothing is missing. */
  #mark({ read, last }: Piece, ranges: Ranges): ReadBatch {
    const { batch } = read
    if (read.position === undefined) return { batch }
    const { afterNull } = this.#position ?? {}
    const { after } = ranges.position
    const { order } = this.#sorted
    const position: CursorPosition = { order, ...(afterNull && { afterNull }), ...ranges.position }
    const reached = Object.fromEntries((after?.columns ?? []).map((name, index) => [name, after?.values[index]]))
    return { batch, position, parallel: { name: JSON.stringify(this.#sorted.valuesAt(last)), reached } }
  }

  /** The batches of a range. Throws at the first two ties that are refused, after the records before them. */
  *#pieces(places: readonly number[], limits: BatchLimits): Generator<Piece, undefined> {
    const { ties, columns } = this.#cursor
    const tied = ties === 'refuse' ? places.findIndex((_, at) => this.#sorted.isTied(places, at)) : -1
    const isRefused = tied > 0 && tied <= this.#left
    for (let start = 0; ; ) {
      const end = this.#endOf(places, start, tied)
      if (start >= end) break
      const next = this.#endOfBatch(places, start, end, limits)
      this.#left -= next - start
      yield this.#pieceOf(places, start, next, !isRefused && next === places.length)
      start = next
    }
    if (isRefused) throw tieFailure(columns, this.#sorted.valuesAt(places[tied]))
    return undefined
  }

  /** Where reading ends: at the limit and the rest of its ties, or before ties that are refused. */
  #endOf(places: readonly number[], start: number, tied: number): number {
    let end = Math.min(tied > 0 ? tied - 1 : places.length, start + Math.max(0, this.#left))
    if (this.#cursor.ties === 'drain') while (this.#sorted.isTied(places, end)) end++
    return end
  }

  #pieceOf(places: readonly number[], start: number, end: number, isLast: boolean): Piece {
    const positionAt = (at: number) =>
      this.#sorted.isTied(places, at)
        ? undefined
        : recordPositionOf(this.#cursor, this.#sorted.valuesAt(places[at - 1]))
    const batch = this.#source.batchOf(places.slice(start, end))
    const read = { batch, position: positionAt(end), positionAfter: (count: number) => positionAt(start + count) }
    return { read, last: places[end - 1] as number, isLast }
  }

  /** Where the batch that begins at `start` ends, by its number of records and of bytes. */
  #endOfBatch(places: readonly number[], start: number, end: number, limits: BatchLimits): number {
    const { batchSize, batchBytes = Number.POSITIVE_INFINITY } = limits
    const most = Math.min(end, start + batchSize)
    if (!Number.isFinite(batchBytes)) return most
    let next = start
    for (let bytes = 0; next < most; next++) {
      bytes += sizeOf(this.#source.records[places[next] as number] as JobRecord)
      if (bytes > batchBytes && next > start) break
    }
    return next
  }
}

/** The error for a position in several ranges where one is expected. */
function splitFailure(): JobError {
  return new JobError(
    'datasource',
    'The checkpoint is of an interrupted run with `parallel`: run the job once to its end with `parallel` before you set `partitions`.',
  )
}

/** The error for a record with null in a cursor column. */
function nullFailure(name: string, isFirst: boolean): JobError {
  const first = isFirst ? "read them before all others with `nulls: 'first'`, " : ''
  return new JobError(
    'datasource',
    `A record has null in the cursor column ${quotedNames([name])}, so it has no position in the order. Skip such records with \`nulls: 'skip'\`, ${first}or replace null in the records.`,
  )
}
