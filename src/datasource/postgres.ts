import pg from 'pg'
import {
  type Column,
  checkOptions,
  type Datasource,
  invalid,
  JobError,
  type Query,
  type ReadCursor,
  type ReadOptions,
  RecordBatch,
  rule,
} from '../index.js'
import { Abortable } from './_abortable.js'
import { formatOf } from './_postgres-binary.js'
import { columnsOf, type ParserOf } from './_postgres-columns.js'
import { CursorRead } from './_postgres-cursor.js'
import { type PostgresClient, Session } from './_postgres-session.js'
import { TypeNames } from './_postgres-types.js'

export type { PostgresClient }

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
   * What makes values of text. `lossless`, the default, as the documentation's table says; `pg`, the type parsers of the client,
   * which round and shift some types.
   */
  parsers?: 'lossless' | 'pg'
}

/** The part of pg's `Pool` that is called. */
export interface PostgresPool {
  connect(): Promise<PostgresClient>
  /** Hears of every new connection, before it is given to anybody. */
  on?(event: 'connect', listener: (client: PostgresClient) => void): unknown
}

/** What the text of values depends on: `pg`'s parsers know intervals only in the style that is Postgres' own. */
const settings = { lossless: settingsWith('iso_8601'), pg: settingsWith('postgres') }

const rules = {
  pool: rule.optional(rule.having('connect')),
  connectionString: rule.optional(rule.text),
  statementTimeout: rule.optional(rule.whole(1, 2 ** 31 - 1)),
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
  calm(pool)
  const types = new TypeNames()
  return {
    kind: 'postgres',
    needsQuery: true,
    readsByCursor: true,
    consistency: 'statement',
    read: (query, readOptions) =>
      readOptions.cursor
        ? readByCursor(pool, query, readOptions, readOptions.cursor, options, types)
        : read(pool, query, readOptions, options, types),
  }
}

/** The pools that were calmed: several datasources may share one. */
const calmed = new WeakSet<PostgresPool>()

/**
 * Keeps the process alive when the server ends a connection in the moment in which it is ready: before whoever asked for
 * it can listen, and pg tells of it by an error event. Its first query fails all the same.
 */
function calm(pool: PostgresPool): void {
  if (calmed.has(pool)) return
  calmed.add(pool)
  pool.on?.('connect', (client) => client.on('error', () => undefined))
}

/** The server's own `statement_timeout` would count the time between two fetches too, which is the target's. */
function settingsWith(intervalStyle: string): string {
  const values = {
    DateStyle: 'ISO',
    TimeZone: 'UTC',
    IntervalStyle: intervalStyle,
    extra_float_digits: 3,
    bytea_output: 'hex',
    statement_timeout: 0,
  }
  return Object.entries(values)
    .map(([name, value]) => `set local ${name} to '${value}'`)
    .join('; ')
}

/** Nothing connects before it is asked to, and a failed connection is not kept. */
function openPool(connectionString: string): pg.Pool {
  const pool = new pg.Pool({ connectionString, fallback_application_name: 'headgate', allowExitOnIdle: true })
  // A connection that breaks while nobody uses it: the pool has dropped it already.
  pool.on('error', () => undefined)
  return pool
}

