import { chain, errorMessages, isTransient, JobError, type JobErrorCode, read, stackOf } from '../base/index.js'
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

/** An attempt that failed. */
export function failedAttempt(time: number, error: unknown, redactor: Redactor): FailedAttempt {
  return { time, error: redactor.shorten(errorMessages(error, redactor).at(-1) ?? '', failureLimits.reason) }
}

/** The code of the outermost error. That of a partition says only that one failed: what it failed of is inside. */
function codeOf(error: unknown): JobErrorCode | undefined {
  const codes = [...chain(error)].filter(JobError.isInstance).map(({ code }) => code)
  return codes.find((code) => code !== 'part') ?? codes[0]
}

function placeTextOf(error: unknown): string | undefined {
  for (const link of chain(error)) {
    const text = JobError.isInstance(link) ? read(link.place, 'text') : undefined
    if (typeof text === 'string') return text
  }
  return undefined
}
