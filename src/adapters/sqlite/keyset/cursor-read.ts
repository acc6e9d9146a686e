import {
  type Bound,
  type ColumnOrder,
  type CursorColumns,
  type CursorPosition,
  type CursorRange,
  type CursorReadOptions,
  drainTies,
  invalid,
  type Lookback,
  type Partitioning,
  type Query,
  quotedNames,
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
import type { ResultColumn, StoredValue } from '../client/index.js'
import { columnsOf, type ReadSession } from '../read/index.js'
import { type ColumnRule, canonical, checkKept, rulesOf } from './column-rules.js'
import {
  changedFailure,
  damaged,
  divisionFailure,
  lookbackFailure,
  nullFailure,
  parallelFailure,
  vanishedFailure,
} from './errors.js'
import { Keyset } from './keyset.js'
import { hasDistance } from './lookback.js'
import { checkOrder, ordersOf, positionOf } from './stored-position.js'
import { keptOf, textOf, valueFrom } from './stored-values.js'

/** The number of rows below which a sort is too cheap for a warning. */
const fewRows = 10_000

/** Reads a query in the order of its cursor columns. */
export class CursorRead {
  readonly #session: ReadSession
  readonly #query: Query
  readonly #options: CursorReadOptions
  readonly #cursor: ReadCursor
  readonly #keyset: Keyset
  readonly #result: readonly ResultColumn[]
  readonly #rules: readonly ColumnRule[]
  readonly #order: readonly ColumnOrder[]
  #position: CursorPosition | undefined
  /** How many records may still be read. */
  #left: number

  /** Asks for the columns, and checks the position. */
  constructor(session: ReadSession, query: Query, options: CursorReadOptions) {
    const { cursor } = options
    if (cursor.parallel > 1) throw parallelFailure()
    this.#session = session
    this.#query = query
    this.#options = options
    this.#cursor = cursor
    this.#keyset = new Keyset(query, cursor.columns)
    this.#left = cursor.limit
    this.#result = session.describe(query)
    const noRecords = RecordBatch.fromRows(columnsOf(this.#result), [])
    for (const name of cursor.columns) noRecords.indexOf(name)
    this.#rules = rulesOf(session, query, cursor.columns, this.#result)
    this.#keyset.compareBy(this.#rules)
    this.#order = ordersOf(this.#rules, this.#result)
    checkOrder(cursor, this.#order)
    this.#position = positionOf(cursor, this.#rules)
    this.#checkRange()
  }

  /** How SQLite compares the cursor columns. */
  get rules(): readonly ColumnRule[] {
    return this.#rules
  }

  async *batches(): AsyncGenerator<ReadBatch> {
    this.#options.onColumns?.(columnsOf(this.#result))
    const segments = this.#segments()
    // The read that partitioned the query has checked for nulls.
    const isFirst = this.#cursor.range?.from === undefined
    if (isFirst) await this.#handleNulls()
    if (this.#cursor.ties === 'refuse') this.#refuseTies(segments)
    if (isFirst) this.#warnAboutOrder(segments)
    for (const segment of segments) if (this.#left > 0) yield* this.#read(segment)
  }

  /** Partitions the query. */
  async partition(split: SplitRequest): Promise<Omit<Partitioning, 'release'>> {
    if (this.#cursor.nulls === 'fail') await this.#handleNulls()
    const [segment] = this.#segments() as [Segment]
    return { bounds: this.#boundsOf(segment, split), start: { order: this.#order } }
  }

  /** How many records `batches` would read. */
  async count(): Promise<number> {
    let count = 0
    for (const segment of this.#segments()) count += await this.#session.count(this.#keyset.selectAll(segment))
    return count
  }

  #segments(): Segment[] {
    const rule = this.#rules[0] as ColumnRule
    const { range } = this.#cursor
    // Bounds are texts in the contract, and what the column compares with in SQL.
    const bound = (text: string | undefined) => (text === undefined ? undefined : (valueFrom(text, rule) as string))
    const [from, until] = [bound(range?.from), bound(range?.until)]
    const own = { ...(from !== undefined && { from }), ...(until !== undefined && { until }) }
    return segmentsOf({ ...this.#cursor, range: own }, this.#position, () => this.#lookback())
  }

  #lookback(): Lookback | undefined {
    const { lookback: distance, columns } = this.#cursor
    const last = this.#position?.after?.values[0]
    if (distance === 0) return undefined
    if (last !== undefined && !hasDistance(last)) throw lookbackFailure(columns[0] as string)
    return { distance, type: (this.#rules[0] as ColumnRule).affinity, isTime: typeof last === 'string' }
  }

  /** Throws `checkpoint` when a position lies outside the range of its partition. */
  #checkRange(): void {
    const { range } = this.#cursor
    const last = this.#position?.after?.values[0]
    if (last === undefined || (range?.from === undefined && range?.until === undefined)) return
    const rule = this.#rules[0] as ColumnRule
    const ends = [range.from, range.until].map((text) => (text === undefined ? null : valueFrom(text, rule)))
    const [row] = this.#session.all(this.#keyset.selectOutside(last, ends[0], ends[1]))
    if (row?.includes(1)) throw damaged('Expected `cursor.after` to be in the range that it belongs to')
  }

  /** No split point lies before the last record read, or records behind it would be read again. */
  #boundsOf(segment: Segment, split: SplitRequest): string[] {
    const rule = this.#rules[0] as ColumnRule
    const after = segment.after?.values[0]
    if (typeof split !== 'number')
      return this.#boundsAfter(
        after,
        split.map((text) => valueFrom(text, rule)),
      )
    const extreme = (direction: 'asc' | 'desc') =>
      this.#session.all(this.#keyset.selectExtreme(segment, direction))[0]?.[0]
    const [lowest, highest] = [extreme('asc'), extreme('desc')]
    if (lowest === undefined || highest === undefined) return []
    if (!isNumber(lowest) || !isNumber(highest)) throw divisionFailure(rule.name)
    return this.#boundsAfter(lowest, valuesBetween(lowest, highest, split))
  }

  #boundsAfter(value: unknown, bounds: readonly StoredValue[]): string[] {
    if (bounds.length === 0) return []
    const rule = this.#rules[0] as ColumnRule
    for (const bound of bounds) checkKept(rule, bound)
    return this.#session.all(this.#keyset.selectAfter(value, bounds)).map(([bound]) => textOf(bound as StoredValue))
  }

  async #handleNulls(): Promise<void> {
    const { nulls, columns, onNullsSkipped } = this.#cursor
    if (nulls === 'skip') {
      let count = 0
      for await (const row of this.#session.scan(this.#keyset.selectNulls(columns, true))) if (row.includes(1)) count++
      return onNullsSkipped(count)
    }
    for (const [index, name] of columns.entries()) {
      if (nulls === 'first' && index === 0) continue
      if (await this.#hasNull(name)) throw nullFailure(name, index === 0)
    }
  }

  /** An index finds a null at once. Without one, the scan yields to the event loop. */
  async #hasNull(name: string): Promise<boolean> {
    const find = this.#keyset.selectNulls([name], false)
    const one = { ...find, text: `${find.text} limit 1` }
    if (!this.#planOf(one).some((line) => line.startsWith('SCAN'))) return this.#session.all(one).length > 0
    for await (const [isNull] of this.#session.scan(this.#keyset.selectNulls([name], true)))
      if (isNull === 1) return true
    return false
  }

  #planOf(query: Query): string[] {
    return this.#session.all(Keyset.plan(query)).map((line) => String(line[3]))
  }

  /** An unread or new record that is tied with the last one would never be read. */
  #refuseTies(segments: readonly Segment[]): void {
    for (const segment of segments) {
      const { after } = segment
      if (!after || after.isBefore || this.#cursor.lookback > 0) continue
      const rows = this.#session.all(this.#keyset.selectTied(segment))
      if (rows.length > 1) throw tieFailure(this.#cursor.columns, after.values)
    }
  }

  #warnAboutOrder(segments: readonly Segment[]): void {
    const { warn } = this.#options
    const last = segments.at(-1)
    if (!warn || !last) return
    const sorts = this.#planOf(this.#keyset.select(last)).some((line) => line.includes('TEMP B-TREE FOR'))
    const { text, values } = this.#keyset.selectAll(last)
    if (!sorts || this.#session.all({ text: `${text} limit 1 offset ${fewRows - 1}`, values }).length === 0) return
    warn(
      `No index serves the order by ${quotedNames(this.#cursor.columns)}, so SQLite sorts all remaining rows whenever reading starts, and blocks the process meanwhile. An index on these columns, in their order, would help.`,
    )
  }

  /** The batches of a segment, with the position after each. */
  async *#read(segment: Segment): AsyncGenerator<ReadBatch> {
    const batches = this.#fetch(segment)
    if (segment.isRepeated) {
      for await (const batch of batches) yield { batch, isReplay: true }
      return
    }
    const positionOf = (record: RecordPosition): CursorPosition => ({
      ...keptPosition(this.#position),
      order: this.#order,
      ...(segment.isNull ? { afterNull: record } : { after: record }),
    })
    const columns: CursorColumns = { names: this.#cursor.columns, canonical: this.#rules.map(canonical) }
    const checkTies = this.#cursor.ties === 'drain' ? drainTies : refuseTies
    const kept = (values: readonly unknown[]) => {
      for (const [index, value] of values.entries()) checkKept(this.#rules[index] as ColumnRule, value as StoredValue)
      return positionOf(recordPositionOf(this.#cursor, values.map(keptOf)))
    }
    for await (const read of checkTies(batches, columns, kept)) {
      if (read.position) this.#position = read.position as CursorPosition
      yield read
    }
  }

  /** The batches of a segment, in one statement or in pages. */
  async *#fetch(segment: Segment): AsyncGenerator<RecordBatch> {
    const { columns, consistency } = this.#cursor
    const { batchSize, batchBytes = Number.POSITIVE_INFINITY } = this.#options
    let { after } = segment
    for (let isOver = false; !isOver; ) {
      const size = this.#sizeOf(segment)
      if (size === 0) return
      const range = { ...segment, after }
      const end = size === undefined ? undefined : this.#endOf(range, size)
      // Fewer records than a page are left.
      isOver = end === undefined
      await this.#session.open(this.#keyset.select(range, end))
      let last: RecordBatch | undefined
      while (!this.#session.isAtEnd) {
        const batch = await this.#session.fetch(batchSize, batchBytes)
        if (!batch) break
        if (!segment.isRepeated) this.#left -= batch.length
        last = batch
        yield batch
      }
      if (last)
        after = {
          values: this.#checked(columns.map((name) => (last as RecordBatch).lastValueOf(name))),
          isBefore: false,
        }
      else if (end) throw vanishedFailure()
      if (consistency === 'pages' && !isOver) await this.#renew()
    }
  }

  #checked(values: readonly unknown[]): readonly unknown[] {
    for (const [index, value] of values.entries()) checkKept(this.#rules[index] as ColumnRule, value as StoredValue)
    return values
  }

  async #renew(): Promise<void> {
    await this.#session.renew()
    if (JSON.stringify(this.#session.describe(this.#query)) !== JSON.stringify(this.#result)) throw changedFailure()
  }

  /** The point after the record at a place of a range and all that are tied with it; `undefined` when the range has fewer records. */
  #endOf(range: CursorRange, place: number): Bound | undefined {
    const [values] = this.#session.all(this.#keyset.selectAt(range, place))
    return values && { values: this.#checked(values), isBefore: false }
  }

  /** How many rows the next statement returns, without ties with the last of them. Undefined for all. */
  #sizeOf({ isRepeated }: Segment): number | undefined {
    const left = isRepeated ? Number.POSITIVE_INFINITY : Math.max(0, this.#left)
    const size = this.#cursor.consistency === 'statement' ? left : Math.min(left, this.#options.batchSize)
    return Number.isFinite(size) ? size : undefined
  }
}

/** A position with its values as they are kept, whether they come from a checkpoint or from a batch. */
function keptPosition(position: CursorPosition | undefined): CursorPosition | undefined {
  if (!position) return undefined
  const kept = (record: RecordPosition): RecordPosition => ({ ...record, values: record.values.map(keptOf) })
  const { after, afterNull } = position
  return { ...position, ...(after && { after: kept(after) }), ...(afterNull && { afterNull: kept(afterNull) }) }
}

function isNumber(value: StoredValue): value is number | bigint {
  return typeof value === 'bigint' || typeof value === 'number'
}

function valuesBetween(lowest: number | bigint, highest: number | bigint, count: number): StoredValue[] {
  const steps = Array.from({ length: count - 1 }, (_, index) => index + 1)
  if (isWhole(lowest) && isWhole(highest)) {
    const [from, to] = [BigInt(lowest), BigInt(highest)]
    return steps.map((step) => from + ((to - from) * BigInt(step)) / BigInt(count))
  }
  const [from, to] = [Number(lowest), Number(highest)]
  if (!Number.isFinite(from) || !Number.isFinite(to))
    throw invalid('partitions', 'values, as the column has infinite ones', count)
  return steps.map((step) => from + (to - from) * (step / count))
}

function isWhole(value: number | bigint): boolean {
  return typeof value === 'bigint' || Number.isSafeInteger(value)
}
