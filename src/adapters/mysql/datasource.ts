import {
  type Column,
  type CountOptions,
  type CursorReadOptions,
  checkOptions,
  type Datasource,
  type GivenPositionOptions,
  givenPosition,
  invalid,
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
import { type CallbackPool, callbackPoolOf, type MysqlPool, needOf, openPool } from './client/index.js'
import { bareStatement, CursorRead, type CursorReading, checkedPositionOf, estimateOf } from './keyset/index.js'
import { readFieldOf } from './protocol/index.js'
import { columnsOf, labelTypesOf, openSession, queryFailure, type SessionTimeouts } from './read/index.js'

export type { MysqlPool }

/** The options of {@link mysqlDatasource}. */
export interface MysqlDatasourceOptions {
  /** A pool of `mysql2` or of `mysql2/promise`, instead of `connectionString`. It stays open. */
  pool?: MysqlPool
  /**
   * The address of the server, such as `mysql://user@host/database`. `close` ends its pool of up to 10 connections.
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

const rules = {
  pool: rule.optional(rule.having('getConnection')),
  connectionString: rule.optional(rule.text),
  statementTimeout: rule.optional(rule.milliseconds(1, 2 ** 31 - 1)),
  silenceTimeout: rule.optional(rule.milliseconds(1, 2 ** 31 - 1)),
}

/**
 * Reads the rows of a query of MySQL or MariaDB with mysql2. A batch holds the bytes that the server sent. They become rows and
 * objects when a target reads them.
 *
 * A read uses one connection and one transaction. In it, the session is in UTC, and no timeout of the server counts the time of the target.
 * Afterwards the session has its own settings again. An abort stops the query on the server by `kill query`, from a second connection. Throws
 * `invalid_options` here. A failed read throws `datasource` with the driver's error as cause.
 */
export function mysqlDatasource(options: MysqlDatasourceOptions): Datasource {
  checkOptions('options', options, rules)
  const { pool, connectionString } = options
  checkOneOption(options, ['pool', 'connectionString'])
  if (pool) return datasourceOf(callbackPoolOf(pool), options)
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

function datasourceOf(pool: CallbackPool, options: MysqlDatasourceOptions): Datasource {
  const timeouts = timeoutsOf(options)
  return {
    kind: 'mysql',
    secrets: connectionSecrets(options.connectionString, options.pool, pool),
    capabilities: { requiresQuery: true, keepsConsistency: ['statement', 'pages'] },
    consistency: 'statement',
    placeholder: () => '?',
    needs: (parallel) => needOf(pool, parallel),
    read: (query, readOptions) => read(pool, query, readOptions, timeouts),
    readByCursor: (query, readOptions) => readByCursor(pool, query, readOptions, timeouts),
    givenPosition: (given, cursor, check) => checkedPosition(pool, given, cursor, check, timeouts),
    shownPosition,
    partition: (query, partitionOptions) => partition(pool, query, partitionOptions, timeouts),
    count: (query, countOptions) => count(pool, query, countOptions, timeouts),
    async check(signal) {
      const session = await openSession(pool, signal, timeouts, [])
      await session.release()
    },
  }
}

function timeoutsOf({
  statementTimeout,
  silenceTimeout = defaultSilenceTimeout,
}: MysqlDatasourceOptions): SessionTimeouts {
  return { statementTimeout, silenceTimeout }
}

/** A statement sees what was committed before it began. */
const oneStatement = ['set transaction isolation level repeatable read', 'start transaction']

async function* read(
  pool: CallbackPool,
  query: Query,
  options: ReadOptions,
  timeouts: SessionTimeouts,
): AsyncGenerator<RecordBatch> {
  if (query.text.trim() === '') throw invalid('query', 'a statement', query.text)
  const { signal, batchSize, batchBytes = Number.POSITIVE_INFINITY } = options
  const session = await openSession(pool, signal, timeouts, oneStatement)
  try {
    const labels = await labelTypesOf(session, await session.describe(query.text))
    let columns: Column[] = []
    const readsOf = (fields: Parameters<typeof columnsOf>[0]) => {
      columns = columnsOf(fields, labels)
      options.onColumns?.(columns)
      return fields.map(readFieldOf)
    }
    await session.open(query, readsOf, batchSize, batchBytes)
    for (let isOver = false; !isOver; ) {
      const rows = await session.fetch()
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

/** All statements of the transaction see one snapshot. */
const oneSnapshot = [
  'set transaction isolation level repeatable read',
  'start transaction with consistent snapshot, read only',
]

function cursorReading(
  pool: CallbackPool,
  query: Query,
  options: CursorReadOptions,
  timeouts: SessionTimeouts,
): CursorReading {
  if (query.text.trim() === '') throw invalid('query', 'a statement', query.text)
  return { query, options, begin: () => openSession(pool, options.signal, timeouts, oneSnapshot) }
}

async function* readByCursor(
  pool: CallbackPool,
  query: Query,
  options: CursorReadOptions,
  timeouts: SessionTimeouts,
): AsyncGenerator<ReadBatch> {
  const read = new CursorRead(cursorReading(pool, query, options, timeouts))
  try {
    yield* read.batches()
  } catch (error) {
    throw options.signal.aborted ? options.signal.reason : queryFailure(error, query)
  } finally {
    await read.release()
  }
}

/** The ranges share no snapshot, so nothing is held until they are read. */
async function partition(
  pool: CallbackPool,
  query: Query,
  { cursor, split, signal }: PartitionOptions,
  timeouts: SessionTimeouts,
): Promise<Partitioning> {
  const read = new CursorRead(cursorReading(pool, query, { signal, cursor, batchSize: 1 }, timeouts))
  try {
    return { ...(await read.partition(split)), release: async () => {} }
  } catch (error) {
    throw signal.aborted ? signal.reason : queryFailure(error, query)
  } finally {
    await read.release()
  }
}

/** The position that a reset gives, when its values are values of the columns of the query. */
async function checkedPosition(
  pool: CallbackPool,
  given: unknown,
  cursor: Pick<ReadCursor, 'columns' | 'ties'>,
  { query, signal }: GivenPositionOptions,
  timeouts: SessionTimeouts,
): Promise<unknown> {
  const position = givenPosition(given, cursor)
  if (query === undefined) return position
  const options = {
    signal,
    batchSize: 1,
    cursor: { ...wholeCursor, columns: cursor.columns, ties: cursor.ties, position },
  }
  try {
    return await checkedPositionOf(cursorReading(pool, query, options, timeouts))
  } catch (error) {
    throw signal.aborted ? signal.reason : queryFailure(error, query)
  }
}

/** A read of everything. */
const wholeCursor: Omit<ReadCursor, 'columns' | 'ties' | 'position'> = {
  nulls: 'fail',
  lookback: 0,
  consistency: 'statement',
  parallel: 1,
  limit: Number.POSITIVE_INFINITY,
  onNullsSkipped: () => undefined,
}

/** Counts in a transaction of its own, which may see other rows than the read. */
async function count(
  pool: CallbackPool,
  query: Query,
  { signal, cursor, isEstimate }: CountOptions,
  timeouts: SessionTimeouts,
): Promise<number | undefined> {
  if (cursor) return countByCursor(pool, query, { signal, cursor, batchSize: 1 }, isEstimate, timeouts)
  const session = await openSession(pool, signal, timeouts, oneSnapshot)
  try {
    const { values } = query
    const text = bareStatement(query.text)
    if (isEstimate) return await estimateOf(session, { text, values })
    const { rows } = await session.run({ text: `select count(*) from (\n${text}\n) q`, values })
    return Number(rows[0]?.[0])
  } catch (error) {
    throw signal.aborted ? signal.reason : queryFailure(error, query)
  } finally {
    await session.release()
  }
}

async function countByCursor(
  pool: CallbackPool,
  query: Query,
  options: CursorReadOptions,
  isEstimate: boolean,
  timeouts: SessionTimeouts,
): Promise<number | undefined> {
  const read = new CursorRead(cursorReading(pool, query, options, timeouts))
  try {
    return await read.count(isEstimate)
  } catch (error) {
    throw options.signal.aborted ? options.signal.reason : queryFailure(error, query)
  } finally {
    await read.release()
  }
}
