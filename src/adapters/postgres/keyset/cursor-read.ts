import {
  type CursorColumns,
  type CursorPosition,
  drainTies,
  invalid,
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
  type Segment,
  type SplitRequest,
  segmentsOf,
  tieFailure,
} from '../../../adapter.js'
import { isDataError } from '../client/index.js'
import type { ReadSession } from '../read/index.js'
import type { CursorType } from './cursor-types.js'
import { type CursorReading, type Description, describe } from './description.js'
import { nullFailure, splitFailure, staleFailure } from './errors.js'
import { estimateOf, orderWarning } from './index-advice.js'
import { Keyset } from './keyset.js'
import { checkOrder } from './order.js'
import { SplitRead } from './parallel-read.js'
import { checkRanges } from './position-range.js'
import { checkDivisible, splitPointsAfter, splitPointsOf } from './split-points.js'
import { checkColumns, checkValues, orderIn, positionOf } from './stored-position.js'

/** How many times a read starts when its tables keep being refilled. */
const maxTries = 10

/** Reads a query in the order of its cursor columns. */
export class CursorRead {
  readonly #reading: CursorReading
  readonly #cursor: ReadCursor
  readonly #keyset: Keyset
  /** The snapshot to read, while it exists. */
  #snapshot: string | undefined
  #position: CursorPosition | undefined
  /** How many records may still be read. */
  #left: number
  #session: ReadSession | undefined
  #split: SplitRead | undefined
  #description!: Description

  constructor(reading: CursorReading) {
    const { query, options } = reading
    const { cursor } = options
    this.#reading = reading
    this.#cursor = cursor
    this.#keyset = new Keyset(query, cursor.columns)
    this.#left = cursor.limit
    this.#snapshot = cursor.snapshot
  }

