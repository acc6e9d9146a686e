import {
  type Bound,
  boundAfter,
  type CursorColumns,
  type CursorPosition,
  type CursorRange,
  type CursorReadOptions,
  drainTies,
  JobError,
  type Lookback,
  type Partitioning,
  type Query,
  type ReadBatch,
  type ReadCursor,
  RecordBatch,
  type RecordPosition,
  recordPositionOf,
  refuseTies,
  type SplitRequest,
  tieFailure,
} from '../../../adapter.js'
import type { ReadSession } from '../read/index.js'
import type { CursorType } from './cursor-types.js'
import { type Description, describe } from './description.js'
import { divisionFailure, nullFailure, parallelFailure, vanishedFailure } from './errors.js'
import { estimateOf, orderWarning } from './index-advice.js'
import { Keyset } from './keyset.js'
import { checkRange } from './position-range.js'
import { splitPointsAfter, splitPointsOf } from './split-points.js'
import { checkOrder, checkValues, positionOf } from './stored-position.js'

/** The inputs of a read by a cursor. */
export interface CursorReading {
  readonly query: Query
  readonly options: CursorReadOptions
  /** Begins a transaction with one snapshot for all its statements. */
  begin(): Promise<ReadSession>
}

/** A segment of a read: a range, and how it affects the position. */
interface Segment extends CursorRange {
  /** Whether the records were read before. */
  readonly isRepeated: boolean
}

/** Reads a query in the order of its cursor columns. */
export class CursorRead {
  readonly #reading: CursorReading
  readonly #cursor: ReadCursor
  readonly #keyset: Keyset
  #position: CursorPosition | undefined
  /** How many records may still be read. */
  #left: number
  #session!: ReadSession
  #description!: Description

  constructor(reading: CursorReading) {
    const { query, options } = reading
    this.#reading = reading
    this.#cursor = options.cursor
    this.#keyset = new Keyset(query, options.cursor.columns)
    this.#left = options.cursor.limit
  }

