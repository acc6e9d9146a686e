import { type BatchEvent, JobError, type JobEvent, type JobRegistry } from '../index.js'

/** What is listened to. */
export type InstrumentedRegistry = Pick<JobRegistry, 'on' | 'onBatch'>

/** The names of attributes. Those without `headgate` are of OpenTelemetry's semantic conventions. */
export const names = {
  type: 'headgate.job.type',
  id: 'headgate.job.id',
  state: 'headgate.job.state',
  count: 'headgate.job.records',
  executionId: 'headgate.execution.id',
  resumedFrom: 'headgate.execution.resumed_from',
  batches: 'headgate.execution.batches',
  batchRecords: 'headgate.batch.records',
  batchDuration: 'headgate.batch.duration',
  errorType: 'error.type',
} as const

/** The kind of an error, of which there are few: a code of headgate, the name of its class, or `_OTHER`. */
export function errorTypeOf(cause: unknown): string {
  if (JobError.isInstance(cause)) return cause.code
  return cause instanceof Error && cause.name !== '' ? cause.name : '_OTHER'
}

/** The attributes that tell of a job: its type, and its id when asked for. */
export function jobAttributes({ type, id }: Pick<JobEvent | BatchEvent, 'type' | 'id'>, withId: boolean) {
  return { [names.type]: type, ...(withId && { [names.id]: id }) }
}
