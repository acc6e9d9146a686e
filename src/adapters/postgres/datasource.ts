import {
  type CountOptions,
  type CursorReadOptions,
  checkOptions,
  type Datasource,
  type GivenPositionOptions,
  givenPosition,
  invalid,
  type JobError,
  type Partitioning,
  type PartitionOptions,
  type Query,
  type ReadBatch,
  type ReadCursor,
  type ReadOptions,
  RecordBatch,
  rule,
  shownPosition,
} from '../../adapter.js'
import { checkOneOption, connectionSecrets, defaultSilenceTimeout } from '../shared/index.js'
import {
  connectionsOf,
  handleErrors,
  openPool,
  type PostgresClient,
  type PostgresPool,
  poolRule,
} from './client/index.js'
import {
  bareStatement,
  CursorRead,
  type CursorReading,
  checkGivenPosition,
  countOf,
  estimateOf,
  snapshotLiteral,
} from './keyset/index.js'
import {
  FieldTypes,
  layoutOf,
  openSession,
  queryFailure,
  type SessionTimeouts,
  statementFailure,
} from './read/index.js'

export type { PostgresClient, PostgresPool }

/** The options of {@link postgresDatasource}. */
export interface PostgresDatasourceOptions {
  /** A pool of pg, instead of `connectionString`. It stays open. */
  pool?: PostgresPool
  /**
   * The address of the server, such as `postgres://user@host/database`. `close` ends its pool of up to 10
   * connections.
   */
  connectionString?: string
  /**
   * How long the server may take for the first batch, and then for each next batch, in milliseconds. When it takes
   * longer, the query is cancelled and the read fails. Time that the target takes between batches does not count.
   * Default: no limit.
   */
  statementTimeout?: number
  /**
   * How long the server may be silent while a read waits for it, in milliseconds. Then headgate contacts the server
   * over a second connection. If it cannot be reached, the read fails with a transient error. A long query is not
   * affected. Default 60,000.
   */
  silenceTimeout?: number
}

/** The session settings that the text of values depends on. */
const settings = Object.entries({
  DateStyle: 'ISO',
  TimeZone: 'UTC',
  IntervalStyle: 'iso_8601',
  extra_float_digits: 3,
  bytea_output: 'hex',
})
  .map(([name, value]) => `set local ${name} to '${value}'`)
  .join('; ')

const rules = {
  pool: poolRule,
  connectionString: rule.optional(rule.text),
  statementTimeout: rule.optional(rule.milliseconds(1, 2 ** 31 - 1)),
  silenceTimeout: rule.optional(rule.milliseconds(1, 2 ** 31 - 1)),
}

/**
 * Reads the rows of a Postgres query with pg. A batch holds the bytes that the server sent. They become rows and
 * objects when a target reads them.
 *
 * A read uses one connection and one transaction. In it, the session writes dates in ISO format and in UTC, and the
 * server's `statement_timeout` is off, because it would count the time of the target. An abort cancels the query on
 * the server. Throws `invalid_options` here. A failed read throws `datasource` with the driver's error as cause.
 */
export function postgresDatasource(options: PostgresDatasourceOptions): Datasource {
  checkOptions('options', options, rules)
  const { pool, connectionString } = options
  checkOneOption(options, ['pool', 'connectionString'])
  if (pool) return datasourceOf(pool, options)
  const own = openPool('datasource', connectionString as string)
  let closing: Promise<void> | undefined
  return {
    ...datasourceOf(own, options),
    close() {
      closing ??= own.end()
      return closing
    },
  }
}

function datasourceOf(pool: PostgresPool, options: PostgresDatasourceOptions): Datasource {
  handleErrors(pool)
  const types = new FieldTypes()
  return {
    kind: 'postgres',
    secrets: connectionSecrets(options.connectionString, pool),
    capabilities: { requiresQuery: true, keepsConsistency: ['statement', 'snapshot', 'pages'] },
    consistency: 'statement',
    needs: (parallel) => connectionsOf(pool).need(parallel),
    read: (query, readOptions) => read(pool, query, readOptions, options, types),
    readByCursor: (query, readOptions) => readByCursor(pool, query, readOptions, options, types),
    givenPosition: (given, cursor, check) => checkedPosition(pool, given, cursor, check, options, types),
    shownPosition,
    partition: (query, partitionOptions) => partition(pool, query, partitionOptions, options, types),
    count: (query, countOptions) => count(pool, query, countOptions, options, types),
    async check(signal) {
      const session = await openSession(pool, signal, timeoutsOf(options), oneStatement)
      await session.release()
    },
  }
}

function timeoutsOf({
  statementTimeout,
  silenceTimeout = defaultSilenceTimeout,
}: PostgresDatasourceOptions): SessionTimeouts {
  return { statementTimeout, silenceTimeout }
}

async function* read(
  pool: PostgresPool,
  query: Query,
  options: ReadOptions,
  datasource: PostgresDatasourceOptions,
  types: FieldTypes,
): AsyncGenerator<RecordBatch> {
  if (query.text.trim() === '') throw invalid('query', 'a statement', query.text)
  const { signal, batchSize, batchBytes = Number.POSITIVE_INFINITY } = options
  const session = await openSession(pool, signal, timeoutsOf(datasource), `${oneStatement}; ${settings}`)
  try {
    const fields = await session.describe(query.text).catch((cause) => {
      throw statementFailure(cause, query)
    })
    if (!fields) throw noRowsFailure(query.text)
    const { columns, formatOf } = layoutOf(fields, await types.load(session, fields), options)
    options.onColumns?.(columns)
    session.open(query, formatOf)
    for (let isOver = false; !isOver; ) {
      const rows = await session.fetch(batchSize, batchBytes)
      isOver = session.isAtEnd
      if (isOver) await session.commit()
      if (rows) yield RecordBatch.fromEncoded(columns, rows)
    }
  } catch (error) {
    throw signal.aborted ? signal.reason : queryFailure(error, query)
  } finally {
    await session.release()
  }
}

