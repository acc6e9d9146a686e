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
} from '../index.js'
import { Abortable } from './_abortable.js'

/** How to go through records. */
export interface IterableDatasourceOptions {
  /** Whether the source is a function that gives only the records after `lastId`. Default `false`: every run reads all. */
  resumes?: boolean
}

/** Records that can be gone through, one after the other. */
export type Records<Item extends object = JobRecord> = Iterable<Item> | AsyncIterable<Item>

/** Gives the records of one run. */
export type RecordsFunction<Item extends object = JobRecord> = (context: RecordsContext) => Records<Item>

/** What a function that gives records is told. */
export interface RecordsContext {
  /** The job's query, as text and values; its text is empty when the job has none. */
  readonly query: Query
  /** The last id of the checkpoint that the job goes on from; `undefined` when it starts from the beginning. */
  readonly lastId: string | undefined
  /** Of a part of a job with `partitions`: the range that it is to give. Absent in a job that is not cut. */
  readonly range?: ReadRange
  /** Aborts when no more records are wanted. */
  readonly signal: AbortSignal
}

/**
 * Reads records that are there already, or come one by one: from an array, an iterable, an async iterable, or a function
 * that gives one for every run. What can be gone through only once, such as a generator, gives its records to the first
 * run only.
 *
 * An abort or an early end closes the source's iterator; an abort does not wait for it. Throws `invalid_options` here, and
 * `datasource` for a record that is not an object.
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
  const takesRange = typeof source === 'function'
  return { kind: 'iterable', resumes, takesRange, read: (query, readOptions) => read(open, query, readOptions) }
}

async function* read<Item extends object>(
  open: RecordsFunction<Item>,
  query: Query,
  { signal, batchSize, lastId, range }: ReadOptions,
): AsyncGenerator<RecordBatch> {
  signal.throwIfAborted()
  const reader = new Reader(open({ query, lastId, signal, ...(range && { range }) }), signal)
  try {
    while (reader.isOpen) {
      const records = await reader.take(batchSize)
      if (records.length > 0) yield RecordBatch.fromRecords(records as JobRecord[])
    }
  } finally {
    await reader.close()
  }
}

/** One way through the records of a source. */
class Reader<Item extends object> {
  /** Whether the source may have more: records, or an error. */
  isOpen = true
  readonly #iterator: Iterator<Item> | AsyncIterator<Item>
  readonly #signal: AbortSignal
  readonly #abortable: Abortable
  #failure: { readonly error: unknown } | undefined

  constructor(records: Records<Item>, signal: AbortSignal) {
    this.#iterator = iteratorOf(records)
    this.#signal = signal
    this.#abortable = new Abortable(signal)
  }

  /** The next records, `count` at most. An error comes after the records before it. */
  async take(count: number): Promise<Item[]> {
    this.#signal.throwIfAborted()
    if (this.#failure) throw this.#failure.error
    const records: Item[] = []
    try {
      while (records.length < count) {
        const step = this.#iterator.next()
        const { done, value } = 'then' in step ? await this.#abortable.wait(step) : step
        if (done) {
          this.isOpen = false
          break
        }
        checkRecord(value)
        records.push(value)
      }
    } catch (error) {
      if (this.#signal.aborted) throw this.#signal.reason
      this.#failure = { error }
    }
    return records
  }

  async close(): Promise<void> {
    this.#abortable.dispose()
    if (!this.isOpen) return
    const closing = (async () => this.#iterator.return?.())()
    // A source that hangs may never say that it is closed.
    if (this.#signal.aborted) closing.catch(() => undefined)
    else await closing
  }
}

function isIterable(value: unknown): value is Records<never> {
  return typeof value === 'object' && value !== null && (Symbol.asyncIterator in value || Symbol.iterator in value)
}

function iteratorOf<Item extends object>(records: Records<Item>): Iterator<Item> | AsyncIterator<Item> {
  if (!isIterable(records))
    throw new JobError('datasource', 'Expected the source to give an iterable or async iterable.')
  return Symbol.asyncIterator in records ? records[Symbol.asyncIterator]() : records[Symbol.iterator]()
}

function checkRecord(record: unknown): void {
  if (typeof record === 'object' && record !== null && !Array.isArray(record)) return
  const shown = record === null ? 'null' : Array.isArray(record) ? 'an array' : `a ${typeof record}`
  throw new JobError('datasource', `Expected every record to be an object, got ${shown}.`)
}