  async *batches(): AsyncGenerator<ReadBatch> {
    if (this.#cursor.parallel > 1) throw parallelFailure()
    await this.#open()
    this.#reading.options.onColumns?.(this.#description.columns)
    const segments = this.#segments()
    // The read that partitioned the query has checked for nulls.
    const isFirst = this.#cursor.range?.from === undefined
    if (isFirst) await this.#handleNulls()
    if (this.#cursor.ties === 'refuse') await this.#refuseTies(segments)
    if (isFirst) await this.#warnAboutOrder(segments)
    for (const segment of segments) if (this.#left > 0) yield* this.#read(segment, segment === segments.at(-1))
    await this.#session.commit()
  }

  /** Partitions the query. */
  async partition(split: SplitRequest): Promise<Omit<Partitioning, 'release'>> {
    await this.#open()
    if (this.#cursor.nulls === 'fail') await this.#handleNulls()
    const [segment] = this.#segments() as [Segment]
    return { bounds: await this.#boundsOf(segment, split), start: { order: this.#description.order } }
  }

  /** How many records `batches` would read. `undefined` when the plan does not tell. */
  async count(isEstimate: boolean): Promise<number | undefined> {
    await this.#open()
    let count = 0
    for (const segment of this.#segments()) {
      const found = isEstimate
        ? await estimateOf(this.#session, this.#keyset.select(segment))
        : Number((await this.#session.run(this.#keyset.count(segment))).rows[0]?.[0])
      if (found === undefined) return undefined
      count += found
    }
    return count
  }

  /** Releases the connection. Never rejects. */
  async release(): Promise<void> {
    await this.#session?.release()
  }

  async #open(): Promise<void> {
    this.#session = await this.#reading.begin()
    this.#description = await describe(this.#session, this.#keyset, this.#reading.query.text, this.#cursor)
    checkOrder(this.#cursor, this.#description.order)
    const { types } = this.#description
    this.#position = positionOf(this.#cursor, types)
    await checkValues(this.#session, this.#cursor, this.#position, types)
    await checkRange(this.#session, this.#keyset, this.#cursor, this.#position)
  }

  #segments(): Segment[] {
    const { nulls, range } = this.#cursor
    const after = boundAfter(this.#position?.after, this.#cursor) ?? startOf(range?.from)
    const rest: Segment = { isNull: false, after, until: startOf(range?.until), isRepeated: false }
    const lookback = after && this.#lookback()
    const repeated: Segment[] = lookback ? [{ isNull: false, until: after, lookback, isRepeated: true }] : []
    if (nulls !== 'first') return [...repeated, rest]
    const afterNull = boundAfter(this.#position?.afterNull, this.#cursor)
    return [{ isNull: true, after: afterNull, isRepeated: false }, ...repeated, rest]
  }

  /** No split point lies before the last record read, or records behind it would be read again. */
  async #boundsOf(segment: Segment, split: SplitRequest): Promise<string[]> {
    const type = this.#description.types[0] as CursorType
    if (typeof split !== 'number') {
      const last = segment.after?.values[0] as string | undefined
      return splitPointsAfter(this.#session, this.#keyset, last, split, type)
    }
    if (type.unit === undefined) throw divisionFailure(this.#cursor.columns[0] as string, type.name)
    return splitPointsOf(this.#session, this.#keyset, segment, type, split)
  }

  #lookback(): Lookback | undefined {
    const { lookback: distance, columns } = this.#cursor
    if (distance === 0) return undefined
    const { unit, name } = this.#description.types[0] as CursorType
    if (!unit) {
      throw new JobError(
        'datasource',
        `Expected the first column of a cursor with \`lookback\` to be a date, a timestamp or a number, got \`${columns[0]}\` of the type ${name}.`,
      )
    }
    if (unit === 'integer' && !Number.isSafeInteger(distance)) {
      throw new JobError(
        'datasource',
        `Expected \`lookback\` to be a whole number, because \`${columns[0]}\` holds integers.`,
      )
    }
    return { distance, type: name, isTime: unit === 'milliseconds' }
  }

  async #handleNulls(): Promise<void> {
    const { nulls, columns, onNullsSkipped } = this.#cursor
    if (nulls === 'skip') {
      const { rows } = await this.#session.run(this.#keyset.countNulls())
      return onNullsSkipped(Number(rows[0]?.[0]))
    }
    const from = nulls === 'first' ? 1 : 0
    if (!this.#description.nullable.slice(from).includes(true)) return
    const { rows } = await this.#session.run(this.#keyset.findNull(from))
    const found = rows[0]?.indexOf('1') ?? -1
    if (found >= 0) throw nullFailure(columns[found + from] as string, found + from === 0)
  }

  /** An unread or new record that is tied with the last one would never be read. */
  async #refuseTies(segments: readonly Segment[]): Promise<void> {
    for (const segment of segments) {
      const { after } = segment
      if (!after || after.isBefore || this.#cursor.lookback > 0) continue
      const { rows } = await this.#session.run(this.#keyset.selectTied(segment))
      if (rows.length > 1) throw tieFailure(this.#cursor.columns, after.values)
    }
  }

  async #warnAboutOrder(segments: readonly Segment[]): Promise<void> {
    const { warn } = this.#reading.options
    const last = segments.at(-1)
    if (!warn || !last) return
    const warning = await orderWarning(this.#session, this.#keyset.select(last), this.#cursor.columns)
    if (warning) warn(warning)
  }

  /** The batches of a segment, with the position after each. */
  async *#read(segment: Segment, isLast: boolean): AsyncGenerator<ReadBatch> {
    const batches = this.#fetch(segment, isLast)
    if (segment.isRepeated) {
      for await (const batch of batches) yield { batch, isReplay: true }
      return
    }
    const positionOf = (record: RecordPosition): CursorPosition => ({
      ...this.#position,
      order: this.#description.order,
      ...(segment.isNull ? { afterNull: record } : { after: record }),
    })
    for await (const read of this.#withPositions(batches, positionOf)) {
      if (read.position) this.#position = read.position as CursorPosition
      yield read
    }
  }

  #withPositions(
    batches: AsyncIterable<RecordBatch>,
    positionOf: (record: RecordPosition) => unknown,
  ): AsyncGenerator<ReadBatch> {
    const { columns: names, ties } = this.#cursor
    const columns: CursorColumns = { names, canonical: this.#description.types.map(({ canonical }) => canonical) }
    const checkTies = ties === 'drain' ? drainTies : refuseTies
    return checkTies(batches, columns, (values) => positionOf(recordPositionOf(this.#cursor, values)))
  }

  /** The batches of a segment, in one statement or in pages. */
  async *#fetch(segment: Segment, isLast: boolean): AsyncGenerator<RecordBatch> {
    const { columns, consistency } = this.#cursor
    const { batchSize, batchBytes = Number.POSITIVE_INFINITY } = this.#reading.options
    let { after } = segment
    for (let isOver = false; !isOver; ) {
      const size = this.#sizeOf(segment)
      if (size === 0) return
      const range = { ...segment, after }
      const end = size === undefined ? undefined : await this.#endOf(range, size)
      // Fewer records than a page are left.
      isOver = end === undefined
      await this.#session.open(this.#keyset.select(range, end), this.#description.readsOf, batchSize, batchBytes)
      let last: RecordBatch | undefined
      while (!this.#session.isAtEnd) {
        const rows = await this.#session.fetch()
        if (!segment.isRepeated) this.#left -= rows?.length ?? 0
        if (this.#session.isAtEnd && isLast && (isOver || this.#left <= 0)) await this.#session.commit()
        if (!rows) break
        last = RecordBatch.fromEncoded(this.#description.columns, rows)
        yield last
      }
      if (last) after = { values: columns.map((name) => (last as RecordBatch).lastValueOf(name)), isBefore: false }
      else if (end) throw vanishedFailure()
      if (consistency === 'pages' && !this.#session.isCommitted) await this.#session.renew()
    }
  }

  /** The point after the record at a place of a range and all that are tied with it; `undefined` when the range has fewer records. */
  async #endOf(range: CursorRange, place: number): Promise<Bound | undefined> {
    const { rows } = await this.#session.run(this.#keyset.selectAt(range, place))
    const [values] = rows
    return values && { values, isBefore: false }
  }

  /** How many rows the next statement returns, without ties with the last of them. Undefined for all. */
  #sizeOf({ isRepeated }: Segment): number | undefined {
    const left = isRepeated ? Number.POSITIVE_INFINITY : Math.max(0, this.#left)
    const size = this.#cursor.consistency === 'statement' ? left : Math.min(left, this.#reading.options.batchSize)
    return Number.isFinite(size) ? size : undefined
  }
}

/** The point before all records with this value in the first column. */
function startOf(value: string | undefined): Bound | undefined {
  return value === undefined ? undefined : { values: [value], isBefore: true }
}
