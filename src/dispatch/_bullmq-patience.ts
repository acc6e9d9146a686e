import { setTimeout } from 'node:timers/promises'

/** How BullMQ makes what a queue, or a worker, asks its engine with. */
export type BackendFactory = (...options: never[]) => unknown

/** What a worker asks. */
interface Backend {
  /** Waits for an execution in line. */
  waitForJob(timeout: number): Promise<unknown>
  /** Gives the data of the execution whose turn it is, as the first of several. */
  moveToActive(...options: unknown[]): Promise<readonly unknown[]>
}

/** How long a worker waits that was woken for nothing, in milliseconds: doubles from the first to the longest. */
const pauses = { first: 100, longest: 1000 }

/**
 * In Postgres, BullMQ wakes workers also for what the limit of the line keeps from its turn, at once and again and again.
 * This lets them wait between, so that a limit that is reached costs no more than a look now and then; also after errors.
 */
export function patient(factory: BackendFactory, left: AbortSignal): BackendFactory {
  return (...options) => {
    const backend = factory(...options) as Backend
    const { waitForJob, moveToActive } = backend
    let isWoken = false
    let inVain = 0
    // The worker asks again at once: where that fails at once too, as with a pool that was ended, nothing else would run.
    const failed = async (error: unknown, times: number): Promise<never> => {
      await pause(times, left)
      throw error
    }
    backend.waitForJob = async (timeout) => {
      if (inVain > 0) await pause(inVain, left)
      const woken = await waitForJob.call(backend, timeout)
      isWoken = Boolean(woken)
      return woken
    }
    backend.moveToActive = async (...given) => {
      const answer = await moveToActive.apply(backend, given).catch((error) => failed(error, ++inVain))
      if (answer[0]) inVain = 0
      else if (isWoken) inVain++
      isWoken = false
      return answer
    }
    return backend
  }
}

async function pause(times: number, signal: AbortSignal): Promise<void> {
  const delay = Math.min(pauses.longest, pauses.first * 2 ** (times - 1))
  await setTimeout(delay, undefined, { signal }).catch(() => undefined)
}
