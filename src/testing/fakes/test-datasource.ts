import {
  type BatchOptions,
  type Column,
  type CountOptions,
  type CursorReadOptions,
  checkValue,
  givenPosition,
  type Partitioning,
  type PartitionOptions,
  type Query,
  type ReadBatch,
  type ReadOptions,
  RecordBatch,
  type Row,
  type Rule,
  rule,
  shownPosition,
  systemClock,
} from '../../adapter.js'
import { MemoryRead, type MemoryRecords } from '../../adapters/shared/index.js'
import { type Clock, type Datasource, JobError, type JobRecord } from '../../index.js'
import { faultRules, withCheckedFaults } from './fault-rules.js'
import { hang, pause } from './wait.js'

/** Records in memory: objects, or raw rows with their columns. */
export type TestRecords = readonly object[] | { columns: readonly Column[]; rows: readonly Row[] }

/** The faults of a read. */
export interface DatasourceFaults {
  /** Fails after that many records. Default: never. */
  failAfter?: number
  /** The error of a failure. Default: a `JobError` with the code `datasource`. */
  error?: unknown
  /** Whether only the first failure happens. All faults are then removed. Default `false`. */
  once?: boolean
  /** Hangs after that many records, until it is aborted. Default: never. */
  hangAfter?: number
  /** How long every batch takes, in milliseconds of `clock`. Default 0. */
  delay?: number
  /** The clock of `delay`. Default: the system clock. */
  clock?: Clock
}

const readFaultRules = {
  failAfter: rule.optional(rule.whole(0)),
  hangAfter: rule.optional(rule.whole(0)),
  ...faultRules,
} satisfies Record<keyof DatasourceFaults, Rule>

const recordsRule: Rule = {
  accepts: (value) =>
    isListOf(value, (item) => Object(item) === item) ||
    (Object(value) === value && ['columns', 'rows'].every((name) => isListOf((value as never)[name]))),
  expected: 'an array of objects, an object with arrays `columns` and `rows`, or a function that returns one of them',
}

function isListOf(value: unknown, isItem: (item: unknown) => boolean = () => true): boolean {
  return Array.isArray(value) && value.every(isItem)
}

/** A read of a {@link TestDatasource}. */
export interface TestRead {
  /** The query. */
  readonly query: Query
  /** Maximum number of records per batch. */
  readonly batchSize: number
  /** The last id from which the job resumes. */
  readonly lastId: string | undefined
  /** The number of records that were read. */
  readonly count: number
  /**
   * `open`, and then how the read ended: `read` after all records, `left` when the consumer stopped early, `failed` by a fault, or
   * `aborted`.
   */
  readonly state: 'open' | 'read' | 'left' | 'failed' | 'aborted'
}

/** A datasource in memory that can fail on demand. */
export interface TestDatasource extends Datasource {
  readByCursor(query: Query, options: CursorReadOptions): AsyncIterable<ReadBatch>
  partition(query: Query, options: PartitionOptions): Promise<Partitioning>
  count(query: Query, options: CountOptions): Promise<number>
  /** The faults of later reads. Throws `invalid_options` when it is set to what is not valid. */
  faults: DatasourceFaults
  /** Every read, oldest first. */
  readonly reads: readonly TestRead[]
  /** Whether the datasource is closed. */
  readonly isClosed: boolean
}

type OpenRead = { -readonly [Key in keyof TestRead]: TestRead[Key] }

/**
 * Creates a datasource with records in memory, for tests of a job. With a `cursor`, it returns the records in the order of the columns,
 * and resumes after the last one, as a database would, with everything that a `cursor` may say. It splits them for `parallel` and `partitions`. Throws `invalid_options` when the
 * records are none, or when a fault is unknown or not valid.
 *
 * @param records The records, or a function that returns them for a query. The function can use `query.values` to resume from a
 *   checkpoint, as a database would.
 */
