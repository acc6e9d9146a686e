import type QueryStream from 'pg-query-stream'
import { type BatchOptions, type Column, invalid, type Query, succeedsWithin, systemClock } from '../../../adapter.js'
import { loadDriver, type RecordCursor, SilenceWatch } from '../../shared/index.js'
import { cancelUntilIdle, connect, type PostgresClient, type PostgresPool, reach } from '../client/index.js'
import type { Field } from '../protocol/index.js'
import { columnsOf, poolFailure } from '../read/index.js'

interface OpenOptions {
  readonly signal: AbortSignal
  readonly silenceTimeout: number
  readonly onColumns: BatchOptions['onColumns'] | undefined
}

type StreamOptions = Omit<OpenOptions, 'signal'> & { readonly query: Query }

/** A query that is read row by row. A row is an array of raw texts. */
export interface OpenQuery extends RecordCursor {
  /** The columns, once the first rows are read. */
  readonly columns: readonly Column[] | undefined
}

/** Rows stay text: pg's parsers round times and numbers, by which a later run could not tell where this one has ended. */
const rawText = { rowMode: 'array', types: { getTypeParser: () => (raw: string) => raw } } as const

/** How long the server may take to cancel a query before its connection is closed, in milliseconds. */
const cancelTimeout = 900

/** Runs a query on a connection of `pool`, which `close` of the cursor releases. */
export async function openQuery(
  pool: PostgresPool,
  query: Query,
  { signal, silenceTimeout, onColumns }: OpenOptions,
): Promise<OpenQuery> {
  const { default: Stream } = await loadDriver('datasource', 'pg-query-stream', () => import('pg-query-stream'))
  const client = await connect(pool, signal, poolFailure)
  const stream = new Stream(query.text, [...query.values], rawText as never)
  const opened = new QueryOfStream(client, stream, { query, silenceTimeout, onColumns })
  client.query(stream)
  return opened
}

/** A client of pg tells when it has run its last query. A query that failed is not told. */
interface Drains {
  once(event: 'drain', listener: () => void): void
}

/** What pg calls with the messages of the server, beside what the types of the stream declare. */
interface Messages {
  handleRowDescription(message: { readonly fields: readonly Field[] }): void
  handleCopyInResponse(connection: { sendCopyFail(reason: string): void }): void
  handleCopyData(): void
}

/**
 * Reads by the cursor of the stream. The stream itself reports a lost connection only when the server confirms that the query is closed,
 * which it never does.
 */
class QueryOfStream implements OpenQuery {
  columns: readonly Column[] | undefined
  readonly #client: PostgresClient
  readonly #stream: QueryStream
  readonly #query: Query
  readonly #onColumns: OpenOptions['onColumns']
  readonly #silence: SilenceWatch
  /** Resolves when the server is ready for the next query. */
  readonly #idle: Promise<void>
  #isLost = false
  /** Rejects the pending read. */
  #fail: (reason: unknown) => void = ignore

  constructor(client: PostgresClient, stream: QueryStream, { query, silenceTimeout, onColumns }: StreamOptions) {
    this.#client = client
    this.#stream = stream
    this.#query = query
    this.#onColumns = onColumns
    this.#silence = new SilenceWatch({
      reach: (within) => reach(client, within),
      timeout: silenceTimeout,
      code: 'datasource',
      onLost: this.#lose,
    })
    client.on('error', this.#lose)
    this.#idle = new Promise((resolve) => {
      ;(client as unknown as Drains).once('drain', resolve)
    })
    this.#listen(stream as unknown as Messages)
  }

  async read(count: number): Promise<readonly object[]> {
    this.#silence.start()
    try {
      const rows = await new Promise<readonly object[]>((resolve, reject) => {
        this.#fail = reject
        this.#stream.cursor.read(count).then(resolve, reject)
      })
      if (!this.columns) throw invalid('query', 'a statement that gives rows, such as `select`', this.#query.text)
      return rows
    } finally {
      this.#silence.stop()
    }
  }

  /** Cancels the query, unless it has ended, and releases its connection. A connection that does not become idle is closed. */
  async close(): Promise<void> {
    let isIdle = await succeedsWithin(systemClock, 0, this.#idle)
    if (!isIdle && !this.#isLost) {
      this.#stream.cursor.close(ignore)
      await cancelUntilIdle('datasource', this.#client, this.#idle, cancelTimeout)
      isIdle = await succeedsWithin(systemClock, 0, this.#idle)
    }
    this.#client.off('error', this.#lose)
    this.#client.release(!isIdle)
  }

  readonly #lose = (reason: unknown) => {
    this.#isLost = true
    this.#fail(reason)
  }

  #listen(stream: Messages): void {
    const describe = stream.handleRowDescription
    stream.handleRowDescription = (message) => {
      try {
        const parserOf = this.#client.getTypeParser?.bind(this.#client)
        this.columns = columnsOf(message.fields, () => ({}), parserOf)
        this.#onColumns?.(this.columns)
      } catch (error) {
        this.#fail(error)
      }
      describe.call(stream, message)
    }
    // Without these, pg throws an error that nobody can catch.
    stream.handleCopyInResponse = (connection) =>
      connection.sendCopyFail('headgate reads only statements that give rows')
    stream.handleCopyData = ignore
  }
}

function ignore(): void {}
