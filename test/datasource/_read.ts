import type { Datasource, JobRecord, Query, ReadCursor, RecordBatch } from 'headgate'

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
    leaveOut: () => undefined,
    ...more,
  }
}
