import { type Clock, sleep } from './clock.js'

/** The delay before a retry, in milliseconds: doubles from `first` to `longest`. */
const pauses = { first: 100, longest: 5000 }

/**
 * The delay after consecutive failures of storage, in milliseconds. Short compared to a lease, which continues for one more lease after
 * an outage.
 */
export function pauseAfter(failures: number, lease: number): number {
  return Math.round(Math.min(pauses.longest, lease / 3, pauses.first * 2 ** (failures - 1)))
}

/** Options of {@link retry}. */
export interface RetryOptions {
  readonly clock: Clock
  /** The duration of a lease, in milliseconds. */
  readonly lease: number
  /** Aborts when retrying must stop. */
  readonly abandoned: AbortSignal
  /** Whether the process may exit during a delay. Default `false`. */
  readonly background?: boolean
  /** Whether a retry after this error cannot succeed. Default: never. */
  isHopeless?(error: unknown): boolean
  /** Called for every failure, with the delay before the retry in milliseconds. */
  onFailed(error: unknown, delay: number): void
}

/** Retries until there is an answer. `undefined` when it gives up. */
export async function retry<Answer>(ask: () => Promise<Answer>, options: RetryOptions): Promise<Answer | undefined> {
  const { clock, lease, abandoned, background = false, isHopeless = () => false, onFailed: failed } = options
  for (let failures = 1; !abandoned.aborted; failures++) {
    try {
      return await ask()
    } catch (error) {
      if (isHopeless(error)) return undefined
      const pause = pauseAfter(failures, lease)
      failed(error, pause)
      await sleep(clock, pause, abandoned, { background })
    }
  }
  return undefined
}
