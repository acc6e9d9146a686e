import { commonRedactor, type Redactor } from '../adapter.js'
import { type BatchEvent, JobError, type JobEvent, type JobRegistry } from '../index.js'

/** The part of a registry that is instrumented. */
export type InstrumentedRegistry = Pick<JobRegistry, 'on' | 'onBatch'> & Partial<Pick<JobRegistry, 'redactor'>>

/** The names of attributes. Names without `headgate` are from OpenTelemetry's semantic conventions. */
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

/** The kind of an error, with few values: the code of a `JobError`, else the name of its class, else `_OTHER`. */
export function errorTypeOf(cause: unknown): string {
  if (JobError.isInstance(cause)) return cause.code
  const className = classNameOf(cause)
  const name = className === undefined || unspecific.has(className) ? propertyOf(cause, 'name') : className
  return isText(name) ? name.slice(0, maxErrorType) : '_OTHER'
}

/** Classes whose errors are told apart by their `name`. */
const unspecific: ReadonlySet<string> = new Set(['Error', 'DOMException'])

/** The name of an error's class. Its `name` is often that of a class that it extends. */
function classNameOf(cause: unknown): string | undefined {
  const { name } = Object(propertyOf(cause, 'constructor')) as { name?: unknown }
  return isText(name) ? name : undefined
}

/** Maximum length of the name of an error, in characters. */
const maxErrorType = 100

/** Maximum length of a stack, in characters. */
const maxStackLength = 20_000

/** The redacted stack of an error. */
export function stackOf(cause: unknown, redactor: Pick<Redactor, 'shorten'> = commonRedactor): { stack?: string } {
  const stack = propertyOf(cause, 'stack')
  return isText(stack) ? { stack: redactor.shorten(stack, maxStackLength) } : {}
}

/** A property of a thrown error. Reading it may throw. */
function propertyOf(cause: unknown, name: 'constructor' | 'name' | 'stack'): unknown {
  try {
    return cause instanceof Error ? cause[name] : undefined
  } catch {
    return undefined
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

/** The attributes of a job: its type, and its id if requested. */
export function jobAttributes({ type, id }: Pick<JobEvent | BatchEvent, 'type' | 'id'>, withId: boolean) {
  return { [names.type]: type, ...(withId && { [names.id]: id }) }
}
