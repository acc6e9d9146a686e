import { JobError, type JobRecord } from '../../../adapter.js'
import { AnswerTooLong, type SearchServer } from '../client/index.js'
import { compareKeys } from './key-order.js'
import type { PointInTime } from './point-in-time.js'
import { search } from './search.js'
import type { SearchBody } from './search-body.js'

/** The most documents that a server gives in one answer, unless the `index.max_result_window` of an index is lower. */
const usualWindow = 10_000

/** How many documents the first page has at most, as nobody knows yet how large they are. */
const firstSize = 500

/** A document that was found. */
export interface Hit {
  readonly record: JobRecord
  /** The values that it is sorted by. */
  readonly keys: readonly unknown[]
}

/** A field to sort by, and the type that it has in an index without it. Or `_doc`, the order of the index, which costs least. */
export type SortKey = '_doc' | { readonly path: string; readonly unmappedType: string }

/** What pages are read of, and how. */
export interface PagesRequest {
  readonly server: SearchServer
  readonly pit: PointInTime
  readonly body: SearchBody
  /** What to sort by, most significant first. */
  readonly sort: readonly SortKey[]
  /** About how large a page may be, in bytes. */
  readonly bytes: number
}

/**
 * Reads documents of a point in time in the order of fields, a page for each call. On OpenSearch, which has nothing that tells
 * documents with equal values of these fields apart, no page ends between them.
 */
export class Pages {
  readonly #request: PagesRequest
  #after: readonly unknown[] | undefined
  /** How many documents the next page may have by their size. */
  #most = firstSize
  /** How many the server gives in one answer. */
  #window = usualWindow
  isAtEnd = false
  /** Whether no document that is equal to the last one of the last page is left. */
  isWhole = true

  constructor(request: PagesRequest) {
    this.#request = request
  }

  /** The next documents: about `size`, at least one unless the end is reached. */
  async next(size: number): Promise<readonly Hit[]> {
    // One more shows whether the others are complete.
    let asked = Math.min(size + 1, this.#most, this.#window)
    for (let tooFew = 0; ; ) {
      const found = await this.#ask(asked, tooFew)
      if (!found) {
        asked >>= 1
        continue
      }
      this.isAtEnd = found.length < asked
      const count = this.isAtEnd ? found.length : this.#completeIn(found)
      if (count > 0 || this.isAtEnd) {
        const hits = inOrder(found.slice(0, count), this.#request.sort.length)
        this.#after = hits.at(-1)?.keys
        this.isWhole = this.isAtEnd || this.#after?.length === this.#request.sort.length
        return hits
      }
      if (asked === this.#window) throw this.#tied(found[0] as Hit)
      tooFew = asked
      asked = Math.min(this.#window, 2 * asked)
    }
  }

  /** Gives `undefined` for an answer that was too long, or would have too many documents, when it may have fewer. */
  async #ask(size: number, tooFew: number): Promise<readonly Hit[] | undefined> {
    const { server, pit, body, sort } = this.#request
    const after = this.#after && { search_after: this.#after }
    const given = { ...body, ...pit.clause, ...after, size, sort: sort.map(clauseOf), track_total_hits: false }
    try {
      const { answer, length } = await search(server, '/_search', given, { allow_partial_search_results: 'false' })
      pit.follow(answer)
      const hits = hitsIn(answer, sort.length)
      if (hits.length > 0) this.#most = Math.max(1, Math.floor((this.#request.bytes * hits.length) / length))
      return hits
    } catch (error) {
      const isBeyond = isBeyondWindow(error)
      if ((!isBeyond && !(error instanceof AnswerTooLong)) || size >> 1 <= tooFew) throw lost(error)
      if (isBeyond) this.#window = size >> 1
      return undefined
    }
  }

  /** How many documents of a page come before the last group of equal ones. All, where the server tells equal ones apart. */
  #completeIn(hits: readonly Hit[]): number {
    const last = hits.at(-1) as Hit
    if (last.keys.length > this.#request.sort.length) return hits.length
    return hits.findLastIndex((hit) => !isAlike(hit, last, this.#request.sort)) + 1
  }

  #tied({ keys }: Hit): JobError {
    const names = this.#request.sort.map((key) => `\`${key === '_doc' ? key : key.path}\``).join(', ')
    return new JobError(
      'datasource',
      `More than ${this.#window} documents have the same ${names} (${keys.map(String).join(', ')}), which the server cannot give in one answer: add a field to \`cursor\` that tells them apart.`,
    )
  }
}

function clauseOf(key: SortKey): unknown {
  return key === '_doc' ? key : { [key.path]: { order: 'asc', unmapped_type: key.unmappedType } }
}

/** Whether an index gives fewer documents at once than were asked for. */
function isBeyondWindow(error: unknown): boolean {
  return JobError.isInstance(error) && /Result window is too large|max_result_window/.test(error.message)
}

/** Whether two documents have the same values of the first fields. */
export function isTied(one: Hit, other: Hit, count: number): boolean {
  for (let at = 0; at < count; at++) if (one.keys[at] !== other.keys[at]) return false
  return true
}

/**
 * Whether OpenSearch may mix two documents of different shards: it merges their answers by numbers of double precision, and dates with nanoseconds
 * by their milliseconds.
 */
function isAlike(one: Hit, other: Hit, sort: readonly SortKey[]): boolean {
  return sort.every((key, at) => roughly(one.keys[at], key) === roughly(other.keys[at], key))
}

function roughly(value: unknown, key: SortKey): unknown {
  const isNanos = key !== '_doc' && key.unmappedType === 'date_nanos'
  if (typeof value !== 'bigint') return isNanos && typeof value === 'number' ? Math.floor(value / 1e6) : value
  return isNanos ? value / 1_000_000n : Number(value)
}

/** The same documents in the order of all their digits. */
function inOrder(hits: readonly Hit[], count: number): readonly Hit[] {
  if (!hits.some(({ keys }) => keys.some((key) => typeof key === 'bigint'))) return hits
  return hits.toSorted((one, other) => compareKeys(one.keys, other.keys, count))
}

/** The error of a point in time that the server has forgotten is transient: a new run opens another one. */
function lost(error: unknown): unknown {
  if (!JobError.isInstance(error) || !/search_context_missing|No search context found/.test(error.message)) return error
  const message =
    'The server has ended the point in time of the read: it was restarted, or no page was read for `keepAlive` milliseconds.'
  return new JobError('datasource', message, { cause: error, isTransient: true })
}

function hitsIn(answer: Readonly<Record<string, unknown>>, count: number): readonly Hit[] {
  const { hits } = Object(answer.hits) as { hits?: unknown }
  if (!Array.isArray(hits)) throw new JobError('datasource', 'Expected the server to answer with `hits` for `_search`.')
  return hits.map((hit) => hitOf(hit, count))
}

function hitOf(hit: unknown, count: number): Hit {
  const { _id: id, _routing: routing, _source: source, sort } = Object(hit) as Record<string, unknown>
  if (typeof id !== 'string' || !Array.isArray(sort) || sort.length < count)
    throw new JobError('datasource', 'Expected each hit of the server to have an `_id` and the values of its `sort`.')
  if (typeof source !== 'object' || source === null)
    throw new JobError('datasource', `The document \`${id}\` has no \`_source\`: its index does not keep it.`)
  // Fields of the source that are called so are not what the document is known by.
  const { _id, _routing, ...fields } = source as Record<string, unknown>
  return { record: { _id: id, ...(typeof routing === 'string' && { _routing: routing }), ...fields }, keys: sort }
}
