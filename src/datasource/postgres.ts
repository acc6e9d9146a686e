import {
  checkOptions,
  type Datasource,
  invalid,
  type JobError,
  type Partitioning,
  type PartitionOptions,
  type Query,
  type ReadCursor,
  type ReadOptions,
  RecordBatch,
  rule,
} from '../index.js'
import { connectionsOf } from '../postgres/connections.js'
import { handleErrors, openPool, type PostgresClient, type PostgresPool } from '../postgres/pool.js'
import { defaultSilenceTimeout } from '../postgres/silence.js'
import { formatOf } from './_postgres-binary.js'
import { checkSameFields, columnsOf, type ParserOf } from './_postgres-columns.js'
import { CursorRead } from './_postgres-cursor.js'
import type { CursorReading } from './_postgres-description.js'
import { openSession, queryFailure } from './_postgres-open.js'
import type { SessionTimeouts } from './_postgres-session.js'
import { snapshotLiteral } from './_postgres-stored.js'
import { TypeNames } from './_postgres-types.js'

export type { PostgresClient, PostgresPool }

/** How to read from Postgres. */
export interface PostgresDatasourceOptions {
  /** A pool of pg, which stays open. Instead of `connectionString`. */
  pool?: PostgresPool
  /** Where the server is, such as `postgres://user@host/database`: for a pool of up to 10 connections that `close` ends. */
  connectionString?: string
  /**
   * How long the server may take until the first batch, and then for every batch, in milliseconds; the query is cancelled
   * and the read fails when it takes longer. The time between batches, which is the target's, does not count. Default: no limit.
   */
  statementTimeout?: number
  /**
   * How long the server may be silent while a read waits for it, in milliseconds. Then it is asked over a second connection whether
   * it is there; a read whose server cannot be reached fails with an error that passes. A long query is not affected. Default 60,000.
   */
  silenceTimeout?: number
  /**
   * What makes values of text. `lossless`, the default, as the documentation's table says; `pg`, the type parsers of the client,
   * which round and shift some types.
   */
  parsers?: 'lossless' | 'pg'
}

/** What the text of values depends on: `pg`'s parsers know intervals only in the style that is Postgres' own. */
const settings = { lossless: settingsWith('iso_8601'), pg: settingsWith('postgres') }

const rules = {
  pool: rule.optional(rule.having('connect')),
  connectionString: rule.optional(rule.text),
  statementTimeout: rule.optional(rule.whole(1, 2 ** 31 - 1)),
  silenceTimeout: rule.optional(rule.whole(1, 2 ** 31 - 1)),
  parsers: rule.optional(rule.oneOf('lossless', 'pg')),
}

/**
 * Reads the rows of a query from Postgres with pg. A batch holds the bytes that came, which become rows and objects when a
 * target asks for them.
 *
 * A read takes one connection and one transaction, in which the session writes dates in ISO format and in UTC, and the
 * server's own `statement_timeout` is off, as it would count the target's time. An abort cancels the query on the server.
 * Throws `invalid_options` here, and `datasource` when reading fails, with the driver's error as cause.
 */
export function postgresDatasource(options: PostgresDatasourceOptions): Datasource {
  checkOptions('options', options, rules)
  const { pool, connectionString } = options
  if ((pool === undefined) === (connectionString === undefined)) {
    throw invalid('options', 'an object with either `pool` or `connectionString`', options)
  }
  if (pool) return datasourceOf(pool, options)
  const own = openPool(connectionString as string)
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
  const types = new TypeNames()
  return {
    kind: 'postgres',
    needsQuery: true,
    readsByCursor: true,
    consistency: 'statement',
    needs: (parallel) => connectionsOf(pool).need(parallel),
    read: (query, readOptions) =>
      readOptions.cursor
        ? readByCursor(pool, query, readOptions, readOptions.cursor, options, types)
        : read(pool, query, readOptions, options, types),
    partition: (query, partitionOptions) => partition(pool, query, partitionOptions, options, types),
  }
}

