import type { ReadBatch } from '../ingestion/index.js'
import type { RecordPosition } from './cursor-position.js'
import { Prefetch } from './prefetch.js'
import type { CursorRange } from './range.js'
import type { Ranges } from './range-queue.js'

/**
 * Reads a range on a session. A batch after which reading may resume has a {@link RecordPosition} as its position.
 *
 * @experimental
 */
export type RangeReader<Session> = (session: Session, range: CursorRange) => AsyncGenerator<ReadBatch>

/** A batch of a range, or the end of the range. */
interface Piece {
  /** Identifies the range. */
  readonly id: number
  readonly read?: ReadBatch
}

/** Reads one range after the other on a session. */
type Reader = Prefetch<Piece>

/** The next piece of a reader, or its end. */
interface Arrival {
  readonly reader: Reader
  readonly result: IteratorResult<Piece, void>
}

/**
 * Reads ranges in parallel, one at a time on each session, and yields batches as they arrive. Of the batches that are
 * ready, the one of the earliest range comes first. A batch with a position is yielded after its range has recorded
 * the position.
 *
 * Each session prefetches up to `limit` bytes, so that all sessions keep reading while the target commits. Reading
 * stops when `isLeft` returns false; the range that it stops in is not finished.
 *
 * @experimental
 */
export async function* readInParallel<Session>(
  sessions: readonly Session[],
  ranges: Ranges,
  readRange: RangeReader<Session>,
  limit: number,
  isLeft = () => true,
): AsyncGenerator<ReadBatch> {
  const readers = sessions.map((session) => new Prefetch(piecesOf(session, ranges, readRange, isLeft), limit, sizeOf))
  // In the order of their ranges, which `Promise.race` respects.
  const arrivals = new Map<Reader, Promise<Arrival>>()
  const request = (reader: Reader) => {
    const arrival = reader.next().then((result) => ({ reader, result }))
    // The consumer handles the failure.
    arrival.catch(() => undefined)
    arrivals.set(reader, arrival)
  }
  for (const reader of readers) request(reader)
  // A read cannot resume between tied records, so a reader that has started them goes first until they are complete.
  let tiedReader: Reader | undefined
  try {
    while (arrivals.size > 0) {
      // Otherwise a failure would wait until the readers before it have no batches.
      const first = tiedReader ?? readers.find(({ hasFailed }) => hasFailed)
      const { reader, result } = await (first
        ? (arrivals.get(first) as Promise<Arrival>)
        : Promise.race(arrivals.values()))
      if (result.done || !result.value.read) arrivals.delete(reader)
      if (result.done) continue
      const { id, read } = result.value
      if (!read) {
        ranges.finish(id)
        request(reader)
        continue
      }
      const { position } = read
      tiedReader = position === undefined ? reader : undefined
      if (position !== undefined) ranges.advance(id, position as RecordPosition)
      request(reader)
      yield read
    }
  } finally {
    for (const reader of readers) reader.stop()
  }
}

async function* piecesOf<Session>(
  session: Session,
  ranges: Ranges,
  readRange: RangeReader<Session>,
  isLeft: () => boolean,
): AsyncGenerator<Piece, void> {
  for (let next = ranges.take(); next; next = ranges.take()) {
    const { id, range } = next
    for await (const read of readRange(session, range)) yield { id, read }
    if (!isLeft()) return
    yield { id }
  }
}

function sizeOf({ read }: Piece): number {
  return read?.batch.byteLength ?? 0
}
