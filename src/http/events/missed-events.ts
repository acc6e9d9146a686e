import type { JobStatus, SearchFilter } from '../../index.js'
import { lengthOf, pagesOf, pieceSize, type Search } from '../answers/index.js'
import { orderOf } from './live-executions.js'
import { justAfter, type ResumeToken, searchForWitness } from './resume-token.js'

/** The maximum number of missed ends that a reader gets. */
const maxMissed = 10_000

/** About how many characters are read at once to find where pieces begin. */
const scanSize = 16 * pieceSize

/** A section of the log of about one piece, newest first: from after one execution down to another. */
interface Section {
  readonly after: string | undefined
  readonly last: string
  readonly count: number
}

/** The events that a reader has missed. */
export interface Missed {
  /** Whether ends may be missing, because the log no longer holds them or they are too many. */
  readonly hasGap: boolean
  /** The missed ends, oldest first, in pieces that are read from storage on request. */
  pieces(): AsyncIterable<readonly JobStatus[]>
}

/**
 * Finds the executions that ended since a reader left. The log is read newest first, but readers get the oldest
 * first. So the log is scanned back to the position of the reader, keeping only where pieces begin, and read again
 * from there.
 */
export async function missedSince(
  search: Search,
  filter: SearchFilter,
  token: ResumeToken,
  isLive: (order: string) => boolean,
): Promise<Missed> {
  const { found, isWhole } = await olderOnes(search, token, isLive)
  const older = found.filter((status) => fitsJob(filter, status))
  const isKept = await reachesBack(search, token)
  const { sections, isCut } = await scan(search, filter, token.from)
  return {
    hasGap: isCut || !isWhole || !isKept,
    async *pieces() {
      if (older.length > 0) yield older
      for (const section of sections.reverse()) yield await readSection(search, filter, section)
    },
  }
}

/** The executions that were live when the reader left, had begun earlier, and have ended. */
async function olderOnes(search: Search, { from, older }: ResumeToken, isLive: (order: string) => boolean) {
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

/** Whether the log still reaches back to when the reader left. */
async function reachesBack(search: Search, { witness }: ResumeToken): Promise<boolean> {
  if (witness === undefined) return true
  const { searchAfter, isWitness } = searchForWitness(witness)
  const { hits } = await search({ searchAfter, size: 1 })
  return hits.some(({ executionId }) => isWitness(orderOf(executionId)))
}

async function scan(search: Search, filter: SearchFilter, from: string) {
  const sections: Section[] = []
  let count = 0
  let length = 0
  let after: string | undefined
  let last: string | undefined
  const close = () => {
    if (last !== undefined && count > 0) sections.push({ after, last, count })
    after = last
    count = 0
    length = 0
  }
  let left = maxMissed
  for await (const { hits } of pagesOf(search, { ...filter, size: maxMissed + 1 }, { text: scanSize })) {
    for (const hit of hits) {
      const isOlder = orderOf(hit.executionId) < from
      if (isOlder || left-- === 0) {
        close()
        return { sections, isCut: !isOlder }
      }
      if (count > 0 && length + lengthOf(hit) > pieceSize) close()
      last = hit.executionId
      count++
      length += lengthOf(hit)
    }
    // A memory storage answers at once, so this yields to the event loop.
    await new Promise((resolve) => setTimeout(resolve))
  }
  close()
  return { sections, isCut: false }
}

/** Reads a section of the log, oldest first, including what has ended since the scan. */
async function readSection(
  search: Search,
  filter: SearchFilter,
  { after, last, count }: Section,
): Promise<JobStatus[]> {
  const section: JobStatus[] = []
  let searchAfter = after
  for (;;) {
    const { hits } = await search({ ...filter, size: count, ...(searchAfter !== undefined && { searchAfter }) })
    for (const hit of hits) {
      if (orderOf(hit.executionId) < orderOf(last)) return section.reverse()
      section.push(hit)
    }
    const end = hits.at(-1)
    if (!end || hits.length < count || orderOf(end.executionId) === orderOf(last)) return section.reverse()
    searchAfter = end.executionId
  }
}

function fitsJob({ type, id, state }: SearchFilter, status: JobStatus): boolean {
  return (
    (type ?? status.type) === status.type && (id ?? status.id) === status.id && (state ?? status.state) === status.state
  )
}
