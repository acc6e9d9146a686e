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
import { RecordReader } from '../shared/index.js'

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
  const records = isIterable(opened) ? opened : await untilAborted(Promise.resolve(opened), signal)
  const reader = new RecordReader(iteratorOf(records), signal)
  try {
    while (reader.isOpen) {
      const taken = await reader.take(batchSize, batchBytes)
      if (taken.length > 0) yield RecordBatch.fromRecords(taken as JobRecord[])
    }
  } finally {
    const closing = reader.close()
    // A source that hangs may never close.
    if (signal.aborted) closing.catch(() => undefined)
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
