import {
  chain,
  errorMessages,
  isTransient,
  JobError,
  type JobErrorCode,
  notePlace,
  type RecordPlace,
  stackOf,
} from '../base/index.js'
import { type FailedAttempt, type Failure, failureLimits } from '../model/index.js'
import type { Redactor } from '../redaction/index.js'

/** How work that may have failed has ended. */
export interface FailedOutcome {
  readonly error?: unknown
  /** Whether the error is transient, by the job. Default: by its codes. */
  readonly isTransient?: boolean
  /** How many times the execution tried. Default 1. */
  readonly attempts?: number
  /** The attempts before the last one, as many as are kept. */
  readonly retries?: readonly FailedAttempt[]
}

/** What is known of a failure beside its messages. */
export function failureOf(
  { error, attempts = 1, retries = [], ...outcome }: FailedOutcome,
  redactor: Redactor,
): Failure {
  const code = codeOf(error)
  const place = placeTextOf(error)
  const stack = stackOf(error, redactor, failureLimits.stack)
  return {
    ...(code !== undefined && { code }),
    isTransient: outcome.isTransient ?? isTransient(error),
    attempts,
    ...(place !== undefined && { place: redactor.shorten(place, failureLimits.place) }),
    ...(stack !== undefined && { stack }),
    ...(retries.length > 0 && { retries: [...retries] }),
  }
}

/**
 * An error from what was stored of one, outermost message first: it has the code, the place and the stack of the failure, so that a failure
 * that it causes has them too.
 */
export function restoredError(messages: readonly string[], failure: Partial<Failure> = {}): JobError | undefined {
  const { code = 'part', place, stack } = failure
  const error = messages.reduceRight<JobError | undefined>((cause, message) => {
    const link = new JobError(code, message, cause && { cause })
    // Its own stack says only where it was restored.
    link.stack = cause ? '' : (stack ?? '')
    if (!cause) link.name = /^\w{1,100}(?=: )/.exec(link.stack)?.[0] ?? link.name
    return link
  }, undefined)
  if (place !== undefined) notePlace(error, { text: place })
  return error
}

/** An attempt that failed. */
export function failedAttempt(time: number, error: unknown, redactor: Redactor): FailedAttempt {
  return { time, error: redactor.shorten(errorMessages(error, redactor).at(-1) ?? '', failureLimits.reason) }
}

/** The code of the outermost error. That of a partition says only that one failed: what it failed of is inside. */
function codeOf(error: unknown): JobErrorCode | undefined {
  const codes = [...chain(error)].filter(JobError.isInstance).map(({ code }) => code)
  return codes.find((code) => code !== 'part') ?? codes[0]
}

/**
 * Where it failed, in a sentence. An outer error may say that without the sentence, which is in one of its causes then: of several records
 * that failed, the outer error says which one has ended the run.
 */
function placeTextOf(error: unknown): string | undefined {
  const places = [...chain(error)].flatMap((link) => (JobError.isInstance(link) ? (link.place ?? []) : []))
  const named = places.filter(({ text }) => typeof text === 'string')
  const [{ batch, recordIndex } = {}] = places
  const isMeant = (place: Partial<RecordPlace>) => place.batch === batch && place.recordIndex === recordIndex
  return (named.find(isMeant) ?? named[0])?.text
}
