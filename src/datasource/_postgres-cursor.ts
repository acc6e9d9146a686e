import { type Cuts, JobError, type Partitioning, type ReadCursor, RecordBatch } from '../index.js'
import { boundsAfter, boundsOf, checkDivisible } from './_postgres-bounds.js'
import { nullFailure, splitFailure, staleFailure } from './_postgres-cursor-failures.js'
import type { CursorType } from './_postgres-cursor-types.js'
import { type CursorReading, type Description, describe } from './_postgres-description.js'
import { type Bound, Keyset, type Lookback, type Range } from './_postgres-keyset.js'
import { checkOrder } from './_postgres-order.js'
import { boundAfter, type Place, type Position, placeAt } from './_postgres-position.js'
import { orderWarning } from './_postgres-preflight.js'
import type { Session } from './_postgres-session.js'
import { SplitRead } from './_postgres-split.js'
import { positionOf } from './_postgres-stored.js'
import { type CursorColumns, drainTies, refuseTies, tieFailure } from './_postgres-ties.js'

/** How many times a read begins whose tables are filled anew meanwhile. */
const maxTries = 10

/** A part of a read: a range, and what it means for the position. */
interface Part extends Range {
  /** Whether its records were read before. */
  readonly isRepeated: boolean
}

/** One read of a query in the order of some of its columns. */
export class CursorRead {
  readonly #reading: CursorReading
  readonly #cursor: ReadCursor
  readonly #keyset: Keyset
  /** What is to be seen, as long as it is there. */
  #snapshot: string | undefined
  #position: Position | undefined
  /** How many more records may be read. */
  #left: number
  #session: Session | undefined
  #split: SplitRead | undefined
  #description!: Description

  constructor(reading: CursorReading) {
    const { query, cursor } = reading
    this.#reading = reading
    this.#cursor = cursor
    this.#keyset = new Keyset(query, cursor.columns)
    this.#left = cursor.limit
    this.#snapshot = cursor.snapshot
  }

