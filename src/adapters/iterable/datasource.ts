import {
  checkOptions,
  type Datasource,
  invalid,
  JobError,
  type JobRecord,
  type Query,
  type ReadOptions,
  type ReadRange,
  RecordBatch,
  rule,
  untilAborted,
} from '../../adapter.js'
import { Abortable } from './abortable.js'

/** The options of {@link iterableDatasource}. */
export interface IterableDatasourceOptions {
  /**
   * Whether the source is a function that returns only the records after `lastId`. Default `false`: every run reads
   * all records.
   */
  resumes?: boolean
}

/** Records in order. */
export type Records<Item extends object = JobRecord> = Iterable<Item> | AsyncIterable<Item>

/** Returns the records of one run, or a promise of them. */
export type RecordsFunction<Item extends object = JobRecord> = (
  context: RecordsContext,
) => Records<Item> | Promise<Records<Item>>

/** The argument of a {@link RecordsFunction}. */
export interface RecordsContext {
  /** The query of the job, as text and values. The text is empty when the job has no query. */
  readonly query: Query
  /** The last id of the checkpoint that the job resumes from; `undefined` when it starts from the beginning. */
  readonly lastId: string | undefined
  /** The range of records to return, in a partition of a job with `partitions`. */
  readonly range?: ReadRange
  /** Aborts when no more records are needed. */
  readonly signal: AbortSignal
}

/**
 * Reads records from an array, an iterable, an async iterable, or a function that returns one for every run. A source
 * that can be iterated only once, such as a generator, returns its records to the first run only.
 *
 * An abort or an early end closes the iterator of the source; an abort does not wait for it. Throws `invalid_options`
 * here, and `datasource` for a record that is not an object.
 */
export function iterableDatasource<Item extends object = JobRecord>(
  source: Records<Item> | RecordsFunction<Item>,
  options: IterableDatasourceOptions = {},
): Datasource {
  checkOptions('options', options, { resumes: rule.optional(rule.flag) })
  const { resumes = false } = options
  if (typeof source !== 'function' && !isIterable(source)) {
    throw invalid('source', 'an array, an iterable, an async iterable or a function that gives one', source)
  }
  if (resumes && typeof source !== 'function') throw invalid('source', 'a function, as `resumes` is set', source)
  const open = typeof source === 'function' ? source : () => source
  return {
    kind: 'iterable',
    capabilities: { resumesAfterId: resumes, readsRanges: typeof source === 'function' },
    read: (query, readOptions) => read(open, query, readOptions),
  }
}

async function* read<Item extends object>(
  open: RecordsFunction<Item>,
  query: Query,
  { signal, batchSize, batchBytes = Number.POSITIVE_INFINITY, lastId, range }: ReadOptions,
): AsyncGenerator<RecordBatch> {
  signal.throwIfAborted()
  const opened = open({ query, lastId, signal, ...(range && { range }) })
  const reader = new Reader(isIterable(opened) ? opened : await untilAborted(Promise.resolve(opened), signal), signal)
  try {
    while (reader.isOpen) {
      const records = await reader.take(batchSize, batchBytes)
      if (records.length > 0) yield RecordBatch.fromRecords(records as JobRecord[])
    }
  } finally {
    await reader.close()
  }
}

/** Iterates over the records of a source. */
class Reader<Item extends object> {
  /** Whether the source may have more records, or an error. */
  isOpen = true
  readonly #iterator: Iterator<Item> | AsyncIterator<Item>
  readonly #signal: AbortSignal
  readonly #abortable: Abortable
  #failure: { readonly error: unknown } | undefined
  /** A record that did not fit in the previous batch. */
  #leftover: { readonly record: Item; readonly bytes: number } | undefined

  constructor(records: Records<Item>, signal: AbortSignal) {
    this.#iterator = iteratorOf(records)
    this.#signal = signal
    this.#abortable = new Abortable(signal)
  }

  /**
   * Returns the next records: at most `count`, and at most `bytes` in all, except for a larger record alone. An error
   * comes after the records before it.
   */
  async take(count: number, bytes: number): Promise<Item[]> {
    this.#signal.throwIfAborted()
    const { record: leftover, bytes: leftoverBytes = 0 } = this.#leftover ?? {}
    const records: Item[] = leftover ? [leftover] : []
    this.#leftover = undefined
    if (this.#failure) throw this.#failure.error
    try {
      await this.#fill(records, count, bytes, leftoverBytes)
    } catch (error) {
      if (this.#signal.aborted) throw this.#signal.reason
      this.#failure = { error }
    }
    return records
  }

  async #fill(records: Item[], count: number, bytes: number, filled: number): Promise<void> {
    const isBounded = Number.isFinite(bytes)
    let sum = filled
    while (records.length < count && sum < bytes) {
      const step = this.#iterator.next()
      const { done, value } = 'then' in step ? await this.#abortable.wait(step) : step
      if (done) {
        this.isOpen = false
        return
      }
      checkRecord(value)
      const size = isBounded ? sizeOf(value) : 0
      if (records.length > 0 && sum + size > bytes) {
        this.#leftover = { record: value, bytes: size }
        return
      }
      sum += size
      records.push(value)
    }
  }

  async close(): Promise<void> {
    this.#abortable.dispose()
    if (!this.isOpen) return
    const closing = (async () => this.#iterator.return?.())()
    // A source that hangs may never close.
    if (this.#signal.aborted) closing.catch(() => undefined)
    else await closing
  }
}

function isIterable(value: unknown): value is Records<never> {
  return typeof value === 'object' && value !== null && (Symbol.asyncIterator in value || Symbol.iterator in value)
}

function iteratorOf<Item extends object>(records: Records<Item>): Iterator<Item> | AsyncIterator<Item> {
  if (!isIterable(records))
    throw new JobError('datasource', 'Expected the source to return an iterable or async iterable.')
  return Symbol.asyncIterator in records ? records[Symbol.asyncIterator]() : records[Symbol.iterator]()
}

function checkRecord(record: unknown): void {
  if (typeof record === 'object' && record !== null && !Array.isArray(record)) return
  const shown = record === null ? 'null' : Array.isArray(record) ? 'an array' : `a ${typeof record}`
  throw new JobError('datasource', `Expected every record to be an object, got ${shown}.`)
}

/**
 * Estimates the size of a record in bytes. The estimate must not be far too low. It is linear in the content, at any
 * depth, and handles circular references.
 */
function sizeOf(record: object): number {
  const seen = new Set<object>([record])
  const pending: object[] = [record]
  let size = 0
  for (let holder = pending.pop(); holder; holder = pending.pop()) {
    for (const value of valuesOf(holder)) {
      if (typeof value === 'string') size += value.length
      else if (typeof value !== 'object') size += sizeOfOther
      else if (ArrayBuffer.isView(value)) size += value.byteLength
      else if (value !== null && !seen.has(value)) {
        size += sizeOfOther
        seen.add(value)
        pending.push(value)
      }
    }
  }
  return size
}

/** The estimated size of a number, a date and the like. */
const sizeOfOther = 8

/** Values that cannot be read count nothing here; the writer fails on them. */
function valuesOf(holder: object): unknown[] {
  try {
    return Object.values(holder)
  } catch {
    return []
  }
}
