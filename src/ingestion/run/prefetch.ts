import type { ReadBatch, RecordBatch } from '../contract/index.js'

interface Reader {
  /** Waits for the next batch. */
  wait<Next>(next: Promise<Next>): Promise<Next>
  /** Called when no further batch is needed. */
  stop(): void
  /** Called at the end with what follows the limit, if known. `undefined` means that everything was read. */
  readonly beyond?: ((batch: RecordBatch | undefined) => void) | undefined
}

/**
 * Yields the batches of `source`, truncated at `limit` records. Requests the next batch as soon as one is taken: reading and writing
 * overlap, with at most one batch ahead.
 */
export async function* readAhead(
  source: AsyncIterable<ReadBatch>,
  limit: number,
  { wait, stop, beyond }: Reader,
): AsyncGenerator<ReadBatch> {
  const batches = source[Symbol.asyncIterator]()
  let left = limit
  try {
    let next = ask(batches)
    for (let result = await wait(next); !result.done; result = await wait(next)) {
      const { value } = result
      const { batch } = value
      const isWhole = batch.length <= left
      const count = Math.min(batch.length, left)
      left -= count
      if (left > 0 || (beyond && isWhole)) next = ask(batches)
      yield isWhole ? value : { batch: batch.slice(0, count) }
      if (left > 0) continue
      if (!isWhole) beyond?.(batch.slice(count, batch.length))
      else if (beyond) await wait(next.then(({ done, value }) => beyond(done ? undefined : value.batch), ignore))
      return
    }
    beyond?.(undefined)
  } finally {
    stop()
    await batches.return?.()
  }
}

/** Errors of an unneeded batch are ignored. */
function ignore(): void {}

function ask(batches: AsyncIterator<ReadBatch>): Promise<IteratorResult<ReadBatch>> {
  const next = batches.next()
  // It may fail while the batch before it is written: the next wait reports the error.
  next.catch(() => undefined)
  return next
}
