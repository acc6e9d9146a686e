import { checkedResult, issuesText, isThenable, JobError, type StandardSchema } from '../../core/base/index.js'
import { nonRecord, RecordBatch } from '../contract/index.js'
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
      const result: unknown = isThenable(answer) ? await answer : answer
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

function recordIn(result: unknown, recordIndex: number): object {
  const checked = checkedResult('schema', result, { recordIndex })
  if (checked.issues) {
    const message = `The record does not match the schema: ${issuesText(checked.issues)}.`
    throw new JobError('schema', message, { recordIndex })
  }
  const { value } = checked
  const found = nonRecord(value)
  if (found === undefined) return value as object
  throw new JobError('schema', `Expected the schema to return an object, got ${found}.`, { recordIndex })
}
