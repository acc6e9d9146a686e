import { Readable } from 'node:stream'
import {
  type BatchOptions,
  type CountOptions,
  type CursorReadOptions,
  checkOptions,
  type Datasource,
  type GivenPositionOptions,
  givenPosition,
  ignoreRejections,
  invalid,
  isThenable,
  JobError,
  type JobRecord,
  mapInTurns,
  nonRecord,
  type Partitioning,
  type PartitionOptions,
  type Query,
  type ReadBatch,
  type ReadCursor,
  type ReadOptions,
  type ReadRange,
  RecordBatch,
  rule,
  shownPosition,
  untilAborted,
} from '../../adapter.js'
import { checkGiven, checkRecord, MemoryRead, type MemoryRecords, RecordReader } from '../shared/index.js'

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
 * A job with a `cursor` reads an array, or a function that returns one: the datasource sorts it in memory. It splits it for `parallel` and
 * `partitions`.
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
  const sorted = new SortedSource(open)
  return {
    kind: 'iterable',
    capabilities: {
      resumesAfterId: resumes,
      readsRanges: typeof source === 'function',
      keepsConsistency: ['statement', 'snapshot', 'pages'],
    },
    read: (query, readOptions) => read(open, query, readOptions),
    readByCursor: (query, readOptions) => sorted.read(query, readOptions),
    givenPosition: (given, cursor, check) => sorted.givenPosition(given, cursor, check),
    shownPosition,
    partition: (query, partitionOptions) => sorted.partition(query, partitionOptions),
    count: (query, countOptions) => sorted.count(query, countOptions),
  }
}

/** Reads arrays in the order of a cursor. */
class SortedSource<Item extends object> {
  readonly #open: RecordsFunction<Item>
  /** The records of each snapshot that was not released. */
  readonly #snapshots = new Map<string, readonly Item[]>()

  constructor(open: RecordsFunction<Item>) {
    this.#open = open
  }

  async *read(query: Query, options: CursorReadOptions): AsyncGenerator<ReadBatch> {
    const { signal, cursor } = options
    const records = this.#recordsOf(cursor) ?? (await this.#load(query, signal))
    const read = await MemoryRead.of(memoryOf(records), cursor)
    for (const batch of read.batches(options)) {
      signal.throwIfAborted()
      yield batch
    }
    signal.throwIfAborted()
  }

  /** The snapshot is the array as it is now. */
  async partition(query: Query, { signal, cursor, split }: PartitionOptions): Promise<Partitioning> {
    const records = await this.#load(query, signal)
    const read = await MemoryRead.of(memoryOf(records), cursor)
    const snapshot = crypto.randomUUID()
    const bounds = read.split(split)
    this.#snapshots.set(snapshot, [...records])
    return { bounds, snapshot, release: async () => void this.#snapshots.delete(snapshot) }
  }

  /** The position of a reset. Its values are compared with the records, where the source returns an array. */
  async givenPosition(
    given: unknown,
    cursor: Pick<ReadCursor, 'columns' | 'ties'>,
    { query, signal }: GivenPositionOptions,
  ): Promise<unknown> {
    const position = givenPosition(given, cursor)
    if (query) await checkGiven(memoryOf(await this.#load(query, signal)), position)
    return position
  }

  /** How many records are left. `undefined` for a source that only tells by being read. */
  async count(query: Query, { signal, lastId, cursor }: CountOptions): Promise<number | undefined> {
    if (cursor) return (await MemoryRead.of(memoryOf(await this.#load(query, signal)), cursor)).count()
    const records = await opened(this.#open, { query, lastId, signal })
    return Array.isArray(records) ? records.length : undefined
  }

  /** The records of the snapshot of a partition, if it is still there. */
  #recordsOf({ snapshot, onSnapshotLost }: ReadCursor): readonly Item[] | undefined {
    const records = snapshot === undefined ? undefined : this.#snapshots.get(snapshot)
    if (snapshot !== undefined && !records) onSnapshotLost?.()
    return records
  }

  async #load(query: Query, signal: BatchOptions['signal']): Promise<readonly Item[]> {
    const records = await opened(this.#open, { query, lastId: undefined, signal })
    if (!Array.isArray(records)) {
      throw invalid('source', 'an array, or a function that returns one, in a job with a `cursor`', records)
    }
    if (isThenable(records[0])) ignoreRejections(records)
    await mapInTurns(records, checkRecord)
    return records as readonly Item[]
  }
}

function memoryOf(items: readonly object[]): MemoryRecords {
  const records = items as readonly JobRecord[]
  return { records, batchOf: (places) => RecordBatch.fromRecords(places.map((place) => records[place] as JobRecord)) }
}

/** What the source gives for a run. */
async function opened<Item extends object>(
  open: RecordsFunction<Item>,
  context: RecordsContext,
): Promise<Records<Item>> {
  const { signal } = context
  signal.throwIfAborted()
  const records = open(context)
  return isIterable(records) ? records : untilAborted(Promise.resolve(records), signal)
}

async function* read<Item extends object>(
  open: RecordsFunction<Item>,
  query: Query,
  { signal, batchSize, batchBytes = Number.POSITIVE_INFINITY, lastId, range }: ReadOptions,
): AsyncGenerator<RecordBatch> {
  const records = await opened(open, { query, lastId, signal, ...(range && { range }) })
  const reader = new RecordReader(iteratorOf(records), signal, { isAhead: records instanceof Readable })
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
  if (!isIterable(records)) {
    const found = nonRecord(records) ?? 'an object'
    throw new JobError('datasource', `Expected the source to return an iterable or async iterable, got ${found}.`)
  }
  return Symbol.asyncIterator in records ? records[Symbol.asyncIterator]() : records[Symbol.iterator]()
}
