import { type BatchEvent, commonRedactor, JobError, type JobEvent, type JobRegistry, type Redactor } from '../index.js'

/** What is listened to. */
export type InstrumentedRegistry = Pick<JobRegistry, 'on' | 'onBatch'> & Partial<Pick<JobRegistry, 'redactor'>>

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
  const name = propertyOf(cause, 'name')
  return isText(name) ? name.slice(0, maxErrorType) : '_OTHER'
}

/** The longest name of an error that is shown, in characters. */
const maxErrorType = 100

/** The longest stack that is shown, in characters. */
const maxStackLength = 20_000

/** The stack of an error, without its secrets. */
export function stackOf(cause: unknown, redactor: Pick<Redactor, 'shorten'> = commonRedactor): { stack?: string } {
  const stack = propertyOf(cause, 'stack')
  return isText(stack) ? { stack: redactor.shorten(stack, maxStackLength) } : {}
}

/** A property of what was thrown, if that is an error: whatever is thrown may throw when it is read. */
function propertyOf(cause: unknown, name: 'name' | 'stack'): unknown {
  try {
    return cause instanceof Error ? cause[name] : undefined
  } catch {
    return undefined
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

/** The attributes that tell of a job: its type, and its id when asked for. */
export function jobAttributes({ type, id }: Pick<JobEvent | BatchEvent, 'type' | 'id'>, withId: boolean) {
  return { [names.type]: type, ...(withId && { [names.id]: id }) }
}