/**
 * A statement sees the data as of the time it gets its locks, so a table that is emptied and refilled while it waits
 * is not read as empty.
 */
const oneStatement = 'set transaction isolation level read committed'

/** All statements of the transaction share one snapshot. With `pages`, each statement has its own. */
function isolationOf({ consistency }: ReadCursor): string {
  return consistency === 'pages' ? `${oneStatement}, read only` : oneSnapshot
}

const oneSnapshot = 'set transaction isolation level repeatable read, read only'

async function* readByCursor(
  pool: PostgresPool,
  query: Query,
  options: CursorReadOptions,
  datasource: PostgresDatasourceOptions,
  types: FieldTypes,
): AsyncGenerator<ReadBatch> {
  const read = new CursorRead(cursorReading(pool, query, options, datasource, types))
  try {
    yield* read.batches()
  } catch (error) {
    throw options.signal.aborted ? options.signal.reason : queryFailure(error, query)
  } finally {
    await read.release()
  }
}

async function partition(
  pool: PostgresPool,
  query: Query,
  { cursor, split, signal }: PartitionOptions,
  datasource: PostgresDatasourceOptions,
  types: FieldTypes,
): Promise<Partitioning> {
  const read = new CursorRead(cursorReading(pool, query, { signal, cursor, batchSize: 1 }, datasource, types))
  try {
    return { ...(await read.partition(split)), release: () => read.release() }
  } catch (error) {
    await read.release()
    throw signal.aborted ? signal.reason : queryFailure(error, query)
  }
}

/** The position that a reset gives, when the server accepts its values for the columns of the query. */
async function checkedPosition(
  pool: PostgresPool,
  given: unknown,
  cursor: Pick<ReadCursor, 'columns' | 'ties'>,
  { query, signal }: GivenPositionOptions,
  datasource: PostgresDatasourceOptions,
  types: FieldTypes,
): Promise<unknown> {
  const position = givenPosition(given, cursor)
  if (query === undefined) return position
  const options = {
    signal,
    batchSize: 1,
    cursor: { ...wholeCursor, columns: cursor.columns, ties: cursor.ties, position },
  }
  try {
    await checkGivenPosition(cursorReading(pool, query, options, datasource, types))
    return position
  } catch (error) {
    throw signal.aborted ? signal.reason : queryFailure(error, query)
  }
}

/** A read of everything. Each of its statements sees the rows of its time, so that none sees a table as before a rewrite. */
const wholeCursor: Omit<ReadCursor, 'columns' | 'ties' | 'position'> = {
  nulls: 'fail',
  lookback: 0,
  consistency: 'pages',
  parallel: 1,
  limit: Number.POSITIVE_INFINITY,
  onNullsSkipped: () => undefined,
}

/** Counts in a transaction of its own, which may see other rows than the read. */
async function count(
  pool: PostgresPool,
  query: Query,
  { cursor, signal, isEstimate }: CountOptions,
  datasource: PostgresDatasourceOptions,
  types: FieldTypes,
): Promise<number | undefined> {
  if (cursor) {
    const read = new CursorRead(cursorReading(pool, query, { signal, cursor, batchSize: 1 }, datasource, types))
    return read.count(isEstimate).finally(() => read.release())
  }
  const session = await openSession(pool, signal, timeoutsOf(datasource), oneSnapshot)
  const { values } = query
  const text = `select count(*) from (\n${bareStatement(query.text)}\n) q`
  const counted = isEstimate ? estimateOf(session, query) : countOf(session, { text, values })
  return counted.finally(() => session.release())
}

function cursorReading(
  pool: PostgresPool,
  query: Query,
  options: CursorReadOptions,
  datasource: PostgresDatasourceOptions,
  types: FieldTypes,
): CursorReading {
  const { cursor } = options
  const open = (shared: string) => openSession(pool, options.signal, timeoutsOf(datasource), `${shared}; ${settings}`)
  return {
    query,
    options,
    async begin(snapshot) {
      return snapshot === undefined ? open(isolationOf(cursor)) : openAt(snapshot, open, cursor)
    },
    async layoutOf(session, fields) {
      return layoutOf(fields, await types.load(session, fields), options)
    },
  }
}

/**
 * Opens a session at a shared snapshot. When the snapshot is gone, as after its connection was lost, the partition
 * uses a new one.
 */
async function openAt<Open>(
  snapshot: string,
  open: (settings: string) => Promise<Open>,
  { onSnapshotLost }: ReadCursor,
): Promise<Open> {
  const literal = snapshotLiteral(snapshot)
  try {
    return await open(`${oneSnapshot}; set transaction snapshot ${literal}`)
  } catch (error) {
    if (!onSnapshotLost || !isSnapshotGone(error)) throw error
    onSnapshotLost()
    return open(oneSnapshot)
  }
}

/** The error for a statement that returns no rows. headgate does not run it. */
function noRowsFailure(text: string): JobError {
  return invalid('query', 'a statement that gives rows, such as `select`', text)
}

/** Whether Postgres reports that the transaction of a snapshot is over. */
function isSnapshotGone(error: unknown): boolean {
  const { code } = Object((error as Error).cause ?? error) as { code?: unknown }
  return code === '22023' || code === '42704' || code === '55000'
}
