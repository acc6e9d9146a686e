import {
  badAnswer,
  type Clock,
  callTarget,
  EventLoopTurns,
  JobError,
  jsonCopyOf,
  type Rule,
  rule,
  withTimeout,
} from '../../core/base/index.js'
import type { ExecutionContext } from '../../core/execution/index.js'
import {
  type Column,
  type IngestionDetail,
  type OpenContext,
  type OpenTarget,
  type Partitioning,
  type ReadBatch,
  RecordBatch,
  type Replacement,
  type SplitRequest,
  type Target,
  type TargetResumption,
  type TargetWriter,
} from '../contract/index.js'

/** Opens a target. Throws when its answer is not valid. */
export async function openTarget(target: Target, context: OpenContext): Promise<Required<OpenTarget>> {
  const opened: unknown = await callTarget('open', () => target.open(context))
  const { writer, resume = 'position' } = Object(opened ?? {}) as Partial<OpenTarget>
  if (!rule.having('write').accepts(writer)) {
    throw badAnswer('target', opening, 'an object whose `writer` has the method `write`', opened)
  }
  for (const method of optionalMethods) {
    const value = (writer as TargetWriter)[method]
    if (value !== undefined && typeof value !== 'function') {
      throw badAnswer('target', opening, `a writer whose \`${method}\` is a function`, value)
    }
  }
  if (!resumptionRule.accepts(resume)) {
    throw badAnswer('target', opening, `an object whose \`resume\` is ${resumptionRule.expected}`, resume)
  }
  return { writer: writer as TargetWriter, resume }
}

const opening = 'open() of the target'

const optionalMethods = [
  ...['flush', 'commit', 'abort', 'isReset'],
  ...['isEmpty', 'acceptsEncoded', 'createEmpty', 'truncate'],
] as (keyof TargetWriter)[]

const resumptionRule: Rule = {
  accepts: (value) =>
    value === 'position' ||
    value === 'restart' ||
    (rule.anObject.accepts(value) && Object.hasOwn(Object(value), 'checkpoint')),
  expected: '`position`, `restart` or an object with `checkpoint`',
}

/** The checkpoint that a target stores: `null` if it has none of this job, `undefined` if it stores no checkpoints. */
export function checkpointIn(resume: TargetResumption): unknown {
  return typeof resume === 'object' ? resume.checkpoint : undefined
}

/** How long a datasource or a target may take to stop before that is logged, in milliseconds. */
export const stopTimeout = 10_000

/** How long a target may take to stop before it is left behind, in milliseconds: rolling back may take some time. */
const stopLimit = 60_000

/** The batches of `read` of a datasource, or of `readByCursor`, that are not empty. Throws for anything else. */
export async function* checkedBatches(
  method: 'read' | 'readByCursor',
  source: AsyncIterable<RecordBatch | ReadBatch>,
  context: Pick<ExecutionContext, 'clock' | 'warnOnce'>,
): AsyncGenerator<ReadBatch> {
  const batches = iteratorOf(method, source)
  const turns = new EventLoopTurns()
  let isOver = true
  try {
    for (;;) {
      const result: unknown = await batches.next()
      if (typeof result !== 'object' || result === null) {
        throw badAnswer(
          'datasource',
          `next() of the iterator of ${method}()`,
          'an object with `done` and `value`',
          result,
        )
      }
      const { done, value } = result as IteratorResult<unknown>
      if (done) return
      isOver = false
      const read = method === 'read' ? { batch: checkedBatch(value) } : checkedReadBatch(value)
      if (read.batch.length > 0) yield read
      else await turns.pass()
      isOver = true
    }
  } finally {
    // The consumer stopped early. An iterator that threw has ended already.
    if (!isOver) await stopped(batches, context)
  }
}

/** Stops an iterator. One that does not stop is left behind: waiting for it would hide why it was stopped. */
async function stopped(
  batches: AsyncIterator<unknown>,
  { clock, warnOnce }: Pick<ExecutionContext, 'clock' | 'warnOnce'>,
): Promise<void> {
  const returned = Promise.resolve(batches.return?.()).then(() => true)
  if (await withTimeout(clock, stopTimeout, returned)) return
  warnOnce(`The datasource did not stop reading within ${stopTimeout} ms and was left behind.`)
}

function checkedBatch(value: unknown): RecordBatch {
  if (RecordBatch.isInstance(value)) return value
  throw badAnswer('datasource', 'read() of the datasource', 'batches of the class `RecordBatch`', value)
}