export function testDatasource(
  records: TestRecords | ((query: Query, options: ReadOptions | CursorReadOptions) => TestRecords),
  faults: DatasourceFaults = {},
): TestDatasource {
  const reads: OpenRead[] = []
  const snapshots = new Set<string>()
  let snapshotCount = 0
  const recordsFor = typeof records === 'function' ? records : () => records
  if (typeof records !== 'function') checkValue('records', records, recordsRule)
  let isClosed = false
  const begin = (query: Query, { batchSize }: BatchOptions, lastId?: string): OpenRead => {
    const read: OpenRead = { query, batchSize, lastId, count: 0, state: 'open' }
    reads.push(read)
    return read
  }
  const source: TestDatasource = {
    kind: 'test',
    capabilities: {
      readsRanges: typeof records === 'function',
      keepsConsistency: ['statement', 'snapshot', 'pages'],
    },
    faults,
    reads,
    get isClosed() {
      return isClosed
    },
    async *read(query, options) {
      const read = begin(query, options, options.lastId)
      const batches = observed(read, options, () => {
        const all = toBatch(told(recordsFor(query, options), options))
        return withFaults(batchesOf(all, options.batchSize), read, source, options)
      })
      for await (const { batch } of batches) yield batch
    },
    async *readByCursor(query, options) {
      const read = begin(query, options)
      yield* observed(read, options, async function* () {
        const { snapshot, onSnapshotLost } = options.cursor
        if (snapshot !== undefined && !snapshots.has(snapshot)) onSnapshotLost?.()
        const ordered = await MemoryRead.of(memoryOf(told(recordsFor(query, options), options)), options.cursor)
        yield* withFaults(ordered.batches(options), read, source, options)
      })
    },
    givenPosition,
    shownPosition,
    async partition(query, { signal, cursor, split }) {
      signal.throwIfAborted()
      const snapshot = `snapshot ${++snapshotCount}`
      const all = recordsFor(query, { signal, cursor, batchSize: Number.MAX_SAFE_INTEGER })
      const bounds = (await MemoryRead.of(memoryOf(all), cursor)).split(split)
      snapshots.add(snapshot)
      return { bounds, snapshot, release: async () => void snapshots.delete(snapshot) }
    },
    count: (query, options) => countOf(recordsFor, query, options),
    async close() {
      isClosed = true
    },
  }
  return withCheckedFaults(source, readFaultRules)
}

/** How many records are left of those of a query. */
async function countOf(
  recordsFor: (query: Query, options: ReadOptions | CursorReadOptions) => TestRecords,
  query: Query,
  { signal, cursor, lastId }: CountOptions,
): Promise<number> {
  signal.throwIfAborted()
  const options = { signal, batchSize: Number.MAX_SAFE_INTEGER }
  const all = recordsFor(query, cursor ? { ...options, cursor } : { ...options, lastId })
  return cursor ? (await MemoryRead.of(memoryOf(all), cursor)).count() : toBatch(all).length
}

/** Records how a read ends. */
async function* observed(
  read: OpenRead,
  { signal }: BatchOptions,
  begin: () => AsyncGenerator<ReadBatch>,
): AsyncGenerator<ReadBatch> {
  try {
    yield* begin()
    read.state = 'read'
  } catch (error) {
    read.state = signal.aborted ? 'aborted' : 'failed'
    throw error
  } finally {
    if (read.state === 'open') read.state = signal.aborted ? 'aborted' : 'left'
  }
}

/** The same records, of which a read has told the columns, if they have some. */
function told(records: TestRecords, { onColumns }: BatchOptions): TestRecords {
  checkValue('records', records, recordsRule)
  if ('rows' in records) onColumns?.(records.columns)
  return records
}

function toBatch(records: TestRecords): RecordBatch {
  checkValue('records', records, recordsRule)
  return 'rows' in records
    ? RecordBatch.fromRows(records.columns, [...records.rows])
    : RecordBatch.fromRecords([...(records as readonly JobRecord[])])
}

function memoryOf(given: TestRecords): MemoryRecords {
  const records = toBatch(given).records()
  const pick = <Item>(items: readonly Item[], places: readonly number[]) => places.map((place) => items[place] as Item)
  const batchOf = (places: readonly number[]) =>
    toBatch('rows' in given ? { columns: given.columns, rows: pick(given.rows, places) } : pick(given, places))
  return { records, batchOf }
}

function* batchesOf(all: RecordBatch, batchSize: number): Generator<ReadBatch> {
  for (let start = 0; start < all.length; start += batchSize) yield { batch: all.slice(start, start + batchSize) }
}

/** Yields batches until a fault that is set happens, which may be within a batch. */
async function* withFaults(
  batches: Iterable<ReadBatch>,
  read: OpenRead,
  source: TestDatasource,
  { signal }: BatchOptions,
): AsyncGenerator<ReadBatch> {
  const {
    delay = 0,
    clock = systemClock,
    failAfter = Number.POSITIVE_INFINITY,
    hangAfter = Number.POSITIVE_INFINITY,
  } = source.faults
  const faultAt = Math.min(failAfter, hangAfter)
  const reading = batches[Symbol.iterator]()
  while (read.count < faultAt) {
    const { value, done } = reading.next()
    if (done) break
    if (delay > 0) await pause(clock, delay, signal)
    signal.throwIfAborted()
    const given = firstOf(value, faultAt - read.count)
    read.count += given.batch.length
    yield given
  }
  signal.throwIfAborted()
  if (read.count < faultAt) return
  if (hangAfter < failAfter) await hang(signal)
  fail(source)
}

/** The first `count` records of a batch. */
function firstOf(read: ReadBatch, count: number): ReadBatch {
  const { batch, positionAfter, isReplay = false } = read
  if (count >= batch.length) return read
  return { batch: batch.slice(0, count), position: positionAfter?.(count), isReplay }
}

function fail(source: TestDatasource): never {
  const { error = new JobError('datasource', 'The test datasource failed on demand.'), once } = source.faults
  if (once) source.faults = {}
  throw error
}
