import { type Clock, isTransient, pauseAfter } from '../base/index.js'
import type { Runtime } from '../runtime/index.js'

/** How many times a lease is renewed before it would expire. */
const renewals = 3

/** When a lease is renewed, when progress is saved, and when the lease expires. Every save renews the lease. */
export class LeaseTiming {
  readonly #clock: Clock
  readonly #lease: number
  readonly #progressInterval: number
  #triedAt: number
  #renewedAt: number
  /** How many consecutive saves have failed. */
  #failures = 0

  constructor({ clock, lease, progressInterval }: Runtime, grantedAt: number) {
    this.#clock = clock
    this.#lease = lease
    this.#progressInterval = progressInterval
    this.#triedAt = this.#renewedAt = grantedAt
  }

  /** Age of the last renewal, in milliseconds. */
  get age(): number {
    return this.#clock.now() - this.#renewedAt
  }

  get isExpired(): boolean {
    return this.age >= this.#lease
  }

  /** Whether the last save failed. */
  get hasFailed(): boolean {
    return this.#failures > 0
  }

  /** The delay after recent failures, in milliseconds. */
  get pause(): number {
    return this.#failures === 0 ? 0 : pauseAfter(this.#failures, this.#lease)
  }

  /** Whether reported progress is to be saved now. */
  get isSaveDue(): boolean {
    return this.#clock.now() - this.#triedAt >= this.#saveInterval
  }

  /** Whether the lease is to be renewed now. */
  get isRenewalDue(): boolean {
    return this.#clock.now() - this.#triedAt >= this.#renewalInterval
  }

  /** How long until the next save, renewal or expiry, in milliseconds. */
  get untilNext(): number {
    const now = this.#clock.now()
    const times = [now + (this.#saveInterval || this.#renewalInterval), this.#triedAt + this.#renewalInterval]
    return Math.max(1, Math.min(this.#renewedAt + this.#lease, ...times.filter((time) => time > now)) - now)
  }

  /** Tells whether an error that is not transient still occurs after so many leases from now. */
  lastsFor(leases: number): (error: unknown) => boolean {
    const from = this.#clock.now()
    return (error) => this.#clock.now() - from >= leases * this.#lease && !isTransient(error)
  }

  /** Starts a try to save. Returns its time. */
  try(): number {
    this.#triedAt = this.#clock.now()
    return this.#triedAt
  }

  succeed(triedAt: number): void {
    this.#failures = 0
    this.#renewedAt = triedAt
  }

  fail(): void {
    this.#failures++
  }

  /** After the clock was set back, its earlier times are invalid: the lease is renewed at once. */
  checkClock(): void {
    const now = this.#clock.now()
    if (now >= this.#triedAt) return
    this.#triedAt = Number.NEGATIVE_INFINITY
    this.#renewedAt = Math.min(this.#renewedAt, now)
  }

  get #renewalInterval(): number {
    return this.hasFailed ? this.pause : this.#lease / renewals
  }

  get #saveInterval(): number {
    return Math.max(this.#progressInterval, this.pause)
  }
}
