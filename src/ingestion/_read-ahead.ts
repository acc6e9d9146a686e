import type { RecordBatch } from './batch.js'

interface Reader {
  /** Waits for what comes next. */
  wait<Next>(next: Promise<Next>): Promise<Next>
  /** Called when no more is wanted. */
  stop(): void
  /** Told at the end what comes behind the limit, where that is known: `undefined` when all was read. */
  readonly beyond?: ((batch: RecordBatch | undefined) => void) | undefined
}

/**
 * Gives the batches of `source`, cut at `limit` records, and asks for the next one as soon as one is taken: reading and
 * writing then overlap, with never more than one batch ahead.
 */
export async function* readAhead(
  source: AsyncIterable<RecordBatch>,
  limit: number,
  { wait, stop, beyond }: Reader,
): AsyncGenerator<RecordBatch> {
  const batches = source[Symbol.asyncIterator]()
  let left = limit
  try {
    let next = ask(batches)
    for (let result = await wait(next); !result.done; result = await wait(next)) {
      const { value } = result
      const batch = value.length > left ? value.slice(0, left) : value
      left -= batch.length
      if (left > 0 || (beyond && batch === value)) next = ask(batches)
      yield batch
      if (left > 0) continue
      if (batch !== value) beyond?.(value.slice(batch.length, value.length))
      else if (beyond) await wait(next.then(({ done, value }) => beyond(done ? undefined : value), ignore))
      return
    }
    beyond?.(undefined)
  } finally {
    stop()
    await batches.return?.()
  }
}

/** An error of what is not wanted is no error. */
function ignore(): void {}

function ask(batches: AsyncIterator<RecordBatch>): Promise<IteratorResult<RecordBatch>> {
  const next = batches.next()
  // It may fail while the batch before it is written: whoever waits for it then is told.
  next.catch(() => undefined)
  return next
}
