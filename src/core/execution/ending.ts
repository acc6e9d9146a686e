import { errorMessages, isCausedBy, isTransient } from '../base/index.js'
import { type ExecutionRecord, type JobMove, nextState } from '../model/index.js'
import type { Redactor } from '../redaction/index.js'
import { type FinishRequest, leaseExpired } from '../storage/index.js'
import { type FailedOutcome, failureOf } from './failure.js'

/** The outcome of the work. */
export interface Outcome extends FailedOutcome {
  readonly move: JobMove
}

/** What determines the end of an execution, besides the outcome of the work. */
interface Circumstances {
  readonly record: ExecutionRecord
  /** Why the job was stopped, if it was. */
  readonly reason: unknown
  readonly redactor: Redactor
  readonly isLost: boolean
  /** Whether its node closed. */
  readonly isReleased: boolean
}

/** The end of an execution whose lease expired. */
export function lostEnding(record: ExecutionRecord) {
  return { state: 'error', error: leaseExpired(record), isOrphaned: true } as const
}

/** The end of an execution. An error that cannot be described still ends it. */
export function endingOf(outcome: Outcome, circumstances: Circumstances): FinishRequest {
  try {
    return describedEnding(outcome, circumstances)
  } catch (error) {
    return { state: 'error', error: ['The outcome of the job could not be described.', ...errorMessages(error)] }
  }
}

function describedEnding(outcome: Outcome, circumstances: Circumstances): FinishRequest {
  const { move, error } = outcome
  const { record, reason, redactor, isLost, isReleased } = circumstances
  const state = nextState(record.state, move) as FinishRequest['state']
  if (state === 'aborted') return { state, ...(isReleased && { isOrphaned: true }) }
  if (state !== 'error') return { state }
  const messages = isLost && isCausedBy(error, reason) ? [] : errorMessages(error, redactor)
  // The closing node may have caused a transient failure, by closing a pool for example.
  const isOrphaned = isReleased && isTransient(error)
  const failure = failureOf(outcome, redactor)
  if (!isLost) return { state, error: messages, failure, ...(isOrphaned && { isOrphaned }) }
  const lost = lostEnding(record)
  return { ...lost, error: [...lost.error, ...messages], failure: { ...failure, code: 'lease_lost' } }
}

/** The end of an execution that storage does not have any more, with what storage said last. */
export function missingEnding(record: ExecutionRecord, failure: unknown, redactor: Redactor) {
  const reasons = failure === undefined ? [] : errorMessages(failure, redactor)
  return { ...lostEnding(record), error: ['The storage does not have this execution any more.', ...reasons] }
}
