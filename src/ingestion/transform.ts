import { JobError } from '../core/errors.js'
import { type JobRecord, RecordBatch } from './batch.js'
import type { IngestionJob, TransformContext, Transformed } from './job.js'

/** What a batch became. */
export interface TransformedBatch {
  readonly batch: RecordBatch
  /** Of how many of its records nothing was left. */
  readonly skipped: number
}

/** Turns the batches that were read into the batches that are written. */
export type BatchTransform = (
  batch: RecordBatch,
  context: TransformContext,
) => Promise<TransformedBatch> | TransformedBatch

/** The transform of a job over batches; one that has none passes them on untouched. */
export function batchTransform({ transform, transformBatch }: IngestionJob): BatchTransform {
  if (transformBatch) return named((batch, context) => wholeBatch(batch, transformBatch(batch, context)))
  if (transform) return named((batch, context) => eachRecord(batch, (record) => transform(record, context)))
  return (batch) => ({ batch, skipped: 0 })
}

async function wholeBatch(
  batch: RecordBatch,
  answer: readonly JobRecord[] | Promise<readonly JobRecord[]>,
): Promise<TransformedBatch> {
  const records = [...(await answer)]
  return { batch: RecordBatch.fromRecords(records), skipped: Math.max(0, batch.length - records.length) }
}

async function eachRecord(
  batch: RecordBatch,
  transform: (record: JobRecord) => Transformed | Promise<Transformed>,
): Promise<TransformedBatch> {
  const records: JobRecord[] = []
  let skipped = 0
  for (const record of batch.records()) {
    const before = records.length
    const answer = transform(record)
    // Waiting only where there is something to wait for keeps plain functions several times as fast.
    const transformed = answer instanceof Promise ? await answer : answer
    if (Array.isArray(transformed)) records.push(...transformed)
    else if (transformed) records.push(transformed as JobRecord)
    if (records.length === before) skipped++
  }
  return { batch: RecordBatch.fromRecords(records), skipped }
}

function named(transform: BatchTransform): BatchTransform {
  return async (batch, context) => {
    try {
      return await transform(batch, context)
    } catch (error) {
      throw new JobError('transform', 'The transform threw.', { cause: error })
    }
  }
}
