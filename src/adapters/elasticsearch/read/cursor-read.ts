import {
  type CursorReadOptions,
  JobError,
  quotedNames,
  type ReadBatch,
  type ReadCursor,
  RecordBatch,
  tieFailure,
} from '../../../adapter.js'
import { sizeOf } from '../../shared/index.js'
import type { SearchServer } from '../client/index.js'
import { type CursorField, unmappedTypeOf } from './cursor-fields.js'
import { positionAfter, type Start, startAfter } from './cursor-position.js'
import { afterQuery, compareKeys, equalQuery, fromQuery, type Key, missingQuery } from './key-order.js'
import { type Hit, isTied, Pages } from './pages.js'
import type { PointInTime } from './point-in-time.js'
import { search } from './search.js'
import type { SearchBody } from './search-body.js'

/** What a read by a cursor is made of. */
export interface CursorReadRequest {
  readonly server: SearchServer
  readonly pit: PointInTime
  readonly body: SearchBody
  readonly fields: readonly CursorField[]
  readonly options: CursorReadOptions
}

/** Reads the documents of a point in time in the order of the fields of a cursor. */
export class CursorRead {
  readonly #request: CursorReadRequest
  readonly #cursor: ReadCursor
  readonly #start: Start | undefined
  /** How many documents may still be read. */
  #left: number
  #isOver: boolean

  constructor(request: CursorReadRequest) {
    this.#request = request
    this.#cursor = request.options.cursor
    this.#start = startAfter(this.#cursor, request.fields)
    this.#left = this.#cursor.limit
    this.#isOver = this.#left <= 0
  }

  /** The query of the documents that are left, without those that `lookback` repeats. */
  static restQuery({ query }: SearchBody, cursor: ReadCursor, fields: readonly CursorField[]): object {
    const start = startAfter(cursor, fields)
    const after = start && afterQuery(fields, start.values, start.isIncluded)
    return allOf(query, present(fields), after)
  }