  async *batches(): AsyncGenerator<ReadBatch> {
    const session = await this.#open()
    this.#reading.options.onColumns?.(this.#description.columns)
    const segments = this.#segments()
    // The read that partitioned the query has checked for nulls.
    const isFirst = this.#cursor.range?.from === undefined
    if (isFirst) await this.#handleNulls(session)
    if (this.#cursor.ties === 'refuse') await this.#refuseTies(session, segments)
    if (isFirst) await this.#warnAboutOrder(session, segments)
    // A read with a limit must not read more records in parallel.
    const isParallel = this.#cursor.parallel > 1 && !Number.isFinite(this.#left)
    const isSplit = isParallel || this.#position?.ranges !== undefined
    for (const segment of segments) {
      const isLast = segment === segments.at(-1)
      if (this.#left > 0) yield* isSplit && isLast ? this.#readSplit(segment) : this.#read(segment, isLast)
    }
    await this.#commit()
  }

  /** Partitions the query. Its transaction stays open, with its snapshot, until `release`. */
  async partition(split: SplitRequest): Promise<Omit<Partitioning, 'release'>> {
    const session = await this.#open()
    if (this.#position?.ranges) throw splitFailure()
    if (this.#cursor.nulls === 'fail') await this.#handleNulls(session)
    // The transaction waits for the partitions, which may take long.
    const keep = 'set local idle_in_transaction_session_timeout to 0'
    await session.run({ text: keep, values: [] })
    const { rows } = await session.run({ text: 'select pg_export_snapshot()', values: [] })
    const bounds = await this.#splitPointsOf(session, split)
    return {
      bounds,
      snapshot: String(rows[0]?.[0]),
      start: { order: this.#description.order } satisfies CursorPosition,
    }
  }

  /** How many records `batches` would read. `undefined` when an earlier read has left ranges of several readers. */
  async count(isEstimate: boolean): Promise<number | undefined> {
    const session = await this.#open()
    if (this.#position?.ranges) return undefined
    let count = 0
    for (const segment of this.#segments()) {
      const statement = isEstimate ? this.#keyset.select(segment) : this.#keyset.count(segment)
      const found = isEstimate ? await estimateOf(session, statement) : await countOf(session, statement)
      if (found === undefined) return undefined
      count += found
    }
    return count
  }

  /** Releases all connections. Never rejects. */
  async release(): Promise<void> {
    await Promise.all([this.#session?.release(), this.#split?.release()])
  }

  /**
   * Opens a session and describes the query. Repeats this when the tables were refilled after the snapshot was taken.
   */
  async #open(): Promise<ReadSession> {
    for (let tries = 0; tries < maxTries; tries++) {
      const session = await this.#begin()
      const description = await describe(session, this.#keyset, this.#reading)
      if (description) {
        checkColumns(this.#cursor)
        checkOrder(this.#cursor.columns, orderIn(this.#cursor), description.order)
        this.#position = positionOf(this.#cursor, description.types)
        await checkValues(session, this.#cursor, description.types)
        const [type] = description.types as [CursorType]
        await checkRanges(session, this.#keyset, this.#cursor, this.#position, type)
        this.#description = description
        return session
      }
      await session.release()
      this.#session = undefined
      if (this.#snapshot !== undefined) this.#cursor.onSnapshotLost?.()
      this.#snapshot = undefined
    }
    throw staleFailure(maxTries)
  }

  async #begin(): Promise<ReadSession> {
    this.#session ??= await this.#reading.begin(this.#snapshot)
    return this.#session
  }

  async #commit(): Promise<void> {
    await this.#split?.commit()
    await this.#session?.commit()
    this.#session = undefined
  }

  #segments(): Segment[] {
    return segmentsOf(this.#cursor, this.#position, () => this.#lookback())
  }

  /** No split point lies before the last record read, or records behind it would be read again. */
  async #splitPointsOf(session: ReadSession, split: SplitRequest): Promise<string[]> {
    const [segment] = this.#segments() as [Segment]
    const type = this.#description.types[0] as CursorType
    if (typeof split !== 'number') {
      const last = segment.after?.values[0] as string | undefined
      try {
        return await splitPointsAfter(session, this.#keyset, last, split, type)
      } catch (cause) {
        if (!isDataError(cause)) throw cause
        throw invalid('partitions', `values of the type ${type.name}, as the first cursor column has`, split, { cause })
      }
    }
    checkDivisible(type, this.#cursor.columns[0] as string, 'partitions')
    return splitPointsOf(session, this.#keyset, segment, type, split)
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
    const wide: Record<string, string> = { int2: 'int8', int4: 'int8', float4: 'float8' }
    return { distance, type: wide[name] ?? name, isTime: unit === 'milliseconds' }
  }

  async #handleNulls(session: ReadSession): Promise<void> {
    const { nulls, columns, onNullsSkipped } = this.#cursor
    if (nulls === 'skip') {
      const { rows } = await session.run(this.#keyset.countNulls())
      return onNullsSkipped(Number(rows[0]?.[0]))
    }
    const from = nulls === 'first' ? 1 : 0
    if (from === columns.length) return
    const { rows } = await session.run(this.#keyset.findNull(from))
    const found = rows[0]?.indexOf('t') ?? -1
    if (found >= 0) throw nullFailure(columns[found + from] as string, found + from === 0)
  }

  /** An unread or new record that is tied with the last one would never be read. */
  async #refuseTies(session: ReadSession, segments: readonly Segment[]): Promise<void> {
    for (const segment of segments) {
      const { after } = segment
      if (!after || after.isBefore || this.#cursor.lookback > 0) continue
      const { rows } = await session.run(this.#keyset.selectTied(segment))
      if (rows.length > 1) throw tieFailure(this.#cursor.columns, after.values)
    }
  }

  async #warnAboutOrder(session: ReadSession, segments: readonly Segment[]): Promise<void> {
    const { warn } = this.#reading.options
    const last = segments.at(-1)
    if (!warn || !last) return
    const statement = this.#keyset.select(last, this.#sizeOf(last))
    const warning = await orderWarning(session, statement, this.#cursor.columns, this.#description.fields)
    if (warning) warn(warning)
  }

  /** The batches of a segment, with their positions. */
  async *#read(segment: Segment, isLast: boolean): AsyncGenerator<ReadBatch> {
    const batches = this.#fetch(segment, isLast)
    if (segment.isRepeated) {
      for await (const batch of batches) yield { batch, isReplay: true }
      return
    }
    const before = { ...this.#position, order: this.#description.order }
    const positionOf = (record: RecordPosition): CursorPosition => ({
      ...before,
      ...(segment.isNull ? { afterNull: record } : { after: record }),
    })
    for await (const read of this.#withPositions(batches, positionOf)) {
      if (read.position) this.#position = read.position as CursorPosition
      yield read
    }
  }

  /** Sets the position of each batch to the result of `positionOf` for its last record, unless ties follow. */
  #withPositions(
    batches: AsyncIterable<RecordBatch>,
    positionOf: (record: RecordPosition) => unknown,
  ): AsyncGenerator<ReadBatch> {
    const { columns: names, ties } = this.#cursor
    const columns: CursorColumns = { names, canonical: this.#description.types.map(({ canonical }) => canonical) }
    const checkTies = ties === 'drain' ? drainTies : refuseTies
    return checkTies(batches, columns, (values) => positionOf(recordPositionOf(this.#cursor, values)))
  }

  /** The batches of a segment that is read in ranges. */
  async *#readSplit(segment: Segment): AsyncGenerator<ReadBatch> {
    const { options, begin } = this.#reading
    this.#split = new SplitRead({
      ...{ keyset: this.#keyset, options, begin, description: this.#description },
      position: this.#position,
      limit: this.#left,
      withPositions: (batches) => this.#withPositions(batches, (record) => record),
    })
    yield* this.#split.batches(await this.#begin(), segment)
  }

  /** The batches of a segment, in one statement or in pages. */
  async *#fetch(segment: Segment, isLast: boolean): AsyncGenerator<RecordBatch> {
    const { columns, consistency } = this.#cursor
    const { batchBytes = Number.POSITIVE_INFINITY } = this.#reading.options
    let { after } = segment
    for (let isOver = false; !isOver; ) {
      const size = this.#sizeOf(segment)
      if (size === 0) return
      const session = await this.#begin()
      if (consistency === 'pages') await this.#description.checkAttributes(session)
      const query = this.#keyset.select({ ...segment, after }, size)
      session.open(query, this.#description.formatOf)
      // One row more than a page shows whether the page was read to its end.
      const step = consistency === 'statement' ? this.#batchSize : (size as number) + 1
      let count = 0
      let last: RecordBatch | undefined
      while (!session.isAtEnd) {
        const rows = await session.fetch(step, batchBytes)
        const length = rows?.length ?? 0
        count += length
        if (!segment.isRepeated) this.#left -= length
        isOver = session.isAtEnd && (size === undefined || count < size)
        const isDone = isLast && (isOver || this.#left <= 0)
        if (session.isAtEnd && (isDone || consistency === 'pages')) await this.#commit()
        if (!rows) break
        const batch = RecordBatch.fromEncoded(this.#description.columns, rows)
        last = batch
        yield* this.#splitPage(batch)
      }
      if (last) after = { values: columns.map((name) => (last as RecordBatch).lastValueOf(name)), isBefore: false }
    }
  }

  /** How many rows the next statement returns, without ties with the last of them. Undefined for all. */
  #sizeOf({ isRepeated }: Segment): number | undefined {
    const left = isRepeated ? Number.POSITIVE_INFINITY : Math.max(0, this.#left)
    const size = this.#cursor.consistency === 'statement' ? left : Math.min(left, this.#batchSize)
    return Number.isFinite(size) ? size : undefined
  }

  get #batchSize(): number {
    return this.#reading.options.batchSize
  }

  /** At most one row of a page is left after its first rows. */
  *#splitPage(batch: RecordBatch): Generator<RecordBatch> {
    if (batch.length <= this.#batchSize) yield batch
    else {
      yield batch.slice(0, this.#batchSize)
      yield batch.slice(this.#batchSize, batch.length)
    }
  }
}

/** The number that a statement returns. */
export async function countOf(session: ReadSession, statement: Query): Promise<number> {
  const { rows } = await session.run(statement)
  return Number(rows[0]?.[0])
}