async function* read(
  pool: PostgresPool,
  query: Query,
  options: ReadOptions,
  { statementTimeout, parsers = 'lossless' }: PostgresDatasourceOptions,
  types: TypeNames,
): AsyncGenerator<RecordBatch> {
  if (query.text.trim() === '') throw invalid('query', 'a statement', query.text)
  const { signal, batchSize, batchBytes = Number.POSITIVE_INFINITY } = options
  const { client, session } = await openSession(pool, signal, statementTimeout, settings[parsers])
  const parserOf = parsers === 'pg' ? client.getTypeParser.bind(client) : undefined
  let columns: readonly Column[] = []
  try {
    await types.learnFrom(session, query)
    session.open(query, (fields) => {
      columns = columnsOf(fields, types, parserOf)
      return formatOf(fields, columns, options)
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

/** What all statements of a transaction see is then the same. */
const isolation = 'set transaction isolation level repeatable read, read only'

async function* readByCursor(
  pool: PostgresPool,
  query: Query,
  options: ReadOptions,
  cursor: ReadCursor,
  { statementTimeout, parsers = 'lossless' }: PostgresDatasourceOptions,
  types: TypeNames,
): AsyncGenerator<RecordBatch> {
  const { signal } = options
  let parserOf: ParserOf | undefined
  const read = new CursorRead({
    query,
    options,
    cursor,
    async begin(snapshot) {
      const shared = snapshot === undefined ? isolation : `${isolation}; set transaction snapshot '${snapshot}'`
      const open = await openSession(pool, signal, statementTimeout, `${shared}; ${settings[parsers]}`)
      if (parsers === 'pg') parserOf = open.client.getTypeParser.bind(open.client)
      return open.session
    },
    async columnsOf(session, fields) {
      await types.learn(session, fields)
      return columnsOf(fields, types, parserOf)
    },
  })
  try {
    yield* read.batches()
  } catch (error) {
    throw signal.aborted ? signal.reason : queryFailure(error)
  } finally {
    await read.release()
  }
}

/** A pool may hold this many connections that broke while nobody used them, and know nothing of it yet. */
const maxBroken = 10

/** Begins on a connection that works: one that turns out to be broken, before it did anything, is passed over. */
async function openSession(
  pool: PostgresPool,
  signal: AbortSignal,
  statementTimeout: number | undefined,
  settings: string,
): Promise<{ client: PostgresClient; session: Session }> {
  for (let broken = 0; ; broken++) {
    const client = await connect(pool, signal)
    const session = new Session(client, signal, statementTimeout)
    try {
      await session.begin(settings)
      return { client, session }
    } catch (error) {
      await session.release()
      if (signal.aborted) throw signal.reason
      if (!isConnectionLost(error) || broken === maxBroken) throw queryFailure(error)
    }
  }
}

/** An error without a severity is not the server's; after a fatal one, the server closes the connection. */
function isConnectionLost(error: unknown): boolean {
  const { severity = 'FATAL' } = Object(error) as { severity?: unknown }
  return severity === 'FATAL' && !JobError.isInstance(error)
}

async function connect(pool: PostgresPool, signal: AbortSignal): Promise<PostgresClient> {
  signal.throwIfAborted()
  const abortable = new Abortable(signal)
  const connecting = (async () => pool.connect())()
  try {
    return await abortable.wait(connecting)
  } catch (cause) {
    if (!signal.aborted) throw connectionFailure(cause)
    // The pool cannot be told to forget it: the connection goes straight back when it comes.
    connecting.then(
      (client) => client.release(),
      () => undefined,
    )
    throw signal.reason
  } finally {
    abortable.dispose()
  }
}

function connectionFailure(cause: unknown): JobError {
  const failure = new JobError('datasource', 'The connection attempt failed.', { cause, ...passing(cause) })
  return new JobError('datasource', `Failed to initialize pool: ${failure.message}`, { cause: failure })
}

function queryFailure(cause: unknown): JobError {
  if (JobError.isInstance(cause)) return cause
  const { severity, code } = Object(cause) as { severity?: unknown; code?: unknown }
  const message = severity ? `The query failed (SQLSTATE ${code}).` : 'The query failed.'
  return new JobError('datasource', message, { cause, ...passing(cause) })
}

/** What pg says of a connection that broke or did not come in time has no code to tell it by. */
function passing(cause: unknown): { isTransient?: true } {
  const { message } = Object(cause) as { message?: unknown }
  return /^(Connection terminated|Client has encountered a connection error|timeout exceeded)/.test(String(message))
    ? { isTransient: true }
    : {}
}
