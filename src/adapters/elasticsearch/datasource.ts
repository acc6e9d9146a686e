import {
  type CountOptions,
  type CursorReadOptions,
  checkOptions,
  type Datasource,
  type GivenPositionOptions,
  invalid,
  JobError,
  type Query,
  quotedNames,
  type ReadBatch,
  type ReadCursor,
  type ReadOptions,
  type RecordBatch,
  type Rule,
  rule,
} from '../../adapter.js'
import { readStream } from '../shared/index.js'
import { type ConnectionOptions, checkConnection, connectionRules, SearchServer, secretsOf } from './client/index.js'
import {
  CursorRead,
  checkGiven,
  countOf,
  DocumentCursor,
  datasourceFailure,
  fieldsOf,
  PointInTime,
  placeholder,
  positionShown,
  searchBodyOf,
} from './read/index.js'

/** The options of {@link elasticsearchDatasource}. */
export interface ElasticsearchDatasourceOptions extends Omit<ConnectionOptions, 'compression'> {
  /** The index, an alias, a data stream, a pattern such as `logs-*`, or several of them with commas between. */
  index: string
  /**
   * How long the server keeps what it needs for a read while the target takes a batch, in milliseconds. Then the read fails with a transient
   * error. Default 300,000.
   */
  keepAlive?: number
  /**
   * How long a read goes on to ask a server that is busy or away, in milliseconds without any success. Then it fails with a transient error.
   * Default 120,000.
   */
  retryTimeout?: number
}

/** What is read may be several indexes, also hidden ones, whose names begin with a dot. */
const indexRule: Rule = {
  accepts: (value) =>
    typeof value === 'string' &&
    /^[^-_+\s\\/?"<>|#:,][^\s\\/?"<>|#:]*$/.test(value) &&
    Buffer.byteLength(value) <= 4096,
  expected: 'the name of an index, a pattern such as `logs-*`, or several with commas between',
}

const { compression: _, ...ownConnectionRules } = connectionRules

const rules = {
  ...ownConnectionRules,
  index: indexRule,
  keepAlive: rule.optional(rule.milliseconds(1000, 86_400_000)),
  retryTimeout: rule.optional(rule.milliseconds(0, 2 ** 31 - 1)),
}

/**
 * Reads the documents of an index of Elasticsearch or OpenSearch, as they are at one moment. A record has the fields of the `_source`, and the
 * `_id` and the `_routing` of the document. Integers that a number does not hold are bigints.
 *
 * The query of a job is the body of a search in JSON, with `query`, `_source` or `runtime_mappings`. Without one, all documents are read. By a
 * `cursor` of fields, runs resume. Throws `invalid_options` here. A failed read throws `datasource`.
 */
export function elasticsearchDatasource(options: ElasticsearchDatasourceOptions): Datasource {
  checkOptions('options', options, rules)
  checkConnection(options)
  const given = { ...options }
  return {
    kind: 'elasticsearch',
    secrets: secretsOf(options),
    capabilities: { keepsConsistency: ['statement', 'snapshot'] },
    consistency: 'snapshot',
    placeholder,
    read: (query, readOptions) => read(given, query, readOptions),
    readByCursor: (query, readOptions) => readByCursor(given, query, readOptions),
    givenPosition: (position, cursor, check) => givenPosition(given, position, cursor, check),
    shownPosition: positionShown,
    count: (query, countOptions) => count(given, query, countOptions),
    check: (signal) => using(given, signal, async (server) => void (await countOf(server, given.index, undefined))),
  }
}

/** Runs `work` with a connection of its own. */
async function using<Answer>(
  options: ElasticsearchDatasourceOptions,
  signal: AbortSignal,
  work: (server: SearchServer) => Promise<Answer>,
): Promise<Answer> {
  signal.throwIfAborted()
  const server = SearchServer.open(options, signal)
  try {
    return await work(server)
  } catch (error) {
    throw signal.aborted ? signal.reason : datasourceFailure(error)
  } finally {
    server.connection.close()
  }
}

/** The batches of `work` in a point in time of its own. */
async function* batchesIn<Batch>(
  options: ElasticsearchDatasourceOptions,
  signal: AbortSignal,
  work: (server: SearchServer, pit: PointInTime) => AsyncIterable<Batch>,
): AsyncGenerator<Batch> {
  signal.throwIfAborted()
  const server = SearchServer.open(options, signal)
  let pit: PointInTime | undefined
  try {
    pit = await PointInTime.open(server, options.index, options.keepAlive ?? 300_000)
    yield* work(server, pit)
  } catch (error) {
    throw signal.aborted ? signal.reason : datasourceFailure(error)
  } finally {
    await pit?.close()
    server.connection.close()
  }
}

async function* read(
  options: ElasticsearchDatasourceOptions,
  query: Query,
  readOptions: ReadOptions,
): AsyncGenerator<RecordBatch> {
  const { signal, batchBytes: bytes = Number.POSITIVE_INFINITY } = readOptions
  const body = searchBodyOf(query)
  yield* batchesIn(options, signal, (server, pit) =>
    readStream({ open: () => new DocumentCursor({ server, pit, body, bytes }) }, readOptions),
  )
}

async function* readByCursor(
  options: ElasticsearchDatasourceOptions,
  query: Query,
  readOptions: CursorReadOptions,
): AsyncGenerator<ReadBatch> {
  const { signal, cursor } = readOptions
  const body = searchBodyOf(query)
  checkCursor(cursor)
  yield* batchesIn(options, signal, async function* (server, pit) {
    const fields = await fieldsOf(server, options.index, cursor.columns)
    if (fields) yield* new CursorRead({ server, pit, body, fields, options: readOptions }).batches()
    else await checkEmpty(server, options.index, cursor)
  })
}

function checkCursor({ nulls, parallel, range }: ReadCursor): void {
  if (nulls === 'first') throw invalid('cursor.nulls', '`fail` or `skip`, which search engines can do', nulls)
  if (parallel > 1) throw invalid('parallel', 'omitted, as one reader reads an index', parallel)
  if (range) throw invalid('partitions', 'omitted, as one reader reads an index', range)
}

/** An index without documents may have no fields. */
async function checkEmpty(
  server: SearchServer,
  index: string,
  { columns }: Pick<ReadCursor, 'columns'>,
): Promise<void> {
  if ((await countOf(server, index, undefined)) === 0) return
  throw new JobError(
    'datasource',
    `The index \`${index}\` has no field ${quotedNames(columns)}, by which the cursor reads.`,
  )
}

function givenPosition(
  options: ElasticsearchDatasourceOptions,
  given: unknown,
  cursor: Pick<ReadCursor, 'columns' | 'ties'>,
  { signal }: GivenPositionOptions,
): Promise<unknown> {
  return using(options, signal, async (server) => {
    const fields = await fieldsOf(server, options.index, cursor.columns)
    if (fields) return checkGiven(given, cursor, fields)
    throw invalid(
      'checkpoint.cursor',
      `absent, as the index \`${options.index}\` has no field that the cursor reads by`,
      given,
    )
  })
}

function count(
  options: ElasticsearchDatasourceOptions,
  query: Query,
  { signal, cursor }: CountOptions,
): Promise<number | undefined> {
  return using(options, signal, async (server) => {
    const body = searchBodyOf(query)
    // `_count` knows no runtime fields.
    if (body.runtime_mappings) return undefined
    if (!cursor) return countOf(server, options.index, body.query)
    const fields = await fieldsOf(server, options.index, cursor.columns)
    return fields ? countOf(server, options.index, CursorRead.restQuery(body, cursor, fields)) : 0
  })
}
