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
  { signal, batchSize, batchBytes = Number.POSITIVE_INFINITY, lastId, range }: ReadOptions,
): AsyncGenerator<RecordBatch> {
  signal.throwIfAborted()
  const reader = new Reader(open({ query, lastId, signal, ...(range && { range }) }), signal)
  try {
    while (reader.isOpen) {
      const records = await reader.take(batchSize, batchBytes)
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
  /** A record that was too large to be taken with those before it. */
  #held: { readonly record: Item; readonly bytes: number } | undefined

  constructor(records: Records<Item>, signal: AbortSignal) {
    this.#iterator = iteratorOf(records)
    this.#signal = signal
    this.#abortable = new Abortable(signal)
  }

  /** The next records: `count` at most, and `bytes` in all, but for a larger one by itself. An error comes after the records before it. */
  async take(count: number, bytes: number): Promise<Item[]> {
    this.#signal.throwIfAborted()
    const { record: held, bytes: heldBytes = 0 } = this.#held ?? {}
    const records: Item[] = held ? [held] : []
    this.#held = undefined
    if (this.#failure) throw this.#failure.error
    try {
      await this.#fill(records, count, bytes, heldBytes)
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
        this.#held = { record: value, bytes: size }
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

/**
 * About how many bytes a record takes: what is exact matters less than that much is not taken for little. Linear in what the record
 * holds, however deep, and also where it holds itself.
 */
function sizeOf(record: object): number {
  const seen = new Set<object>([record])
  const left: object[] = [record]
  let size = 0
  for (let holder = left.pop(); holder; holder = left.pop()) {
    for (const value of valuesOf(holder)) {
      if (typeof value === 'string') size += value.length
      else if (typeof value !== 'object') size += sizeOfOther
      else if (ArrayBuffer.isView(value)) size += value.byteLength
      else if (value !== null && !seen.has(value)) {
        size += sizeOfOther
        seen.add(value)
        left.push(value)
      }
    }
  }
  return size
}

/** About how many bytes a number, a date and the like take. */
const sizeOfOther = 8

/** What cannot be read takes nothing here: whoever writes it fails. */
function valuesOf(holder: object): unknown[] {
  try {
    return Object.values(holder)
  } catch {
    return []
  }
}
