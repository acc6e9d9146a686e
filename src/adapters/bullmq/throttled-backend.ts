import { setTimeout } from 'node:timers/promises'
import type { Fairness } from './fairness.js'

/** The part of a backend that a worker polls. */
interface Backend {
  /** Waits for a queued execution for up to so many seconds. */
  waitForJob(timeout: number): Promise<unknown>
  /** Returns the data of the next execution as its first item. */
  moveToActive(...options: unknown[]): Promise<readonly unknown[]>
}

/** The options of {@link throttleIdlePolling}. */
export interface ThrottleOptions {
  readonly fairness: Fairness
  readonly closing: AbortSignal
  /** Whether the engine also wakes workers for executions that the limit holds back. */
  readonly wakesInVain: boolean
  /** Whether executions may be taken. */
  isOpen(): boolean
}

/**
 * How long a worker pauses after a wake-up without an execution, in milliseconds: doubles from the first to the
 * longest.
 */
const vainPauses = { first: 100, longest: 1000 }

/**
 * How long it pauses while no executions may be taken, in milliseconds. Also when it closes, because it would poll
 * again at once.
 */
const closedPause = 200

/** How long it pauses after an error, in milliseconds: doubles from the first to the longest. */
const failurePauses = { first: 100, longest: 5000 }

/**
 * Slows down a BullMQ worker that would poll in a loop: after errors, such as those of a full Redis or an ended pool;
 * in Postgres, when it wakes for executions that the limit holds back; and when other processes should come first.
 */
export function throttleIdlePolling(
  engine: unknown,
  { fairness, closing, wakesInVain, isOpen }: ThrottleOptions,
): void {
  const backend = engine as Backend
  const { waitForJob, moveToActive } = backend
  const waiting = slowedByFailures(closing)
  const moving = slowedByFailures(closing)
  let isWoken = false
  let inVain = 0
  backend.waitForJob = async (timeout) => {
    // Not in `moveToActive`, because the worker starts the job that it took before only when that call has answered.
    if (!isOpen()) return setTimeout(closedPause, 0, { ref: false })
    if (inVain > 0) await pause(vainPauses, inVain, closing)
    const woken = await waiting(waitForJob.call(backend, fairness.limitWait(timeout)))
    isWoken = wakesInVain && Boolean(woken)
    return woken
  }
  backend.moveToActive = async (...given) => {
    const others = fairness.waitForOthers()
    if (others) await others
    if (!isOpen()) return []
    const answer = await moving(moveToActive.apply(backend, given))
    if (answer[0]) inVain = 0
    else if (isWoken) inVain++
    isWoken = false
    return answer
  }
}

/** Passes answers through and delays errors, longer after each one in a row. */
function slowedByFailures(closing: AbortSignal): <Answer>(asked: Promise<Answer>) => Promise<Answer> {
  let failures = 0
  return async (asked) => {
    try {
      const answer = await asked
      failures = 0
      return answer
    } catch (error) {
      await pause(failurePauses, ++failures, closing)
      throw error
    }
  }
}

async function pause(pauses: { first: number; longest: number }, times: number, signal: AbortSignal): Promise<void> {
  const delay = Math.min(pauses.longest, pauses.first * 2 ** (times - 1))
  await setTimeout(delay, undefined, { signal, ref: false }).catch(() => undefined)
}