function settingsWith(intervalStyle: string): string {
  const values = {
    DateStyle: 'ISO',
    TimeZone: 'UTC',
    IntervalStyle: intervalStyle,
    extra_float_digits: 3,
    bytea_output: 'hex',
  }
  return Object.entries(values)
    .map(([name, value]) => `set local ${name} to '${value}'`)
    .join('; ')
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
  { parsers = 'lossless', ...timeouts }: PostgresDatasourceOptions,
  types: TypeNames,
): AsyncGenerator<RecordBatch> {
  if (query.text.trim() === '') throw invalid('query', 'a statement', query.text)
  const { signal, batchSize, batchBytes = Number.POSITIVE_INFINITY } = options
  const { client, session } = await openSession(
    pool,
    signal,
    timeoutsOf(timeouts),
    `${oneStatement}; ${settings[parsers]}`,
  )
  const parserOf = parsers === 'pg' ? client.getTypeParser?.bind(client) : undefined
  try {
    const fields = await session.describe(query.text)
    if (!fields) throw noRowsFailure(query.text)
    const columns = columnsOf(fields, await types.learn(session, fields), parserOf)
    session.open(query, (now) => {
      checkSameFields(fields, now)
      return formatOf(now, columns, options)
    })
    for (let isOver = false; !isOver; ) {
      const rows = await session.fetch(batchSize, batchBytes)
      isOver = session.isAtEnd
      if (isOver) await session.commit()
      if (rows) yield RecordBatch.fromEncoded(columns, rows)
    }
  } catch (error) {
    throw signal.aborted ? signal.reason : queryFailure(error)
  } finally {
    await session.release()
  }
}

/** A statement sees what is there once it has its locks: a table that is emptied and filled while it waits is not seen as empty. */
const oneStatement = 'set transaction isolation level read committed'

/** What all statements of a transaction see is then the same, or, where each page is read as it is then, not. */
function isolationOf({ consistency }: ReadCursor): string {
  return consistency === 'pages' ? `${oneStatement}, read only` : oneMoment
}

const oneMoment = 'set transaction isolation level repeatable read, read only'

async function* readByCursor(
  pool: PostgresPool,
  query: Query,
  options: ReadOptions,
  cursor: ReadCursor,
  datasource: PostgresDatasourceOptions,
  types: TypeNames,
): AsyncGenerator<RecordBatch> {
  const read = new CursorRead(cursorReading(pool, query, options, cursor, datasource, types))
  try {
    yield* read.batches()
  } catch (error) {
    throw options.signal.aborted ? options.signal.reason : queryFailure(error)
  } finally {
    await read.release()
  }
}

async function partition(
  pool: PostgresPool,
  query: Query,
  { cursor, cuts, signal }: PartitionOptions,
  datasource: PostgresDatasourceOptions,
  types: TypeNames,
): Promise<Partitioning> {
  const options = { signal, batchSize: 1, lastId: undefined }
  const read = new CursorRead(cursorReading(pool, query, options, cursor, datasource, types))
  try {
    return { ...(await read.partition(cuts)), release: () => read.release() }
  } catch (error) {
    await read.release()
    throw signal.aborted ? signal.reason : queryFailure(error)
  }
}

function cursorReading(
  pool: PostgresPool,
  query: Query,
  options: ReadOptions,
  cursor: ReadCursor,
  { parsers = 'lossless', ...timeouts }: PostgresDatasourceOptions,
  types: TypeNames,
): CursorReading {
  let parserOf: ParserOf | undefined
  const open = (shared: string) =>
    openSession(pool, options.signal, timeoutsOf(timeouts), `${shared}; ${settings[parsers]}`)
  return {
    query,
    options,
    cursor,
    async begin(snapshot) {
      const { client, session } = await (snapshot === undefined
        ? open(isolationOf(cursor))
        : openAt(snapshot, open, cursor))
      if (parsers === 'pg') parserOf = client.getTypeParser?.bind(client)
      return session
    },
    async columnsOf(session, fields) {
      return columnsOf(fields, await types.learn(session, fields), parserOf)
    },
  }
}

/** Begins where a snapshot is seen: where that is gone, as with the connection that gave it, a part sees another one. */
async function openAt<Open>(
  snapshot: string,
  open: (settings: string) => Promise<Open>,
  { lostSnapshot }: ReadCursor,
): Promise<Open> {
  const literal = snapshotLiteral(snapshot)
  try {
    return await open(`${oneMoment}; set transaction snapshot ${literal}`)
  } catch (error) {
    if (!lostSnapshot || !isSnapshotGone(error)) throw error
    lostSnapshot()
    return open(oneMoment)
  }
}

/** Of a statement that gives no rows, which is not run. */
function noRowsFailure(text: string): JobError {
  return invalid('query', 'a statement that gives rows, such as `select`', text)
}

/** What Postgres says of a snapshot whose transaction is over. */
function isSnapshotGone(error: unknown): boolean {
  const { code } = Object((error as Error).cause ?? error) as { code?: unknown }
  return code === '22023' || code === '42704' || code === '55000'
}
