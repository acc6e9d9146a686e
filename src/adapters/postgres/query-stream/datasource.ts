import {
  type Column,
  checkOptions,
  type Datasource,
  invalid,
  type Query,
  type ReadOptions,
  RecordBatch,
  type Row,
  rule,
} from '../../../adapter.js'
import { checkOneOption, connectionSecrets, defaultSilenceTimeout, readStream } from '../../shared/index.js'
import { connect, connectionsOf, handleErrors, openPool, type PostgresPool, poolRule } from '../client/index.js'
import { poolFailure, statementFailure } from '../read/index.js'
import { type OpenQuery, openQuery } from './open-query.js'

/** The options of {@link pgQueryStreamDatasource}. */
export interface PgQueryStreamOptions {
  /** A pool of pg, instead of `connectionString`. It stays open. */
  pool?: PostgresPool
  /** The address of the server, such as `postgres://user@host/database`. `close` ends its pool of up to 10 connections. */
  connectionString?: string
  /**
   * How long the server may take for the first batch, and then for each next batch, in milliseconds. When it takes longer, the query is
   * cancelled and the read fails. Time that the target takes does not count. Default: no limit.
   */
  statementTimeout?: number
  /**
   * How long the server may be silent while a read waits for it, in milliseconds. Then headgate contacts the server over a second connection.
   * If it cannot be reached, the read fails with a transient error. Default 60,000.
   */
  silenceTimeout?: number
}

const rules = {
  pool: poolRule,
  connectionString: rule.optional(rule.text),
  statementTimeout: rule.optional(rule.milliseconds(1, 2 ** 31 - 1)),
  silenceTimeout: rule.optional(rule.milliseconds(1, 2 ** 31 - 1)),
}

/**
 * Reads the rows of a query through the package pg-query-stream, with the type parsers of pg. It uses only what every server that speaks the
 * protocol of Postgres has: one statement, and neither a transaction nor settings of the session.
 *
 * An abort cancels the query on the server. Throws `invalid_options` here. A failed read throws `datasource` with the driver's error as cause.
 */
export function pgQueryStreamDatasource(options: PgQueryStreamOptions): Datasource {
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

function datasourceOf(pool: PostgresPool, options: PgQueryStreamOptions): Datasource {
  handleErrors(pool)
  return {
    kind: 'pg-query-stream',
    secrets: connectionSecrets(options.connectionString, pool),
    capabilities: { requiresQuery: true },
    needs: (parallel) => connectionsOf(pool).need(parallel),
    read: (query, readOptions) => read(pool, query, readOptions, options),
    async check(signal) {
      const client = await connect(pool, signal, poolFailure)
      client.release()
    },
  }
}

async function* read(
  pool: PostgresPool,
  query: Query,
  options: ReadOptions,
  { statementTimeout, silenceTimeout = defaultSilenceTimeout }: PgQueryStreamOptions,
): AsyncGenerator<RecordBatch> {
  if (query.text.trim() === '') throw invalid('query', 'a statement', query.text)
  const { signal, onColumns } = options
  let opened: OpenQuery | undefined
  const source = {
    timeout: statementTimeout,
    async open() {
      opened = await openQuery(pool, query, { signal, silenceTimeout, onColumns })
      return opened
    },
    toBatch: (rows: readonly object[]) =>
      RecordBatch.fromRows(opened?.columns as readonly Column[], rows as readonly Row[]),
  }
  try {
    yield* readStream(source, options)
  } catch (error) {
    throw signal.aborted ? signal.reason : statementFailure(error, query)
  }
}
