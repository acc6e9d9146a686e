import { issuesText, JobError, type SchemaResult, type StandardSchema } from '../../core/base/index.js'
import { RecordBatch } from '../contract/index.js'
import type { Tolerates, TransformedBatch, TransformFailure } from './transformed-batch.js'

/** Validates each record of a batch. The valid ones are the batch of the result. */
export async function validated(
  batch: RecordBatch,
  schema: StandardSchema,
  mayFail: Tolerates,
): Promise<TransformedBatch> {
  const records: object[] = []
  const origins: number[] = []
  const failures: TransformFailure[] = []
  const from = batch.records()
  for (let index = 0; index < from.length; index++) {
    try {
      const answer = schema['~standard'].validate(from[index])
      // Awaiting only promises keeps synchronous schemas several times as fast.
      const result = answer instanceof Promise ? await answer : answer
      records.push(recordIn(result, index))
      origins.push(index)
    } catch (error) {
      const failure = JobError.isInstance(error)
        ? error
        : new JobError('schema', 'The schema threw.', { cause: error, recordIndex: index })
      if (!mayFail(failure)) throw failure
      failures.push({ index, error: failure })
    }
  }
  const valid = RecordBatch.fromRecords(records)
  return { batch: valid as RecordBatch, skipped: 0, failures, originOf: (index) => origins[index] }
}

function recordIn(result: SchemaResult, recordIndex: number): object {
  if (result.issues) {
    const message = `The record does not match the schema: ${issuesText(result.issues)}.`
    throw new JobError('schema', message, { recordIndex })
  }
  const { value } = result
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  const message = `Expected the schema to return an object, got a value of type ${typeof value}.`
  throw new JobError('schema', message, { recordIndex })
}
