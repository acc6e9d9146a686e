import type { Datasource, JobRecord } from 'headgate'
import type { CursorReadOptions, Query, ReadBatch, ReadCursor, RecordBatch } from 'headgate/adapter'

/** How to read in a test. */
export interface Reading {
  signal?: AbortSignal
  batchSize?: number
  lastId?: string
}

/** The batches of a query. */
export function batchesOf(
  datasource: Datasource,
  query: string | Query,
  reading: Reading = {},
): AsyncIterator<RecordBatch> {
  const { signal = new AbortController().signal, batchSize = 10, lastId } = reading
  const asked = typeof query === 'string' ? { text: query, values: [] } : query
  return datasource.read(asked, { signal, batchSize, lastId })[Symbol.asyncIterator]()
}

/** All batches of a query. */
export async function allBatches(
  datasource: Datasource,
  query: string | Query,
  reading?: Reading,
): Promise<RecordBatch[]> {
  const iterator = batchesOf(datasource, query, reading)
  const batches: RecordBatch[] = []
  for (let next = await iterator.next(); !next.done; next = await iterator.next()) batches.push(next.value)
  return batches
}

/** All records of a query. */
export async function allRecords(
  datasource: Datasource,
  query: string | Query,
  reading?: Reading,
): Promise<JobRecord[]> {
  return (await allBatches(datasource, query, reading)).flatMap((batch) => batch.records())
}

/** A batch of a read by a cursor, and what the datasource says of it. */
export type PlacedBatch = RecordBatch & Omit<ReadBatch, 'batch'>

/** The batches of a read by a cursor. */
export async function* batchesByCursor(
  datasource: Datasource,
  query: Query,
  options: CursorReadOptions,
): AsyncGenerator<PlacedBatch> {
  for await (const { batch, ...place } of datasource.readByCursor?.(query, options) ?? []) {
    yield Object.assign(batch, place)
  }
}

/** What `promise` rejects with. */
export async function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  const answer = await promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  )
  if ('error' in answer) return answer.error
  throw new TypeError('Expected a rejection')
}

/** A cursor over all records, with what a job says when it says nothing. */
export function cursorBy(columns: string | readonly string[], more: Partial<ReadCursor> = {}): ReadCursor {
  return {
    columns: [columns].flat(),
    nulls: 'fail',
    ties: 'refuse',
    lookback: 0,
    consistency: 'statement',
    parallel: 1,
    position: undefined,
    limit: Number.POSITIVE_INFINITY,
    onNullsSkipped: () => undefined,
    ...more,
  }
}
