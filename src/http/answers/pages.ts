import type { JobStatus, SearchFilter, SearchResult } from '../../index.js'
import type { DetailOf } from '../../wire/index.js'
import { lengthOfDetail } from './status-detail.js'

/** Reads a page of the log. */
export type Search = (filter: SearchFilter) => Promise<SearchResult<JobStatus>>

/** About how many characters one piece of an answer has. One piece per client is in memory. */
export const pieceSize = 64 * 1024

/** How many entries the first page reads, before their size is known, and how many a page reads at most. */
export const firstPage = 20
const largestPage = 500

/** How to divide the entries of a search into pages: about how many characters one has, and how many a status has. */
interface PageOptions {
  readonly text?: number
  measure?(status: JobStatus): number
}

/**
 * Yields the entries of a search, newest first, in pages of about `text` characters. Each page is read when it is
 * requested, so that unread pages are not read from storage.
 */
export async function* pagesOf(
  search: Search,
  { size = 10, ...filter }: SearchFilter,
  { text = pieceSize, measure = lengthOf }: PageOptions = {},
): AsyncGenerator<SearchResult<JobStatus>, undefined> {
  let next: SearchFilter = filter
  let page = Math.min(size, firstPage)
  for (let left = size; ; ) {
    const found = await search({ ...next, size: page })
    yield found
    left -= found.hits.length
    const last = found.hits.at(-1)
    if (left <= 0 || found.hits.length < page || !last) return
    const { from: _, ...rest } = filter
    next = { ...rest, searchAfter: last.executionId }
    const largest = Math.max(...found.hits.map((hit) => measure(hit)))
    page = Math.min(left, largestPage, Math.max(1, Math.floor(text / largest)))
  }
}

/** Groups items into pieces of about `pieceSize` characters. */
export function* piecesOf<Item>(items: Iterable<Item>, lengthOf: (item: Item) => number): Generator<Item[], undefined> {
  let piece: Item[] = []
  let length = 0
  for (const item of items) {
    if (length > 0 && length + lengthOf(item) > pieceSize) {
      yield piece
      piece = []
      length = 0
    }
    piece.push(item)
    length += lengthOf(item)
  }
  if (length > 0) yield piece
}

/** Returns a function that estimates the length of a status on the wire, in characters, with its detail if there is one. */
export function lengthBy(detailOf?: DetailOf): (status: JobStatus) => number {
  return detailOf ? (status) => lengthOf(status) + lengthOfDetail(status) : lengthOf
}

/** Estimates the length of a status on the wire, in characters, without its detail. */
export function lengthOf(status: JobStatus): number {
  const { type, id, lastId = '' } = status
  const errors = 'error' in status ? status.error.reduce((sum, message) => sum + message.length, 0) : 0
  return 300 + type.length + 3 * id.length + lastId.length + errors
}
