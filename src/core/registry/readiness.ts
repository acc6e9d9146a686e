import {
  createAbortController,
  isTransient,
  JobError,
  type JobErrorCode,
  onAbort,
  pauseAfter,
  rule,
  sleep,
  untilAborted,
} from '../base/index.js'
import type { Runtime } from '../runtime/index.js'

/** Options of `registry.ready`. */
export interface ReadyOptions {
  /** How long to wait for answers, and to try again after transient errors, in milliseconds. Default 30,000. */
  timeout?: number
}

/** The rules of {@link ReadyOptions}. */
export const readyRules = { timeout: rule.optional(rule.milliseconds(1)) }

/** A test of whether an adapter can be used. */
export interface ReadinessCheck {
  /** The adapter, for messages, such as `datasource [postgres]`. */
  readonly name: string
  /** The code of its errors. */
  readonly code: JobErrorCode
  /** Rejects with the reason, and when the signal aborts. */
  check(signal: AbortSignal): Promise<unknown> | undefined
}

/**
 * Resolves when all adapters can be used. Rejects as soon as one of them cannot, with the reason. Transient errors, as of a server that
 * starts, are tried again. Rejects with the reason of `closing` when that aborts.
 */
export async function untilReady(
  { clock, lease }: Pick<Runtime, 'clock' | 'lease'>,
  checks: readonly ReadinessCheck[],
  { timeout = 30_000 }: ReadyOptions,
  closing: AbortSignal,
): Promise<void> {
  const over = createAbortController()
  const stopListening = onAbort(closing, () => over.abort())
  const timer = clock.setTimer(timeout, () => over.abort())
  const untilPassed = async ({ name, code, check }: ReadinessCheck) => {
    let cause: unknown = new JobError(code, `There was no answer within ${timeout} ms.`)
    for (let failures = 1; !over.signal.aborted; failures++) {
      try {
        return await untilAborted(Promise.resolve(check(over.signal)), over.signal)
      } catch (error) {
        if (!over.signal.aborted) cause = error
        if (!isTransient(error)) break
        await sleep(clock, pauseAfter(failures, lease), over.signal)
      }
    }
    closing.throwIfAborted()
    throw new JobError(code, `The ${name} is not ready.`, { cause })
  }
  try {
    await Promise.all(checks.map(untilPassed))
  } finally {
    timer.cancel()
    stopListening()
    over.abort()
  }
}
