import { setTimeout } from 'node:timers/promises'

/** When executions that were refused are offered again: at the multiples of this since 1970, in milliseconds. */
const interval = 300

/** How long one that refuses executions leaves what is offered then to the others, in milliseconds. */
const headStart = 100

/** How long it does so after it refused one, in milliseconds. */
const memory = 5000

/** The least that an engine can be asked to wait, in seconds: some take less for no limit. */
const shortestWait = 0.01

/** After so many offers, one is made in every third interval only: hardly anyone has such a job. */
const soonOffers = 10

/**
 * Sees to it that an execution which this process refused is offered to others. All workers of a queue wake at the same
 * moment, when it is due: without this, one that refuses may well be the fastest each time, and take it for ever.
 */
export class Courtesy {
  readonly #left: AbortSignal
  #refusedAt = Number.NEGATIVE_INFINITY

  constructor(left: AbortSignal) {
    this.#left = left
  }

  /** An execution was refused, for so many times: tells when to offer it again, in epoch milliseconds. */
  refuse(times: number): number {
    const now = Date.now()
    this.#refusedAt = now
    const intervals = Math.floor(now / interval) + (times < soonOffers ? 1 : 3)
    return intervals * interval
  }

  /** Resolves when it is polite to ask for an execution. */
  async giveWay(): Promise<void> {
    const past = Date.now() % interval
    if (this.#isActive && past < headStart) await this.#pause(headStart - past)
  }

  /** How long to wait for an execution at most, in seconds: not beyond the next offer, of which the others are to hear. */
  bound(timeout: number): number {
    const untilOffer = (interval - (Date.now() % interval)) / 1000
    return this.#isActive ? Math.min(timeout, Math.max(shortestWait, untilOffer)) : timeout
  }

  /** Waits until what was refused has been offered: by now, this process waits for nothing that would wake others. */
  async untilOffer(time: number): Promise<void> {
    await this.#pause(time - Date.now() + headStart / 4)
  }

  get #isActive(): boolean {
    return Date.now() - this.#refusedAt < memory
  }

  async #pause(delay: number): Promise<void> {
    await setTimeout(Math.max(0, delay), undefined, { signal: this.#left, ref: false }).catch(() => undefined)
  }
}
