import {
  type Clock,
  type Column,
  type Datasource,
  JobError,
  type JobRecord,
  type Query,
  type ReadOptions,
  RecordBatch,
  type Row,
  systemClock,
} from '../index.js'
import { type CursorRead, orderBy } from './_cursor.js'
import { hang, pause } from './_wait.js'

/** Records in memory: objects, or raw rows with their columns. */
export type TestRecords = readonly JobRecord[] | { columns: readonly Column[]; rows: readonly Row[] }

/** What goes wrong in a read. */
export interface DatasourceFaults {
  /** Fails after that many records. Default: never. */
  failAfter?: number
  /** What is thrown then. Default: a `JobError` with the code `datasource`. */
  error?: unknown
  /** Whether only the first failure happens: after it, all faults are gone. Default `false`. */
  once?: boolean
  /** Gives nothing more after that many records, until it is aborted. Default: never. */
  hangAfter?: number
  /** How long every batch takes, in milliseconds of `clock`. Default 0. */
  delay?: number
  /** The clock of `delay`. Default: the machine's. */
  clock?: Clock
}

/** One read, as a {@link TestDatasource} saw it. */
export interface TestRead {
  /** What was asked. */
  readonly query: Query
  /** The most records that a batch was to hold. */
  readonly batchSize: number
  /** The last id that the job goes on from. */
  readonly lastId: string | undefined
  /** How many records were given. */
  readonly count: number
  /**
   * `open`, then how it came to its end: all records were `read`, the reader `left` early, the read `failed` as it was
   * ordered to, or an abort reached it: `aborted`.
   */
  readonly state: 'open' | 'read' | 'left' | 'failed' | 'aborted'
}

/** A datasource in memory, with faults to order. */
export interface TestDatasource extends Datasource {
  /** What goes wrong in the reads that begin from now on. */
  faults: DatasourceFaults
  /** Every read that was begun, oldest first. */
  readonly reads: readonly TestRead[]
  /** Whether it was closed. */
  readonly isClosed: boolean
}

type OpenRead = { -readonly [Key in keyof TestRead]: TestRead[Key] }

/**
 * Makes a datasource of records in memory for the tests of a job.
 *
 * @param records The records, or a function that gives them for a query: one that looks at `query.values` can go on from
 *   a checkpoint as a database would.
 *   With a `cursor`, the job reads what they are in the order of its columns, and resumes after the last one, without the query.
 */
export function testDatasource(
  records: TestRecords | ((query: Query, options: ReadOptions) => TestRecords),
  faults: DatasourceFaults = {},
): TestDatasource {
  const reads: OpenRead[] = []
  let isClosed = false
  const source: TestDatasource = {
    kind: 'test',
    takesRange: typeof records === 'function',
    readsByCursor: true,
    faults,
    reads,
    get isClosed() {
      return isClosed
    },
    async *read(query, options) {
      const { batchSize, lastId } = options
      const read: OpenRead = { query, batchSize, lastId, count: 0, state: 'open' }
      reads.push(read)
      try {
        const given = typeof records === 'function' ? records(query, options) : records
        const cursor = options.cursor && orderBy(toBatch(given).records(), options.cursor)
        yield* batchesOf(toBatch(given, cursor?.order), read, source, options.signal, cursor)
        if (cursor?.failure) throw cursor.failure
        read.state = 'read'
      } catch (error) {
        read.state = options.signal.aborted ? 'aborted' : 'failed'
        throw error
      } finally {
        if (read.state === 'open') read.state = options.signal.aborted ? 'aborted' : 'left'
      }
    },
    async close() {
      isClosed = true
    },
  }
  return source
}

function toBatch(records: TestRecords, order?: readonly number[]): RecordBatch {
  const inOrder = <Item>(items: readonly Item[]) => order?.map((index) => items[index] as Item) ?? [...items]
  if (!('rows' in records)) return RecordBatch.fromRecords(inOrder(records))
  return RecordBatch.fromRows(records.columns, inOrder(records.rows))
}

async function* batchesOf(
  all: RecordBatch,
  read: OpenRead,
  source: TestDatasource,
  signal: AbortSignal,
  cursor: CursorRead | undefined,
) {
  const { delay = 0, clock = systemClock, failAfter = all.length + 1, hangAfter = all.length + 1 } = source.faults
  const faultAt = Math.min(failAfter, hangAfter)
  const end = Math.min(all.length, faultAt)
  while (read.count < end) {
    if (delay > 0) await pause(clock, delay, signal)
    signal.throwIfAborted()
    const batch = all.slice(read.count, Math.min(read.count + read.batchSize, end))
    read.count += batch.length
    if (cursor) batch.position = cursor.positionAfter(read.count)
    yield batch
  }
  signal.throwIfAborted()
  if (faultAt > all.length) return
  if (hangAfter < failAfter) await hang(signal)
  fail(source)
}

function fail(source: TestDatasource): never {
  const { error = new JobError('datasource', 'The test datasource failed as ordered.'), once } = source.faults
  if (once) source.faults = {}
  throw error
}
