import type { RecordBatch } from '../index.js'
import { Lookahead } from './_lookahead.js'
import type { Range } from './_postgres-keyset.js'
import type { Place } from './_postgres-position.js'
import type { Ranges } from './_postgres-ranges.js'
import type { Session } from './_postgres-session.js'

/** Reads a range on a session. A batch that reading may go on after has its {@link Place} as position. */
export type ReadRange = (session: Session, range: Range) => AsyncGenerator<RecordBatch>

/** A batch of a range, or the end of the range. */
interface Piece {
  /** Tells the range. */
  readonly id: number
  readonly batch?: RecordBatch
}

/** What a session reads: one range after the other. */
type Reader = Lookahead<Piece>

/** A piece that a reader has come to, or that it is at its end. */
interface Arrival {
  readonly reader: Reader
  readonly result: IteratorResult<Piece, void>
}

/**
 * Reads ranges side by side, one on each session at a time, and gives their batches as they come: of those that are there, the
 * one of the earliest range. A batch with a position is given once its range was told how far it was read.
 *
 * Each session reads ahead until `room` bytes wait, so that all go on while the target commits. Reading ends where `isLeft`
 * says that no more records are wanted: the range that it ends in is not finished.
 */
export async function* readSideBySide(
  sessions: readonly Session[],
  ranges: Ranges,
  read: ReadRange,
  room: number,
  isLeft = () => true,
): AsyncGenerator<RecordBatch> {
  const readers = sessions.map((session) => new Lookahead(piecesOf(session, ranges, read, isLeft), room, sizeOf))
  // In the order of their ranges, which a race keeps to.
  const arrivals = new Map<Reader, Promise<Arrival>>()
  const ask = (reader: Reader) => {
    const arrival = reader.next().then((result) => ({ reader, result }))
    // Whoever waits for it is told when it fails.
    arrival.catch(() => undefined)
    arrivals.set(reader, arrival)
  }
  for (const reader of readers) ask(reader)
  // Nobody can go on between records that are tied: who has begun with such is waited for.
  let alone: Reader | undefined
  try {
    while (arrivals.size > 0) {
      // A failure would else wait until those before it have nothing to give.
      const first = alone ?? readers.find(({ hasFailed }) => hasFailed)
      const { reader, result } = await (first
        ? (arrivals.get(first) as Promise<Arrival>)
        : Promise.race(arrivals.values()))
      if (result.done || !result.value.batch) arrivals.delete(reader)
      if (result.done) continue
      const { id, batch } = result.value
      if (!batch) {
        ranges.finish(id)
        ask(reader)
        continue
      }
      const { position } = batch
      alone = position === undefined ? reader : undefined
      if (position !== undefined) ranges.advance(id, position as Place)
      ask(reader)
      yield batch
    }
  } finally {
    for (const reader of readers) reader.stop()
  }
}

async function* piecesOf(
  session: Session,
  ranges: Ranges,
  read: ReadRange,
  isLeft: () => boolean,
): AsyncGenerator<Piece, void> {
  for (let taken = ranges.take(); taken; taken = ranges.take()) {
    const { id, range } = taken
    for await (const batch of read(session, range)) yield { id, batch }
    if (!isLeft()) return
    yield { id }
  }
}

function sizeOf({ batch }: Piece): number {
  return batch?.byteLength ?? 0
}
