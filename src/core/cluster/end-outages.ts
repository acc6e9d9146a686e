import { type Clock, jobKey } from '../base/index.js'
import type { JobName } from '../storage/index.js'

/** The delay after a failed call, in milliseconds: doubles from `first` to `longest`, of which a random part is taken off. */
const delays = { first: 1000, longest: 300_000 }

interface Outage {
  readonly job: JobName
  failures: number
  /** When the next call may begin. */
  retryAt: number
}

/** The jobs whose `onEnd` fails. Of a job's ends, one at a time is tried until it works again. */
export class EndOutages {
  readonly #clock: Clock
  readonly #outages = new Map<string, Outage>()
  /** The jobs of which an end is being tried. */
  readonly #probed = new Set<string>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Notes a failure. Returns the delay before the next call, in milliseconds. */
  begin({ type, id }: JobName): number {
    const key = jobKey({ type, id })
    const outage = this.#outages.get(key) ?? { job: { type, id }, failures: 0, retryAt: 0 }
    const now = this.#clock.now()
    // Calls that fail together count once.
    if (now < outage.retryAt) return outage.retryAt - now
    const delay = Math.min(delays.longest, delays.first * 2 ** outage.failures)
    outage.failures++
    outage.retryAt = now + Math.round(delay * (1 - Math.random() / 2))
    this.#outages.set(key, outage)
    return outage.retryAt - now
  }

  /** Notes a success. */
  end(key: string): void {
    this.#outages.delete(key)
  }

  /** The time until the next call may begin, in milliseconds. */
  delayOf(key: string): number {
    return Math.max(0, (this.#outages.get(key)?.retryAt ?? 0) - this.#clock.now())
  }

  /** The jobs whose ends cannot be tried now. */
  get jobs(): JobName[] {
    const isLater = ([key, { retryAt }]: [string, Outage]) => this.#probed.has(key) || retryAt > this.#clock.now()
    return [...this.#outages].filter(isLater).map(([, { job }]) => job)
  }

  isProbed(key: string): boolean {
    return this.#probed.has(key)
  }

  /** Reserves the next call of a job whose `onEnd` fails. Returns whether it is reserved. */
  probe(key: string): boolean {
    if (!this.#outages.has(key)) return false
    this.#probed.add(key)
    return true
  }

  release(key: string): void {
    this.#probed.delete(key)
  }
}