  async *batches(): AsyncGenerator<RecordBatch> {
    const session = await this.#open()
    const parts = this.#parts()
    // Whoever cut a query has looked at them.
    const isFirst = this.#cursor.range?.from === undefined
    if (isFirst) await this.#handleNulls(session)
    if (this.#cursor.ties === 'refuse') await this.#refuseTies(session, parts)
    if (isFirst) await this.#warn(session, parts)
    // A read of some records only must not come to more of them.
    const isParallel = this.#cursor.parallel > 1 && !Number.isFinite(this.#left)
    const isSplit = isParallel || this.#position?.ranges !== undefined
    for (const part of parts) {
      const isLast = part === parts.at(-1)
      if (this.#left > 0) yield* isSplit && isLast ? this.#readSplit(part) : this.#read(part, isLast)
    }
    await this.#commit()
  }

  /** Cuts what is to be read: the transaction that sees it stays open until `release`. */
  async partition(cuts: Cuts): Promise<Omit<Partitioning, 'release'>> {
    const session = await this.#open()
    if (this.#position?.ranges) throw splitFailure()
    if (this.#cursor.nulls === 'fail') await this.#handleNulls(session)
    // It waits for the parts, which may take long.
    const keep = 'set local idle_in_transaction_session_timeout to 0'
    await session.run({ text: keep, values: [] })
    const { rows } = await session.run({ text: 'select pg_export_snapshot()', values: [] })
    const bounds = await this.#boundsOf(session, cuts)
    return { bounds, snapshot: String(rows[0]?.[0]), start: { order: this.#description.order } satisfies Position }
  }

  /** Gives back what is held. Never rejects. */
  async release(): Promise<void> {
    await Promise.all([this.#session?.release(), this.#split?.release()])
  }

  /** Begins and describes the query: once more whenever its tables were filled anew since the snapshot was taken. */
  async #open(): Promise<Session> {
    for (let tries = 0; tries < maxTries; tries++) {
      const session = await this.#begin()
      const description = await describe(session, this.#keyset, this.#reading)
      if (description) {
        checkOrder(this.#cursor, description.order)
        this.#position = positionOf(this.#cursor, description.types)
        this.#description = description
        return session
      }
      await session.release()
      this.#session = undefined
      if (this.#snapshot !== undefined) this.#cursor.lostSnapshot?.()
      this.#snapshot = undefined
    }
    throw staleFailure(maxTries)
  }

  async #begin(): Promise<Session> {
    this.#session ??= await this.#reading.begin(this.#snapshot)
    return this.#session
  }

  async #commit(): Promise<void> {
    await this.#split?.commit()
    await this.#session?.commit()
    this.#session = undefined
  }

  #parts(): Part[] {
    const { nulls, range } = this.#cursor
    const after = boundAfter(this.#position?.after, this.#cursor) ?? startOf(range?.from)
    const rest: Part = { isNull: false, after, until: startOf(range?.until), isRepeated: false }
    const lookback = after && this.#lookback()
    const repeated: Part[] = lookback ? [{ isNull: false, until: after, lookback, isRepeated: true }] : []
    if (nulls !== 'first') return [...repeated, rest]
    return [
      { isNull: true, after: boundAfter(this.#position?.afterNull, this.#cursor), isRepeated: false },
      ...repeated,
      rest,
    ]
  }

  /** None before what was read: what is behind it would be read again. */
  #boundsOf(session: Session, cuts: Cuts): Promise<string[]> {
    const [part] = this.#parts() as [Part]
    const type = this.#description.types[0] as CursorType
    if (typeof cuts !== 'number') {
      const last = part.after?.values[0] as string | undefined
      return boundsAfter(session, this.#keyset, last, cuts, type)
    }
    checkDivisible(type, this.#cursor.columns[0] as string, 'partitions')
    return boundsOf(session, this.#keyset, part, type, cuts)
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
      throw new JobError('datasource', `Expected \`lookback\` to be a whole number, as \`${columns[0]}\` holds such.`)
    }
    const wide: Record<string, string> = { int2: 'int8', int4: 'int8', float4: 'float8' }
    return { distance, type: wide[name] ?? name, isTime: unit === 'milliseconds' }
  }

  async #handleNulls(session: Session): Promise<void> {
    const { nulls, columns, leaveOut } = this.#cursor
    if (nulls === 'skip') {
      const { rows } = await session.run(this.#keyset.countNulls())
      return leaveOut(Number(rows[0]?.[0]))
    }
    const from = nulls === 'first' ? 1 : 0
    if (from === columns.length) return
    const { rows } = await session.run(this.#keyset.findNull(from))
    const found = rows[0]?.indexOf('t') ?? -1
    if (found >= 0) throw nullFailure(columns[found + from] as string, found + from === 0)
  }

  /** A record that came since, or was not read, and is tied with the last one would never be read. */
  async #refuseTies(session: Session, parts: readonly Part[]): Promise<void> {
    for (const part of parts) {
      const { after } = part
      if (!after || after.isBefore || this.#cursor.lookback > 0) continue
      const { rows } = await session.run(this.#keyset.selectTied(part))
      if (rows.length > 1) throw tieFailure(this.#cursor.columns, after.values)
    }
  }

  async #warn(session: Session, parts: readonly Part[]): Promise<void> {
    const { warn } = this.#reading.options
    const last = parts.at(-1)
    if (!warn || !last) return
    const statement = this.#keyset.select(last, this.#sizeOf(last))
    const warning = await orderWarning(session, statement, this.#cursor.columns, this.#description.fields)
    if (warning) warn(warning)
  }

  /** The batches of a part, with their positions. */
  async *#read(part: Part, isLast: boolean): AsyncGenerator<RecordBatch> {
    const batches = this.#fetch(part, isLast)
    if (part.isRepeated) {
      for await (const batch of batches) {
        batch.position = this.#position
        yield batch
      }
      return
    }
    yield* this.#place(batches, (place) => {
      const { order } = this.#description
      this.#position = { ...this.#position, order, ...(part.isNull ? { afterNull: place } : { after: place }) }
      return this.#position
    })
  }

  /** Gives batches what `positionOf` makes of the place of their last record, unless ties go on behind it. */
  #place(batches: AsyncIterable<RecordBatch>, positionOf: (place: Place) => unknown): AsyncGenerator<RecordBatch> {
    const { columns: names, ties } = this.#cursor
    const columns: CursorColumns = { names, canonical: this.#description.types.map(({ canonical }) => canonical) }
    const give = ties === 'drain' ? drainTies : refuseTies
    return give(batches, columns, (values) => positionOf(placeAt(this.#cursor, values)))
  }

  /** The batches of a part that is read in ranges. */
  async *#readSplit(part: Part): AsyncGenerator<RecordBatch> {
    const { options, begin } = this.#reading
    this.#split = new SplitRead({
      ...{ cursor: this.#cursor, keyset: this.#keyset, options, begin, description: this.#description },
      position: this.#position,
      limit: this.#left,
      place: (batches) => this.#place(batches, (place) => place),
    })
    yield* this.#split.batches(await this.#begin(), part)
  }

  /** The batches of a part, in one statement or in pages. */
  async *#fetch(part: Part, isLast: boolean): AsyncGenerator<RecordBatch> {
    const { columns, consistency } = this.#cursor
    const { batchBytes = Number.POSITIVE_INFINITY } = this.#reading.options
    let { after } = part
    for (let isOver = false; !isOver; ) {
      const size = this.#sizeOf(part)
      if (size === 0) return
      const session = await this.#begin()
      if (consistency === 'pages') await this.#description.checkAttributes(session)
      const query = this.#keyset.select({ ...part, after }, size)
      session.open(query, this.#description.formatOf)
      // One row more than a page has tells that the page was read to its end.
      const step = consistency === 'statement' ? this.#batchSize : (size as number) + 1
      let count = 0
      let last: RecordBatch | undefined
      while (!session.isAtEnd) {
        const rows = await session.fetch(step, batchBytes)
        const length = rows?.length ?? 0
        count += length
        if (!part.isRepeated) this.#left -= length
        isOver = session.isAtEnd && (size === undefined || count < size)
        const isDone = isLast && (isOver || this.#left <= 0)
        if (session.isAtEnd && (isDone || consistency === 'pages')) await this.#commit()
        if (!rows) break
        const batch = RecordBatch.fromEncoded(this.#description.columns, rows)
        last = batch
        yield* this.#cut(batch)
      }
      if (last) after = { values: columns.map((name) => (last as RecordBatch).lastValueOf(name)), isBefore: false }
    }
  }

  /** How many rows the next statement gives, not counting ties with the last of them. Default: all. */
  #sizeOf({ isRepeated }: Part): number | undefined {
    const left = isRepeated ? Number.POSITIVE_INFINITY : Math.max(0, this.#left)
    const size = this.#cursor.consistency === 'statement' ? left : Math.min(left, this.#batchSize)
    return Number.isFinite(size) ? size : undefined
  }

  get #batchSize(): number {
    return this.#reading.options.batchSize
  }

  /** What is left of a page beside its first rows is one row at most. */
  *#cut(batch: RecordBatch): Generator<RecordBatch> {
    if (batch.length <= this.#batchSize) yield batch
    else {
      yield batch.slice(0, this.#batchSize)
      yield batch.slice(this.#batchSize, batch.length)
    }
  }
}

/** The point before all records with a value in the first column. */
function startOf(value: string | undefined): Bound | undefined {
  return value === undefined ? undefined : { values: [value], isBefore: true }
}
