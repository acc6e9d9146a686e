import type { RecordBatch } from '../index.js'
import type { Range } from './_postgres-keyset.js'
import type { Place } from './_postgres-position.js'
import type { Ranges } from './_postgres-ranges.js'
import type { Session } from './_postgres-session.js'

/** Reads a range on a session. A batch that reading may go on after has its {@link Place} as position. */
export type ReadRange = (session: Session, range: Range) => AsyncGenerator<RecordBatch>

/** What a session reads. */
interface Reader {
  readonly session: Session
  readonly id: number
  readonly batches: AsyncGenerator<RecordBatch>
}

/** A batch of a reader, or the end of its range. */
interface Arrival {
  readonly reader: Reader
  readonly result: IteratorResult<RecordBatch>
}

/**
 * Reads ranges side by side, one on each session at a time, and gives their batches as they come. A batch with a position is
 * given once its range was told how far it was read.
 */
export async function* readSideBySide(
  sessions: readonly Session[],
  ranges: Ranges,
  read: ReadRange,
): AsyncGenerator<RecordBatch> {
  const arrivals = new Map<Reader, Promise<Arrival>>()
  const ask = (reader: Reader) => {
    const arrival = reader.batches.next().then((result) => ({ reader, result }))
    // Whoever waits for it is told when it fails.
    arrival.catch(() => undefined)
    arrivals.delete(reader)
    arrivals.set(reader, arrival)
  }
  const begin = (session: Session) => {
    const taken = ranges.take()
    if (taken) ask({ session, id: taken.id, batches: read(session, taken.range) })
  }
  for (const session of sessions) begin(session)
  // Nobody can go on between records that are tied: who has begun with such is waited for.
  let alone: Reader | undefined
  while (arrivals.size > 0) {
    const { reader, result } = await (alone
      ? (arrivals.get(alone) as Promise<Arrival>)
      : Promise.race(arrivals.values()))
    if (result.done) {
      arrivals.delete(reader)
      ranges.finish(reader.id)
      begin(reader.session)
      continue
    }
    const { position } = result.value
    alone = position === undefined ? reader : undefined
    if (position !== undefined) ranges.advance(reader.id, position as Place)
    ask(reader)
    yield result.value
  }
}
