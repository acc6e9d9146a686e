import assert from 'node:assert/strict'
import { setTimeout } from 'node:timers/promises'
import type { Column, EncodedOptions, Query, ReadRange, RecordBatch } from '../../../adapter.js'
import type { Datasource } from '../../../index.js'

/** A fresh datasource, and the queries that the cases read. The column `id` of a query goes up from 1, unless it says otherwise. */
export interface DatasourceFixture {
  /** The datasource under test. */
  datasource: Datasource
  /** A query of `count` records. It may have values. */
  query(count: number): Query
  /**
   * A query of `count` records, in the order of `id`. Its column `pair` is the same in each two of them: 1, 1, 2, 2, and so on. Its
   * column `down` is the negative `id`: -1, -2, -3, and so on.
   */
  pairs?(count: number): Query
  /** A query of `count` records. Its column `gap` equals `id`, but is null in every third record: in 3, 6, 9, and so on. */
  gaps?(count: number): Query
  /** A query of `count` records of about 10,000 bytes each. */
  wide?(count: number): Query
  /** A query of two records whose `id` is 9007199254740993 and 9007199254740995, as 64-bit integers. */
  bigIntegers?: Query
  /** The text of a query of the records from one `id` to another, which are values: it is given their placeholders. */
  between?(first: string, last: string): string
  /** The text of a query of one record whose column `text` is a value: it is given its placeholder. */
  echo?(text: string): string
  /** A query that does not return its first record for at least a minute. */
  blocked?: Query
  /** A query that returns 5 records at once, and no more for at least a minute. */
  stalling?: Query
  /** A query that returns 5 records and then fails. */
  failing?: Query
  /** How many reads hold something now: a connection that is out, a request or a statement that the server runs. */
  held?(): number | Promise<number>
  /** How many records the source has given to all reads, including those that a read has fetched and not returned yet. */
  fetched?(): number | Promise<number>
  /** A datasource of the same kind that cannot be read, such as one whose server is away. */
  unusable?(): Datasource
  /** Closes everything after the case, including the datasource. */
  close?(): Promise<void>
}

export interface ReadSettings {
  signal?: AbortSignal
  batchSize?: number
  batchBytes?: number
  lastId?: string
  range?: ReadRange
  encoded?: EncodedOptions
  onColumns?(columns: readonly Column[]): void
}

export function read(
  { datasource }: DatasourceFixture,
  query: Query,
  settings: ReadSettings = {},
): AsyncIterator<RecordBatch> {
  const { signal = new AbortController().signal, batchSize = 10, lastId, ...rest } = settings
  return datasource.read(query, { signal, batchSize, lastId, ...rest })[Symbol.asyncIterator]()
}

/** All batches of a read. */
export async function batchesOf(...reading: Parameters<typeof read>): Promise<RecordBatch[]> {
  const iterator = read(...reading)
  const batches: RecordBatch[] = []
  for (let next = await iterator.next(); !next.done; next = await iterator.next()) batches.push(next.value)
  return batches
}

/** The ids of all batches of a read. */
export async function readAll(...reading: Parameters<typeof read>): Promise<number[][]> {
  return (await batchesOf(...reading)).map(idsOf)
}

export function idsOf(batch: RecordBatch): number[] {
  return batch.records().map(({ id }) => Number(id))
}

export function idsFrom(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}

export function given<Value>(value: Value | undefined, name: string, ability = name): Value {
  assert.notEqual(value, undefined, `Expected \`${name}\`, or the reason in \`unsupported.${ability}\``)
  return value as Value
}

/** How long the suite waits for a datasource, in milliseconds. */
export const patience = 3000

/** Waits for something that a datasource must do soon. Fails with what was expected. */
export async function soon<Value>(promise: Promise<Value>, expected: string): Promise<Value> {
  const stop = new AbortController()
  const late = setTimeout(patience, undefined, { signal: stop.signal }).then(() =>
    assert.fail(`Expected ${expected} within ${patience} ms`),
  )
  try {
    return await Promise.race([promise, late])
  } finally {
    late.catch(() => undefined)
    stop.abort()
  }
}

export async function untilHeld(fixture: DatasourceFixture, count: number, when: string): Promise<void> {
  const end = performance.now() + patience
  for (let now = await held(fixture); now !== count; now = await held(fixture)) {
    assert.ok(performance.now() < end, `Expected \`held\` to become ${count} ${when}, it is ${now}`)
    await setTimeout(5)
  }
}

export async function held(fixture: DatasourceFixture): Promise<number> {
  return given(fixture.held, 'held').call(fixture)
}

export function isThe(reason: unknown): (error: unknown) => boolean {
  return (error) => error === reason
}
