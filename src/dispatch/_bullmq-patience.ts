import { setTimeout } from 'node:timers/promises'
import type { Courtesy } from './_bullmq-courtesy.js'

/** What a worker asks its engine. */
interface Backend {
  /** Waits for an execution in line, for so many seconds. */
  waitForJob(timeout: number): Promise<unknown>
  /** Gives the data of the execution whose turn it is, as the first of several. */
  moveToActive(...options: unknown[]): Promise<readonly unknown[]>
}

/** How a worker asks. */
export interface PatienceOptions {
  readonly courtesy: Courtesy
  readonly left: AbortSignal
  /** Whether the engine also wakes workers for what the limit of the line keeps from its turn. */
  readonly wakesInVain: boolean
}

/** How long a worker waits that was woken for nothing, in milliseconds: doubles from the first to the longest. */
const vainPauses = { first: 100, longest: 1000 }

/** How long it waits after an error, in milliseconds: doubles from the first to the longest. */
const failurePauses = { first: 100, longest: 5000 }

/**
 * Lets a worker of BullMQ wait where it would ask again at once, and again and again: after errors, such as those of a Redis
 * that is full or a pool that was ended; in Postgres, when it was woken for what the limit keeps from its turn; and when
 * others are to be asked first.
 */
export function makePatient(engine: unknown, { courtesy, left, wakesInVain }: PatienceOptions): void {
  const backend = engine as Backend
  const { waitForJob, moveToActive } = backend
  const waiting = slowedByFailures(left)
  const moving = slowedByFailures(left)
  let isWoken = false
  let inVain = 0
  backend.waitForJob = async (timeout) => {
    if (inVain > 0) await pause(vainPauses, inVain, left)
    const woken = await waiting(waitForJob.call(backend, courtesy.bound(timeout)))
    isWoken = wakesInVain && Boolean(woken)
    return woken
  }
  backend.moveToActive = async (...given) => {
    await courtesy.giveWay()
    const answer = await moving(moveToActive.apply(backend, given))
    if (answer[0]) inVain = 0
    else if (isWoken) inVain++
    isWoken = false
    return answer
  }
}

/** Gives answers as they are, and errors later: the longer, the more there were in a row. */
function slowedByFailures(left: AbortSignal): <Answer>(asked: Promise<Answer>) => Promise<Answer> {
  let failures = 0
  return async (asked) => {
    try {
      const answer = await asked
      failures = 0
      return answer
    } catch (error) {
      await pause(failurePauses, ++failures, left)
      throw error
    }
  }
}

async function pause(pauses: { first: number; longest: number }, times: number, signal: AbortSignal): Promise<void> {
  const delay = Math.min(pauses.longest, pauses.first * 2 ** (times - 1))
  await setTimeout(delay, undefined, { signal, ref: false }).catch(() => undefined)
}
