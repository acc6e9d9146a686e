import type { RecordBatch } from './batch.js'

/**
 * Gives the batches of `source`, cut at `limit` records, and asks for the next one as soon as one is taken: reading and
 * writing then overlap, with never more than one batch ahead. `wait` waits for the next one. Calls `stop` when no more is
 * wanted.
 */
export async function* readAhead(
  source: AsyncIterable<RecordBatch>,
  limit: number,
  wait: <Next>(next: Promise<Next>) => Promise<Next>,
  stop: () => void,
): AsyncGenerator<RecordBatch> {
  const batches = source[Symbol.asyncIterator]()
  let left = limit
  try {
    let next = ask(batches)
    for (let result = await wait(next); !result.done; result = await wait(next)) {
      const batch = result.value.length > left ? result.value.slice(0, left) : result.value
      left -= batch.length
      if (left > 0) next = ask(batches)
      yield batch
      if (left === 0) return
    }
  } finally {
    stop()
    await batches.return?.()
  }
}

function ask(batches: AsyncIterator<RecordBatch>): Promise<IteratorResult<RecordBatch>> {
  const next = batches.next()
  // It may fail while the batch before it is written: whoever waits for it then is told.
  next.catch(() => undefined)
  return next
}
