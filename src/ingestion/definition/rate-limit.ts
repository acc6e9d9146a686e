import { checkOptions, invalid, rule } from '../../core/base/index.js'
import type { RecordBatch } from '../contract/index.js'

/** Maximum write rate per second. Fields that are not given have no limit. */
export interface RateLimit {
  /** Records per second. */
  rows?: number
  /** Bytes per second, as the datasource counts them. */
  bytes?: number
}

/** Throws `invalid_options` when the limit is not valid. */
export function checkRateLimit(limit: RateLimit): void {
  checkOptions(
    'rateLimit',
    limit,
    { rows: rule.optional(rule.whole(1)), bytes: rule.optional(rule.whole(1)) },
    'rateLimit.',
  )
  if (limit.rows === undefined && limit.bytes === undefined) {
    throw invalid('rateLimit', 'an object with `rows`, `bytes` or both', limit)
  }
}

/** Spaces batches over time: each waits for the time that earlier batches take up. */
export class RateLimiter {
  readonly limit: RateLimit
  /** When the next batch may be written. */
  #freeAt = 0
  #askedAt = 0

  constructor(limit: RateLimit) {
    this.limit = limit
  }

  /** Reserves time for a batch. Returns how long the batch must wait, in milliseconds. */
  reserve(now: number, batch: RecordBatch): number {
    // A clock that is set back moves the reservations back too.
    this.#freeAt -= Math.max(0, this.#askedAt - now)
    this.#askedAt = now
    const start = Math.max(now, this.#freeAt)
    const { rows, bytes } = this.limit
    const seconds = Math.max(rows ? batch.length / rows : 0, bytes ? batch.byteLength / bytes : 0)
    this.#freeAt = start + 1000 * seconds
    return start - now
  }
}

/** Reserves time for a batch under several limits. Returns how long the batch must wait, in milliseconds. */
export function delayOf(limiters: readonly RateLimiter[], now: number, batch: RecordBatch): number {
  return Math.max(0, ...limiters.map((limiter) => limiter.reserve(now, batch)))
}
