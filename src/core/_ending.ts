import { errorMessages, isCausedBy } from './errors.js'
import { type JobMove, nextState } from './lifecycle.js'
import type { Redactor } from './redact.js'
import { type ExecutionRecord, type FinishRequest, leaseExpired } from './storage.js'
import { isTransient } from './transient.js'

/** What became of the work. */
export type Outcome = { readonly move: JobMove; readonly error?: unknown }

/** What the end of an execution depends on, beside what became of the work. */
interface Circumstances {
  readonly record: ExecutionRecord
  /** Why the job was stopped, if it was. */
  readonly reason: unknown
  readonly redactor: Redactor
  readonly isLost: boolean
  /** Whether its node closed. */
  readonly isHandedBack: boolean
}

/** How an execution ends whose lease ran out. */
export function lostEnding(record: ExecutionRecord) {
  return { state: 'error', error: leaseExpired(record), isOrphaned: true } as const
}

/** How an execution ends. However it did, it ends: an error that cannot be told of is one. */
export function endingOf(outcome: Outcome, circumstances: Circumstances): FinishRequest {
  try {
    return toldEndingOf(outcome, circumstances)
  } catch (error) {
    return { state: 'error', error: ['The outcome of the job could not be told.', ...errorMessages(error)] }
  }
}

function toldEndingOf({ move, error }: Outcome, circumstances: Circumstances): FinishRequest {
  const { record, reason, redactor, isLost, isHandedBack } = circumstances
  const state = nextState(record.state, move) as FinishRequest['state']
  if (state === 'aborted') return { state, ...(isHandedBack && { isOrphaned: true }) }
  if (state !== 'error') return { state }
  const messages = isLost && isCausedBy(error, reason) ? [] : errorMessages(error, redactor)
  // A failure that its own node's end may have brought about, such as a pool that was closed, too.
  const isOrphaned = isHandedBack && isTransient(error)
  if (!isLost) return { state, error: messages, ...(isOrphaned && { isOrphaned }) }
  const lost = lostEnding(record)
  return { ...lost, error: [...lost.error, ...messages] }
}
