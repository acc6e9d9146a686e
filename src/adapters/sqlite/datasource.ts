import {
  type CountOptions,
  type CursorReadOptions,
  checkOptions,
  type Datasource,
  type GivenPositionOptions,
  invalid,
  JobError,
  type Partitioning,
  type PartitionOptions,
  type Query,
  type ReadBatch,
  type ReadCursor,
  type ReadOptions,
  type RecordBatch,
  rule,
} from '../../adapter.js'
import { defaultLockTimeout, type SqliteDatabase, SqliteFile } from './client/index.js'
import { CursorRead, positionGiven, positionOf, positionShown } from './keyset/index.js'
import { columnsOf, queryFailure, ReadSession } from './read/index.js'

/** The options of {@link sqliteDatasource}. */
export interface SqliteDatasourceOptions {
  /** The file, instead of `database`. It must exist. A relative path starts at the working directory of the call. */
  path?: string
  /**
   * An open database of node:sqlite, better-sqlite3 or libsql, instead of `path`. Its file is read over connections of headgate's own, by the
   * same driver. It stays open.
   */
  database?: SqliteDatabase
  /**
   * How long a read waits for a lock that another connection holds, in milliseconds. Then it fails with a transient error. In WAL mode, reads
   * wait for none. Default 10,000.
   */
  lockTimeout?: number
}

const rules = {
  path: rule.optional(rule.text),
  database: rule.optional(rule.having('exec', 'prepare', 'close')),
  lockTimeout: rule.optional(rule.milliseconds(1, 2 ** 31 - 1)),
}

/**
 * Reads the rows of a query of a SQLite file. Rows hold the values as SQLite stores them: texts, numbers, bytes and null, and bigints for
 * integers that a number does not hold.
 *
 * Each read opens the file to read only, and holds one transaction. It reads a row at a time and yields to the event loop, so that a long
 * read does not block the process. Only SQLite itself may: the drivers are synchronous. Throws `invalid_options` here. A failed read throws
 * `datasource` with the driver's error as cause.
 */
export function sqliteDatasource(options: SqliteDatasourceOptions): Datasource {
  checkOptions('options', options, rules)
  const { lockTimeout = defaultLockTimeout } = options
  const file = new SqliteFile('datasource', options)
  const open = (signal: AbortSignal) => ReadSession.open(file, signal, lockTimeout)
  return {
    kind: 'sqlite',
    capabilities: { requiresQuery: true, keepsConsistency: ['statement', 'snapshot', 'pages'] },
    consistency: 'statement',
    placeholder: () => '?',
    read: (query, readOptions) => read(open, query, readOptions),
    readByCursor: (query, readOptions) => readByCursor(open, query, readOptions),
    givenPosition: (given, cursor, check) => checkedPosition(open, given, cursor, check),
    shownPosition: positionShown,
    partition: (query, partitionOptions) => partition(open, query, partitionOptions),
    count: (query, countOptions) => count(open, query, countOptions),
    check: (signal) => use(open, signal, () => undefined),
  }
}

type Open = (signal: AbortSignal) => Promise<ReadSession>

/** Runs `work` in a session of its own. */
async function use<Answer>(
  open: Open,
  signal: AbortSignal,
  work: (session: ReadSession) => Answer | Promise<Answer>,
): Promise<Answer> {
  let session: ReadSession | undefined
  try {
    session = await open(signal)
    return await work(session)
  } catch (error) {
    throw signal.aborted ? signal.reason : queryFailure(error)
  } finally {
    session?.release()
  }
}

/** The batches of `work` in a session of its own. */
async function* batchesOf<Batch>(
  open: Open,
  signal: AbortSignal,
  work: (session: ReadSession) => AsyncIterable<Batch>,
): AsyncGenerator<Batch> {
  let session: ReadSession | undefined
  try {
    session = await open(signal)
    yield* work(session)
  } catch (error) {
    throw signal.aborted ? signal.reason : queryFailure(error)
  } finally {
    session?.release()
  }
}

function checkText({ text }: Query): void {
  if (text.trim() === '') throw invalid('query', 'a statement', text)
}

async function* read(open: Open, query: Query, options: ReadOptions): AsyncGenerator<RecordBatch> {
  checkText(query)
  const { signal, batchSize, batchBytes = Number.POSITIVE_INFINITY } = options
  yield* batchesOf(open, signal, async function* (session) {
    const columns = session.describe(query)
    options.onColumns?.(columnsOf(columns))
    await session.open(query)
    while (!session.isAtEnd) {
      const batch = await session.fetch(batchSize, batchBytes)
      if (batch) yield batch
    }
  })
}

async function* readByCursor(open: Open, query: Query, options: CursorReadOptions): AsyncGenerator<ReadBatch> {
  checkText(query)
  yield* batchesOf(open, options.signal, (session) => new CursorRead(session, query, options).batches())
}

/** The ranges share no snapshot, so nothing is held until they are read. */
function partition(open: Open, query: Query, { cursor, split, signal }: PartitionOptions): Promise<Partitioning> {
  return use(open, signal, async (session) => {
    const read = new CursorRead(session, query, { signal, cursor, batchSize: 1 })
    return { ...(await read.partition(split)), release: async () => {} }
  })
}

/** The position that a reset gives, when its values are values of the columns of the query. */
async function checkedPosition(
  open: Open,
  given: unknown,
  cursor: Pick<ReadCursor, 'columns' | 'ties'>,
  { query, signal }: GivenPositionOptions,
): Promise<unknown> {
  const early = positionGiven(given, cursor, undefined)
  if (query === undefined) return early
  return use(open, signal, (session) => {
    const whole = { ...wholeCursor, columns: cursor.columns, ties: cursor.ties }
    const { rules } = new CursorRead(session, query, { signal, batchSize: 1, cursor: whole })
    const position = positionGiven(given, cursor, rules)
    try {
      positionOf({ ...whole, position }, rules)
    } catch (cause) {
      if (!JobError.isInstance(cause)) throw cause
      throw invalid('checkpoint.cursor', 'a position of the cursor as it is now', given, { cause })
    }
    return position
  })
}

/** A read of everything. */
const wholeCursor: Omit<ReadCursor, 'columns' | 'ties'> = {
  position: undefined,
  nulls: 'fail',
  lookback: 0,
  consistency: 'statement',
  parallel: 1,
  limit: Number.POSITIVE_INFINITY,
  onNullsSkipped: () => undefined,
}

/** Counts in a transaction of its own, which may see other rows than the read. SQLite has no estimate. */
function count(open: Open, query: Query, { signal, cursor, isEstimate }: CountOptions): Promise<number | undefined> {
  checkText(query)
  return use(open, signal, (session) => {
    if (isEstimate) return undefined
    if (!cursor) return session.count(query)
    return new CursorRead(session, query, { signal, cursor, batchSize: 1 }).count()
  })
}