function checkedReadBatch(value: unknown): ReadBatch {
  const { batch, positionAfter } = Object(value)
  const isComplete = positionAfter === undefined || typeof positionAfter === 'function'
  if (RecordBatch.isInstance(batch) && isComplete) return value as ReadBatch
  const expected = 'objects whose `batch` is a `RecordBatch`, and whose `positionAfter`, if any, is a function'
  throw badAnswer('datasource', 'readByCursor() of the datasource', expected, value)
}

function iteratorOf(method: string, source: unknown): AsyncIterator<unknown> {
  const called = `${method}() of the datasource`
  const make = Object(source)[Symbol.asyncIterator]
  if (typeof make !== 'function') throw badAnswer('datasource', called, 'an async iterable', source)
  const iterator: unknown = make.call(source)
  if (rule.having('next').accepts(iterator)) return iterator as AsyncIterator<unknown>
  throw badAnswer('datasource', called, 'an iterator with the method `next`', iterator)
}

/** Flushes a target, if it can. Returns its position. Throws when storage cannot hold that. */
export async function flushed(
  writer: TargetWriter | undefined,
  checkpoint: Parameters<NonNullable<TargetWriter['flush']>>[0],
): Promise<unknown> {
  const position: unknown = await callTarget('flush', () => writer?.flush?.(checkpoint))
  const copy = position === undefined ? undefined : jsonCopyOf(position)
  if (copy !== undefined || position === undefined) return copy
  throw badAnswer('target', 'flush() of the target', 'nothing or a JSON value', position)
}

/** Commits a target. Returns what it has replaced, if it tells. */
export async function committed(writer: TargetWriter, clock: Clock): Promise<IngestionDetail['replaced']> {
  const answer: unknown = await callTarget<unknown>('commit', () => writer.commit?.())
  const { how, before, after } = Object(answer ?? {}) as Partial<Replacement>
  if (typeof how !== 'string') return undefined
  const isCount = (value: unknown) => rule.whole(0).accepts(value)
  const time = new Date(clock.now()).toISOString()
  return { how: how.slice(0, 100), ...(isCount(before) && { before }), ...(isCount(after) && { after }), time }
}

/** Waits for a target to stop. One that never does is left behind: the state of its job must end. */
export async function untilStopped(clock: Clock, stopping: Promise<unknown> | undefined): Promise<void> {
  const stopped = Promise.resolve(stopping).then(() => true)
  if (await withTimeout(clock, stopLimit, stopped)) return
  throw new JobError('target', `It did not stop within ${stopLimit} ms and was left behind.`)
}

/** Removes the earlier records of a target that can do so by its capabilities. */
export async function truncated(writer: TargetWriter | undefined): Promise<void> {
  if (!writer?.truncate) {
    const expected = "a writer with the method `truncate`, as its `onFullRefresh` is 'truncate'"
    throw badAnswer('target', opening, expected, writer)
  }
  await callTarget('truncate', () => writer.truncate?.())
}

/** Creates what a target lacks for records with these columns. Does nothing without columns, and for a target that creates nothing. */
export async function createEmpty(writer: TargetWriter, columns: readonly Column[] | undefined): Promise<void> {
  if (columns) await callTarget('createEmpty', () => writer.createEmpty?.(columns))
}

/** The result of `partition` of a datasource, for a number of ranges or given bounds. Throws when it is not valid. */
export async function checkedPartitioning(partitioning: Partitioning, split: SplitRequest): Promise<Partitioning> {
  const { bounds, release, snapshot, start } = Object(partitioning ?? {}) as Partial<Partitioning>
  const isPartitioning =
    areBounds(bounds, typeof split === 'number' ? split - 1 : split.length) &&
    (snapshot === undefined || typeof snapshot === 'string') &&
    (start === undefined || jsonCopyOf(start) !== undefined)
  if (isPartitioning && typeof release === 'function') return partitioning
  if (typeof release === 'function') await release.call(partitioning)
  const expected =
    'an object with the method `release` and `bounds`, an array of different texts, at most one for each range after the first; `snapshot` is text, and `start` a JSON value'
  throw badAnswer('datasource', 'partition() of the datasource', expected, partitioning)
}

function areBounds(bounds: unknown, most: number): boolean {
  if (!Array.isArray(bounds) || bounds.length > most) return false
  return bounds.every((bound) => typeof bound === 'string') && new Set(bounds).size === bounds.length
}
