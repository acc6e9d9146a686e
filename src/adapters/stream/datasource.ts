import {
  checkOptions,
  checkValue,
  type Datasource,
  JobError,
  type Query,
  type ReadOptions,
  type ReadRange,
  type RecordBatch,
  rule,
} from '../../adapter.js'
import { type RecordStream, readStream } from '../shared/index.js'

/** The options of {@link streamDatasource}. */
export interface StreamDatasourceOptions<Stream = RecordStream> {
  /**
   * Stops a stream that is not read to its end, because the job is aborted or its target fails, and frees what the stream holds, such as a
   * connection. The job waits for it for up to a second. Default: `destroy()`, else `close()` of the stream, and `return()` of its iterator.
   */
  cancel?(stream: Stream): unknown
  /** The placeholder of the n-th value in the text of a query, with n from 1. Default: `$n`. */
  placeholder?(n: number): string
  /** Whether the function returns only the records after `lastId`. Default `false`: every run reads what the query returns. */
  resumes?: boolean
  /**
   * How long the source may take to open a stream, and then for each batch of records, in milliseconds. After that, the read fails with a
   * transient error. Time that the target takes does not count. Default: no limit.
   */
  timeout?: number
  /** Resolves when the source can be read: for `registry.ready`. Default: not checked. */
  check?(signal: AbortSignal): Promise<void>
  /** Closes what the source holds between runs, such as a pool, when its registry closes. Default: nothing. */
  close?(): Promise<void>
}

/** The second argument of an {@link OpenStream}. */
export interface StreamContext {
  /** Aborts when no more records are needed. */
  readonly signal: AbortSignal
  /** How many records the job takes at once: a good size for the buffer of a cursor. */
  readonly batchSize: number
  /** The last id of the checkpoint that the job resumes from; `undefined` when it starts from the beginning. */
  readonly lastId: string | undefined
  /** The range of records to return, in a partition of a job with `partitions`. */
  readonly range?: ReadRange
}

/** Runs the query of a job, and returns its records: a stream of objects, an iterable or a cursor, or a promise of one. */
export type OpenStream<Stream extends RecordStream = RecordStream> = (
  query: Query,
  context: StreamContext,
) => Stream | Promise<Stream>

const rules = {
  cancel: rule.optional(rule.aFunction),
  placeholder: rule.optional(rule.aFunction),
  resumes: rule.optional(rule.flag),
  timeout: rule.optional(rule.milliseconds(1, 2 ** 31 - 1)),
  check: rule.optional(rule.aFunction),
  close: rule.optional(rule.aFunction),
}

/**
 * Reads the records of any driver that streams. `open` receives the query of the job and returns a `Readable` of objects, an async or other
 * iterable, or a cursor with `read(count)`.
 *
 * No record is taken before the target has room for it. An abort, a failed target or a late record cancels the stream. Throws
 * `invalid_options` here, and `datasource` for a record that is not an object.
 */
export function streamDatasource<Stream extends RecordStream = RecordStream>(
  open: OpenStream<Stream>,
  options: StreamDatasourceOptions<Stream> = {},
): Datasource {
  checkValue('open', open, rule.aFunction)
  checkOptions('options', options, rules)
  const { cancel, placeholder, resumes = false, timeout, check, close } = options
  return {
    kind: 'stream',
    capabilities: { resumesAfterId: resumes, readsRanges: true },
    read(query, readOptions) {
      const source = { open: () => open(query, contextOf(readOptions)), timeout, ...(cancel && { cancel }) }
      const batches = readStream(source, readOptions)
      return placeholder || !/\$1\b/.test(query.text) || query.values.length === 0 ? batches : hinting(batches)
    },
    ...(placeholder && { placeholder }),
    ...(check && { check }),
    ...(close && { close }),
  }
}

/** What a driver says of placeholders that it does not know. */
const aboutPlaceholders = /\$\d|\bbind|parameter|placeholder|variable|invalid character/i

/** Postgres takes the placeholders, so its errors are about something else. */
function isAboutPlaceholders(error: unknown): boolean {
  try {
    const { message, severity } = Object(error)
    return severity === undefined && aboutPlaceholders.test(message)
  } catch {
    return false
  }
}

/** The same batches. An error that seems to be about the placeholders names the option for them. */
async function* hinting(batches: AsyncIterable<RecordBatch>): AsyncGenerator<RecordBatch> {
  try {
    yield* batches
  } catch (cause) {
    if (!isAboutPlaceholders(cause)) throw cause
    const hint =
      'The text of the query has `$1` for its first value. If the driver takes another placeholder, such as `?`,'
    throw new JobError(
      'datasource',
      `${hint} set the option \`placeholder\` of streamDatasource, as in \`() => '?'\`.`,
      {
        cause,
      },
    )
  }
}

function contextOf({ signal, batchSize, lastId, range }: ReadOptions): StreamContext {
  return { signal, batchSize, lastId, ...(range && { range }) }
}
