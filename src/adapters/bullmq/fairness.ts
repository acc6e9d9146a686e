import { setTimeout } from 'node:timers/promises'

/** The interval at which refused executions are offered again, at its multiples since 1970, in milliseconds. */
const interval = 300

/** How long a refusing process leaves such offers to others, in milliseconds. */
const headStart = 100

/** How long it does so after a refusal, in milliseconds. */
const memory = 5000

/** The shortest wait of an engine, in seconds. Some treat less as no limit. */
const shortestWait = 0.01

/** After this many offers, only every third interval has one, because few processes have the job. */
const soonOffers = 10

/**
 * Offers refused executions to other processes first. All workers of a queue wake at the same time when an execution
 * is due. Without this, a process that refuses it may be the fastest every time.
 */
export class Fairness {
  readonly #closing: AbortSignal
  #refusedAt = Number.NEGATIVE_INFINITY

  constructor(closing: AbortSignal) {
    this.#closing = closing
  }

  /** Records a refusal. Returns when to offer the execution again, in epoch milliseconds. */
  refuse(times: number): number {
    const now = Date.now()
    this.#refusedAt = now
    const intervals = Math.floor(now / interval) + (times < soonOffers ? 1 : 3)
    return intervals * interval
  }

  /** Resolves when this process may ask for an execution. `undefined` when it may ask at once. */
  waitForOthers(): Promise<void> | undefined {
    const past = Date.now() % interval
    return this.#isActive && past < headStart ? this.#pause(headStart - past) : undefined
  }

  /** Limits how long to wait for an execution, in seconds: not beyond the next offer, which others should get. */
  limitWait(timeout: number): number {
    const untilOffer = (interval - (Date.now() % interval)) / 1000
    return this.#isActive ? Math.min(timeout, Math.max(shortestWait, untilOffer)) : timeout
  }

  /**
   * Waits until a refused execution has been offered. By then, this process no longer waits in a way that would wake
   * others.
   */
  async untilOffer(time: number): Promise<void> {
    await this.#pause(time - Date.now() + headStart / 4)
  }

  get #isActive(): boolean {
    return Date.now() - this.#refusedAt < memory
  }

  async #pause(delay: number): Promise<void> {
    await setTimeout(Math.max(0, delay), undefined, { signal: this.#closing, ref: false }).catch(() => undefined)
  }
}
