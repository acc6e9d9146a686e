import type { JobStatus, SearchFilter } from '../index.js'
import { type Cursor, justAfter, searchForWitness } from './_cursor.js'
import { orderOf } from './_event-feed.js'
import { lengthOf, pagesOf, pieceSize, type Search } from './_pages.js'

/** The most ends that a reader is told who comes back. */
const maxMissed = 10_000

/** About how much is read at once to see where the pieces begin, in characters of text. */
const walkSize = 16 * pieceSize

/** A part of the log of about a piece, newest first: what comes after an execution, down to another one. */
interface Stretch {
  readonly after: string | undefined
  readonly last: string
  readonly count: number
}

/** What a reader has missed that comes back. */
export interface Missed {
  /** Whether ends may be missing that the log keeps no more, or that are too many. */
  readonly hasGap: boolean
  /** The rest, oldest first, in pieces that are read from storage as they are asked for. */
  pieces(): AsyncIterable<readonly JobStatus[]>
}

/**
 * What ended since a reader went. The log is read newest first, and readers are told oldest first: so it is walked to the place
 * where the reader went, of which only where pieces begin is kept, and read again from there.
 */
export async function missedSince(
  search: Search,
  filter: SearchFilter,
  cursor: Cursor,
  isLive: (order: string) => boolean,
): Promise<Missed> {
  const { found, isWhole } = await olderOnes(search, cursor, isLive)
  const older = found.filter((status) => fitsJob(filter, status))
  const isKept = await goesBack(search, cursor)
  const { stretches, isCut } = await walk(search, filter, cursor.from)
  return {
    hasGap: isCut || !isWhole || !isKept,
    async *pieces() {
      if (older.length > 0) yield older
      for (const stretch of stretches.reverse()) yield await readStretch(search, filter, stretch)
    },
  }
}

/** What lived when the reader went, had begun before, and lives no more. */
async function olderOnes(search: Search, { from, older }: Cursor, isLive: (order: string) => boolean) {
  const found: JobStatus[] = []
  let isWhole = true
  for (const order of older.filter((order) => order < from && !isLive(order))) {
    const { hits } = await search({ searchAfter: justAfter(order), size: 1 })
    const isFound = hits.some(({ executionId }) => orderOf(executionId) === order)
    if (isFound) found.push(...hits)
    isWhole &&= isFound
  }
  return { found, isWhole }
}

/** Whether the log still goes back to when the reader went. */
async function goesBack(search: Search, { witness }: Cursor): Promise<boolean> {
  if (witness === undefined) return true
  const { searchAfter, isWitness } = searchForWitness(witness)
  const { hits } = await search({ searchAfter, size: 1 })
  return hits.some(({ executionId }) => isWitness(orderOf(executionId)))
}

async function walk(search: Search, filter: SearchFilter, from: string) {
  const stretches: Stretch[] = []
  let count = 0
  let length = 0
  let after: string | undefined
  let last: string | undefined
  const close = () => {
    if (last !== undefined && count > 0) stretches.push({ after, last, count })
    after = last
    count = 0
    length = 0
  }
  let left = maxMissed
  for await (const { hits } of pagesOf(search, { ...filter, size: maxMissed + 1 }, walkSize)) {
    for (const hit of hits) {
      const isOlder = orderOf(hit.executionId) < from
      if (isOlder || left-- === 0) {
        close()
        return { stretches, isCut: !isOlder }
      }
      if (count > 0 && length + lengthOf(hit) > pieceSize) close()
      last = hit.executionId
      count++
      length += lengthOf(hit)
    }
    // A storage in memory answers at once: others have their turn too.
    await new Promise((resolve) => setTimeout(resolve))
  }
  close()
  return { stretches, isCut: false }
}

/** A stretch of the log, oldest first: with what has ended since it was walked. */
async function readStretch(
  search: Search,
  filter: SearchFilter,
  { after, last, count }: Stretch,
): Promise<JobStatus[]> {
  const stretch: JobStatus[] = []
  let searchAfter = after
  for (;;) {
    const { hits } = await search({ ...filter, size: count, ...(searchAfter !== undefined && { searchAfter }) })
    for (const hit of hits) {
      if (orderOf(hit.executionId) < orderOf(last)) return stretch.reverse()
      stretch.push(hit)
    }
    const end = hits.at(-1)
    if (!end || hits.length < count || orderOf(end.executionId) === orderOf(last)) return stretch.reverse()
    searchAfter = end.executionId
  }
}

function fitsJob({ type, id, state }: SearchFilter, status: JobStatus): boolean {
  return (
    (type ?? status.type) === status.type && (id ?? status.id) === status.id && (state ?? status.state) === status.state
  )
}
