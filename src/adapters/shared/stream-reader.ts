import { Readable } from 'node:stream'
import {
  ignoreRejections,
  isThenable,
  JobError,
  type JobRecord,
  nonRecord,
  type ReadOptions,
  RecordBatch,
  succeedsWithin,
  systemClock,
  untilAborted,
} from '../../adapter.js'
import { type RecordIterator, RecordReader } from './record-reader.js'

/** A cursor that returns records by their number, such as that of `pg-cursor`. */
export interface RecordCursor {
  /** Returns the next records: an empty array at the end. Anything but an array fails the read with `datasource`. */
  read(count: number): Promise<readonly object[]>
  /** Frees what the cursor holds, after its end and before. */
  close?(): unknown
}

/** What gives records: a stream of objects, such as a `Readable`, another iterable, or a cursor. */
export type RecordStream = AsyncIterable<object> | Iterable<object> | RecordCursor

/** How a stream is opened, and cancelled before its end. */
export interface StreamSource<Stream> {
  open(): Stream | Promise<Stream>
  /** Stops the stream and frees what it holds. Default: {@link cancelStream}. */
  cancel?(stream: Stream): unknown
  /** The batch of what the stream returned. Default: what it returned are records. */
  toBatch?(items: readonly object[]): RecordBatch
  /** How long the source may take to open, and then for each batch, in milliseconds. */
  readonly timeout?: number | undefined
}

/** How long to wait for a stream to be cancelled, in milliseconds. */
const cancelTimeout = 1000

/** Reads the records of a stream in batches, and cancels it when reading ends before it does. */
export async function* readStream<Stream extends RecordStream>(
  source: StreamSource<Stream>,
  options: ReadOptions,
): AsyncGenerator<RecordBatch> {
  const { signal, batchSize, batchBytes = Number.POSITIVE_INFINITY } = options
  const stream = await openStream(source, signal)
  const { toBatch } = source
  const iterator = iteratorOf(stream, batchSize)
  const isAhead = stream instanceof Readable || !(Symbol.asyncIterator in stream || Symbol.iterator in stream)
  const reader = new RecordReader(iterator, signal, { isAhead, ...(toBatch && { check: ignore }) })
  try {
    while (reader.isOpen) {
      const items = await inTime(reader.take(batchSize, batchBytes), source.timeout)
      if (items.length > 0) yield toBatch ? toBatch(items) : RecordBatch.fromRecords(items as JobRecord[])
    }
  } finally {
    await (reader.isOpen ? cancel(source, stream, options, reader) : reader.close())
  }
}

async function openStream<Stream extends object>(source: StreamSource<Stream>, signal: AbortSignal): Promise<Stream> {
  signal.throwIfAborted()
  const opening = Promise.resolve(source.open())
  try {
    const stream = await inTime(untilAborted(opening, signal), source.timeout)
    // A stream may emit an error when nothing reads it any more. Without a listener, it would end the process.
    if ('on' in Object(stream))
      (stream as unknown as { on(event: 'error', listener: () => void): void }).on('error', ignore)
    return stream
  } catch (error) {
    opening.then((late) => cancel(source, late, {}), ignore)
    throw error
  }
}

/** Stops a stream of Node, a cursor or an iterable, as it does by itself. */
export function cancelStream(stream: object): unknown {
  const { destroy, close } = stream as { destroy?(): unknown; close?(): unknown }
  if (typeof destroy === 'function') return destroy.call(stream)
  return typeof close === 'function' ? close.call(stream) : undefined
}

/** Never rejects: a source that cannot be cancelled does not keep a job from its end. */
async function cancel<Stream extends object>(
  { cancel: stop = cancelStream }: StreamSource<Stream>,
  stream: Stream,
  { warn = ignore }: Pick<ReadOptions, 'warn'>,
  reader?: { close(): Promise<void> },
): Promise<void> {
  const stopping = (async () => {
    await stop(stream)
    await reader?.close()
  })().catch((error) => warn(`The stream could not be cancelled: ${String(error?.message ?? error)}`))
  if (!(await succeedsWithin(systemClock, cancelTimeout, stopping)))
    warn(`The stream was not cancelled within ${cancelTimeout} ms. It may still hold a connection.`)
}

function inTime<Value>(promise: Promise<Value>, timeout: number | undefined): Promise<Value> {
  if (timeout === undefined) return promise
  return new Promise((resolve, reject) => {
    const late = new JobError('datasource', `The source gave no records within ${timeout} ms.`, { isTransient: true })
    const timer = setTimeout(reject, timeout, late)
    promise.finally(() => clearTimeout(timer)).then(resolve, reject)
  })
}

function iteratorOf(stream: RecordStream, count: number): RecordIterator<object> {
  if (stream instanceof Readable) return bufferedFirst(stream)
  // The characters of a text are no records, and an empty text is not the end.
  const source: unknown = typeof stream === 'string' ? undefined : stream
  if (Symbol.asyncIterator in Object(source)) return (stream as AsyncIterable<object>)[Symbol.asyncIterator]()
  if (Symbol.iterator in Object(source)) return (stream as Iterable<object>)[Symbol.iterator]()
  if (typeof Object(stream).read === 'function') return recordsOf(stream as RecordCursor, count)
  const found = nonRecord(stream) ?? 'an object'
  throw new JobError(
    'datasource',
    `Expected the source to return a stream, an iterable or a cursor with \`read\`, got ${found}.`,
  )
}

/** The iterator of a stream of Node, which returns what is in its buffer at once: a promise per record takes longer than the record. */
function bufferedFirst(stream: Readable): RecordIterator<object> {
  const iterator = stream[Symbol.asyncIterator]()
  let hasBegun = false
  const next = () => {
    const value = hasBegun && !stream.destroyed ? stream.read() : null
    hasBegun = true
    return value === null ? iterator.next() : { done: false, value }
  }
  return { next, return: () => iterator.return?.() } as AsyncIterator<object>
}

/** The iterator of a cursor, which returns the records that it has at once. */
function recordsOf(cursor: RecordCursor, count: number): RecordIterator<object> {
  let records: readonly object[] = []
  let at = 0
  const fetch = async (): Promise<IteratorResult<object>> => {
    const answer: unknown = await cursor.read(count)
    // Only an empty array is the end. Anything else without a length, such as a result with `rows`, would end the read early.
    if (!Array.isArray(answer)) {
      const found = nonRecord(answer) ?? 'an object'
      throw new JobError('datasource', `Expected \`read\` of the cursor to give an array of records, got ${found}.`)
    }
    records = answer
    at = 0
    // The reader refuses the first one, and stops.
    if (isThenable(records[0])) ignoreRejections(records)
    if (records.length > 0) return { done: false, value: records[at++] as object }
    await cursor.close?.()
    return { done: true, value: undefined }
  }
  const next = () => (at < records.length ? { done: false, value: records[at++] } : fetch())
  return { next } as AsyncIterator<object>
}

function ignore(): void {}
