import {
  type BatchOptions,
  type Column,
  type CursorReadOptions,
  checkValue,
  type Partitioning,
  type PartitionOptions,
  type Query,
  type ReadBatch,
  type ReadOptions,
  RecordBatch,
  type Row,
  type Rule,
  rule,
  systemClock,
} from '../../adapter.js'
import { type Clock, type Datasource, JobError, type JobRecord } from '../../index.js'
import { boundsOf, type CursorRead, orderBy } from '../suites/index.js'
import { faultRules, withCheckedFaults } from './fault-rules.js'
import { hang, pause } from './wait.js'

/** Records in memory: objects, or raw rows with their columns. */
export type TestRecords = readonly JobRecord[] | { columns: readonly Column[]; rows: readonly Row[] }

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
 * and resumes after the last one. It splits them for `partitions`, and `parallel` readers are one. Throws `invalid_options` when the
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
      const batches = observed(read, options, () =>
        batchesOf(toBatch(recordsFor(query, options)), read, source, options),
      )
      for await (const { batch } of batches) yield batch
    },
    async *readByCursor(query, options) {
      const read = begin(query, options)
      yield* observed(read, options, async function* () {
        const { snapshot, onSnapshotLost } = options.cursor
        if (snapshot !== undefined && !snapshots.has(snapshot)) onSnapshotLost?.()
        const all = recordsFor(query, options)
        const cursor = orderBy(toBatch(all).records(), options.cursor)
        yield* batchesOf(toBatch(all, cursor.order), read, source, options, cursor)
        if (cursor.failure) throw cursor.failure
      })
    },
    async partition(query, { signal, cursor, split }) {
      signal.throwIfAborted()
      const snapshot = `snapshot ${++snapshotCount}`
      snapshots.add(snapshot)
      const all = recordsFor(query, { signal, cursor, batchSize: Number.MAX_SAFE_INTEGER })
      const bounds = boundsOf(toBatch(all).records(), cursor, split)
      return { bounds, snapshot, release: async () => void snapshots.delete(snapshot) }
    },
    async close() {
      isClosed = true
    },
  }
  return withCheckedFaults(source, readFaultRules)
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

function toBatch(records: TestRecords, order?: readonly number[]): RecordBatch {
  const inOrder = <Item>(items: readonly Item[]) => order?.map((index) => items[index] as Item) ?? [...items]
  checkValue('records', records, recordsRule)
  if (!('rows' in records)) return RecordBatch.fromRecords(inOrder(records))
  return RecordBatch.fromRows(records.columns, inOrder(records.rows))
}

async function* batchesOf(
  all: RecordBatch,
  read: OpenRead,
  source: TestDatasource,
  { signal }: BatchOptions,
  cursor?: CursorRead,
): AsyncGenerator<ReadBatch> {
  const { delay = 0, clock = systemClock, failAfter = all.length + 1, hangAfter = all.length + 1 } = source.faults
  const faultAt = Math.min(failAfter, hangAfter)
  const end = Math.min(all.length, faultAt)
  while (read.count < end) {
    if (delay > 0) await pause(clock, delay, signal)
    signal.throwIfAborted()
    const batch = all.slice(read.count, Math.min(read.count + read.batchSize, end))
    const { count } = read
    read.count += batch.length
    yield {
      batch,
      position: cursor?.positionAfter(read.count),
      ...(cursor && { positionAfter: (records: number) => cursor.positionAfter(count + records) }),
    }
  }
  signal.throwIfAborted()
  if (faultAt > all.length) return
  if (hangAfter < failAfter) await hang(signal)
  fail(source)
}

function fail(source: TestDatasource): never {
  const { error = new JobError('datasource', 'The test datasource failed on demand.'), once } = source.faults
  if (once) source.faults = {}
  throw error
}