  async *batches(): AsyncGenerator<ReadBatch> {
    const { server, pit, body, fields, options } = this.#request
    const { batchSize, batchBytes: bytes = Number.POSITIVE_INFINITY } = options
    await this.#handleNulls()
    await this.#refuseTies()
    const query = allOf(body.query, present(fields), this.#startQuery())
    const sort = fields.map(({ path, kind }) => ({ path, unmappedType: unmappedTypeOf(kind) }))
    const pages = new Pages({ server, pit, body: { ...body, query }, sort, bytes })
    let held: readonly Hit[] = []
    while (!pages.isAtEnd && !this.#isOver) {
      const hits: readonly Hit[] = [...held, ...(await pages.next(Math.max(1, batchSize - held.length)))]
      // The last ones wait for the next page, if that may have more that are equal to them.
      const count = pages.isWhole ? hits.length : this.#beforeTies(hits) || hits.length - 1
      yield* this.#batchesOf(hits, count)
      held = hits.slice(count)
    }
  }

  /** The batches of the first `count` documents. Those behind show where documents end that are equal. */
  *#batchesOf(hits: readonly Hit[], count: number): Generator<ReadBatch> {
    const { signal } = this.#request.options
    const { ties, columns, lookback } = this.#cursor
    // A field with several values is found by any of them, and comes in the order of the first.
    let start = lookback === 0 ? hits.filter((hit) => this.#isOld(hit)).length : 0
    while (start < count && !this.#isOver) {
      const first = hits[start] as Hit
      if (ties === 'refuse' && !this.#isOld(first) && this.#isTied(first, hits[start + 1]))
        throw tieFailure(columns, first.keys.slice(0, columns.length))
      const end = this.#endOf(hits, start, count)
      if (!this.#isOld(first)) this.#left -= end - start
      this.#isOver = this.#left <= 0 && !this.#isTied(hits[end - 1] as Hit, hits[end])
      yield this.#batchOf(hits.slice(start, end), hits[end])
      signal.throwIfAborted()
      start = end
    }
  }

  /** Where the batch ends that begins at `start`: before what is new, refused or too much, and where a later read may begin, if it can. */
  #endOf(hits: readonly Hit[], start: number, count: number): number {
    const { batchSize, batchBytes = Number.POSITIVE_INFINITY } = this.#request.options
    const { ties } = this.#cursor
    const isOld = this.#isOld(hits[start] as Hit)
    const most = Math.min(count, start + batchSize)
    let [end, bytes] = [start, 0]
    while (end < most) {
      const [hit, next] = [hits[end] as Hit, hits[end + 1]]
      bytes += Number.isFinite(batchBytes) ? sizeOf(hit.record) : 0
      const isBeyond = this.#isOld(hit) !== isOld || (!isOld && ties === 'refuse' && this.#isTied(hit, next))
      if (end > start && (isBeyond || bytes > batchBytes)) return end
      end++
      if (!isOld && end - start >= this.#left && !this.#isTied(hit, next)) return end
    }
    const isCut = this.#isTied(hits[end - 1] as Hit, hits[end])
    return start + ((isCut && this.#beforeTies(hits.slice(start, end))) || end - start)
  }

  /** How many documents come before the last one and those that are equal to it. */
  #beforeTies(hits: readonly Hit[]): number {
    const last = hits.at(-1)
    return hits.findLastIndex((hit) => !this.#isTied(hit, last)) + 1
  }

  #batchOf(hits: readonly Hit[], next: Hit | undefined): ReadBatch {
    const batch = RecordBatch.fromRecords(hits.map(({ record }) => record))
    if (this.#isOld(hits[0] as Hit)) return { batch, isReplay: true }
    const position = (hit: Hit, after: Hit | undefined) =>
      this.#isTied(hit, after) ? undefined : positionAfter(this.#cursor, this.#request.fields, hit.keys as Key[])
    return {
      batch,
      position: position(hits.at(-1) as Hit, next),
      positionAfter: (count) => position(hits[count - 1] as Hit, hits[count]),
    }
  }

  /** Whether a document comes no later than the position. */
  #isOld({ keys }: Hit): boolean {
    if (!this.#start) return false
    const { values, isIncluded } = this.#start
    const order = compareKeys(keys, values, values.length)
    return isIncluded ? order < 0 : order <= 0
  }

  #isTied(hit: Hit, next: Hit | undefined): boolean {
    return next !== undefined && isTied(hit, next, this.#request.fields.length)
  }

  /** Where the search begins: a little before the position, for `lookback`. */
  #startQuery(): object | undefined {
    const { lookback } = this.#cursor
    const { fields } = this.#request
    if (!this.#start) return undefined
    const { values, isIncluded } = this.#start
    return lookback === 0 ? afterQuery(fields, values, isIncluded) : fromQuery(...earlier(fields, values, lookback))
  }

  async #handleNulls(): Promise<void> {
    const { nulls, onNullsSkipped } = this.#cursor
    const { body, fields } = this.#request
    const count = await this.#count(allOf(body.query, missingQuery(fields)))
    if (nulls === 'skip') return onNullsSkipped(count)
    if (count === 0) return
    throw new JobError(
      'datasource',
      `${count} documents have no value in a cursor column (${quotedNames(this.#cursor.columns)}), so they have no position in the order. Skip such documents with \`nulls: 'skip'\`, or leave them out by the query.`,
    )
  }

  /** An unread or new document that is equal to the last one would never be read. */
  async #refuseTies(): Promise<void> {
    const { ties, lookback, columns } = this.#cursor
    if (!this.#start || this.#start.isIncluded || ties === 'drain' || lookback > 0) return
    const { body, fields } = this.#request
    const { values } = this.#start
    if ((await this.#count(allOf(body.query, equalQuery(fields, values)))) > 1) throw tieFailure(columns, values)
  }

  /** How many documents of the point in time a query finds. */
  async #count(query: object): Promise<number> {
    const { server, pit, body } = this.#request
    const given = { ...body, query, ...pit.clause, size: 0, track_total_hits: true }
    const { answer } = await search(server, '/_search', given, { allow_partial_search_results: 'false' })
    pit.follow(answer)
    const { total } = Object(answer.hits) as { total?: unknown }
    const { value } = Object(total) as { value?: unknown }
    if (typeof value === 'number') return value
    throw new JobError('datasource', 'Expected the server to answer with a total for `_search`.')
  }
}

function present(fields: readonly CursorField[]): object {
  return { bool: { must_not: [missingQuery(fields)] } }
}

function allOf(...queries: readonly (object | undefined)[]): object {
  return { bool: { filter: queries.filter((query) => query !== undefined) } }
}

/** The first field, and the value that is `distance` before another one: in milliseconds for dates. */
function earlier(fields: readonly CursorField[], values: readonly Key[], distance: number): [CursorField, Key] {
  const [field, value] = [fields[0] as CursorField, values[0] as Key]
  const { name, kind } = field
  if (kind === 'text' || typeof value === 'string') {
    throw new JobError(
      'datasource',
      `Expected the first column of a cursor with \`lookback\` to be of numbers or dates, ${quotedNames([name])} is of keywords.`,
    )
  }
  const whole = Math.ceil(distance)
  if (kind === 'date_nanos') return [field, BigInt(value) - BigInt(whole) * 1_000_000n]
  return [field, typeof value === 'bigint' ? value - BigInt(whole) : value - distance]
}
