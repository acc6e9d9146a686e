import type { JobErrorCode } from '../base/index.js'

/** What is known of a failure beside its messages. Its texts are redacted and bounded. */
export interface Failure {
  /** The code of the error. Absent when headgate did not make the error. */
  code?: JobErrorCode
  /** Whether the error is transient, by `retry.isTransient` of the job: another run may succeed without a change. */
  isTransient: boolean
  /** How many times the execution tried. */
  attempts: number
  /** At which record an ingestion failed, in a sentence such as `Batch 2, record 2,345 of this run (id 2345).` Of many, the last one. */
  place?: string
  /** The name of the innermost error that has a frame of the application, its message, and its frames: up to 4,000 characters. */
  stack?: string
  /** The attempts before the last one, oldest first: up to 10. Absent when there was one attempt. */
  retries?: FailedAttempt[]
}

/** An attempt of an execution after which it tried again. */
export interface FailedAttempt {
  /** When it failed, in epoch milliseconds of the registry's clock. */
  time: number
  /** The innermost reason, of up to 300 characters. */
  error: string
}

/** The limits of a failure: characters of the stack, of the reason of an attempt and of the place, and attempts that are kept. */
export const failureLimits = { stack: 4000, reason: 300, place: 2000, retries: 10 } as const
