import { JobError } from '../core/errors.js'
import { type JobRecord, RecordBatch } from './batch.js'
import type { IngestionJob, TransformContext, Transformed } from './job.js'

/** Turns the batches that were read into the batches that are written. */
export type BatchTransform = (batch: RecordBatch, context: TransformContext) => Promise<RecordBatch> | RecordBatch

/** The transform of a job over batches; one that has none passes them on untouched. */
export function batchTransform({ transform, transformBatch }: IngestionJob): BatchTransform {
  if (transformBatch)
    return named(async (batch, context) => RecordBatch.fromRecords([...(await transformBatch(batch, context))]))
  if (transform) return named((batch, context) => eachRecord(batch, (record) => transform(record, context)))
  return (batch) => batch
}

async function eachRecord(
  batch: RecordBatch,
  transform: (record: JobRecord) => Transformed | Promise<Transformed>,
): Promise<RecordBatch> {
  const records: JobRecord[] = []
  for (const record of batch.records()) {
    const answer = transform(record)
    // Waiting only where there is something to wait for keeps plain functions several times as fast.
    const transformed = answer instanceof Promise ? await answer : answer
    if (Array.isArray(transformed)) records.push(...transformed)
    else if (transformed) records.push(transformed as JobRecord)
  }
  return RecordBatch.fromRecords(records)
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
