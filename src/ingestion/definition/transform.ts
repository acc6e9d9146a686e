import { isError, isThenable, JobError, rejectedIn, type StandardSchema } from '../../core/base/index.js'
import { type JobRecord, nonRecord, nonRecordIn, RecordBatch } from '../contract/index.js'
import type { IngestionJob, TransformContext, Transformed } from './ingestion-job.js'
import { validated } from './schema.js'
import type { Tolerates, TransformedBatch, TransformFailure } from './transformed-batch.js'

/** Turns source batches into batches to write. */
export type BatchTransform = (
  batch: RecordBatch,
  context: TransformContext,
) => Promise<TransformedBatch> | TransformedBatch

/** The batch transform of a job: its schema, then its transform. Without them, batches are passed on unchanged. */
export function batchTransform(job: IngestionJob, tolerates?: Tolerates): BatchTransform {
  const transform = ownTransform(job, tolerates)
  return job.schema ? afterSchema(job.schema, transform, tolerates) : transform
}

function afterSchema(schema: StandardSchema, transform: BatchTransform, tolerates?: Tolerates): BatchTransform {
  return async (batch, context) => {
    const mayFail = (error: unknown) => !context.signal.aborted && tolerates?.(error) === true
    const valid = await validated(batch, schema, mayFail)
    const { failures = [], originOf: validOf, ...rest } = await transform(valid.batch, context)
    // The functions are kept longer than the batches, so they hold none.
    const { originOf: sourceOf } = valid
    const originOf = (index: number | undefined) => (index === undefined ? undefined : sourceOf(index))
    const later = failures.map(({ index, error }) => ({ index: originOf(index) as number, error }))
    const all = [...(valid.failures ?? []), ...later].sort((a, b) => a.index - b.index)
    return { ...rest, failures: all, originOf: (index) => originOf(validOf(index)) }
  }
}

function ownTransform({ transform, transformBatch }: IngestionJob, tolerates?: Tolerates): BatchTransform {
  if (transformBatch) return named((batch, context) => wholeBatch(batch, transformBatch(batch, context)))
  if (transform) {
    return (batch, context) => {
      const mayFail = (error: unknown) => !context.signal.aborted && tolerates?.(error) === true
      return eachRecord(batch, (record) => transform(record, context), mayFail)
    }
  }
  return (batch) => ({ batch, skipped: 0, originOf: (index) => index })
}

async function wholeBatch(
  batch: RecordBatch,
  answer: readonly JobRecord[] | Promise<readonly JobRecord[]>,
): Promise<TransformedBatch> {
  const given: unknown = await answer
  if (!Array.isArray(given)) throw notGiven('an array of records', nonRecord(given) ?? 'an object')
  const records = [...checked(given)]
  return {
    batch: RecordBatch.fromRecords(records),
    skipped: Math.max(0, batch.length - records.length),
    originOf: nobodyKnows,
  }
}

async function eachRecord(
  batch: RecordBatch,
  transform: (record: JobRecord) => Transformed | Promise<Transformed>,
  mayFail: Tolerates,
): Promise<TransformedBatch> {
  const records: JobRecord[] = []
  const origins: number[] = []
  const failures: TransformFailure[] = []
  let skipped = 0
  const from = recordsIn(batch)
  for (let index = 0; index < from.length; index++) {
    try {
      const answer = transform(from[index] as JobRecord)
      // Awaiting only promises keeps synchronous functions several times as fast.
      const transformed = isThenable(answer) ? await answer : answer
      // One by one: spreading many records into one call would exceed the stack.
      if (Array.isArray(transformed)) for (const record of checked(transformed)) records.push(record)
      else if (transformed !== null) records.push(notTheLast(checkedRecord(transformed), records))
    } catch (error) {
      if (!mayFail(error)) throw threw(error, index)
      failures.push({ index, error: threw(error) })
      continue
    }
    if (records.length === origins.length) skipped++
    while (origins.length < records.length) origins.push(index)
  }
  return { batch: RecordBatch.fromRecords(records), skipped, failures, originOf: (index) => origins[index] }
}

function recordsIn(batch: RecordBatch): readonly JobRecord[] {
  try {
    return batch.records()
  } catch (error) {
    throw threw(error)
  }
}

/** Checks the records that a transform returned. */
function checked(records: readonly unknown[]): readonly JobRecord[] {
  const found = nonRecordIn(records)
  if (found !== undefined) throw notGiven('records that are objects', found, records.find(isError))
  const rejected = rejectedIn(records)
  if (rejected && isError(rejected.cause)) throw notGiven('records', rejected.found, rejected.cause)
  return records as readonly JobRecord[]
}

/** An object that is changed and returned again would be written as it is at last, as many times. */
function notTheLast(record: JobRecord, records: readonly JobRecord[]): JobRecord {
  if (record !== records.at(-1) || Object.isFrozen(record)) return record
  throw notGiven('another object for each record', 'the one that it returned before')
}

function checkedRecord(record: unknown): JobRecord {
  const found = nonRecord(record)
  if (found === undefined) return record as JobRecord
  const hint = record ? '' : ': return null to drop the record'
  throw notGiven('a record, an array of records or null', `${found}${hint}`, record)
}

function notGiven(expected: string, found: string, value?: unknown): JobError {
  const cause = isError(value) ? { cause: value } : {}
  return new JobError('transform', `Expected the transform to return ${expected}, got ${found}.`, cause)
}

function nobodyKnows(): undefined {}

function threw(cause: unknown, recordIndex?: number): JobError {
  const place = recordIndex === undefined ? {} : { recordIndex }
  return new JobError('transform', 'The transform failed.', { cause, ...place })
}

function named(transform: BatchTransform): BatchTransform {
  return async (batch, context) => {
    try {
      return await transform(batch, context)
    } catch (error) {
      throw threw(error)
    }
  }
}
