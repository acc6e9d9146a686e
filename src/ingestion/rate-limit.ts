import { checkOptions, invalid, rule } from '../core/options.js'
import type { RecordBatch } from './batch.js'

/** The most that is written per second; what is not given has no limit. */
export interface RateLimit {
  /** Records per second. */
  rows?: number
  /** Bytes per second, as the datasource counts them. */
  bytes?: number
}

/** Throws `invalid_options` for a limit that is none. */
export function checkRateLimit(limit: RateLimit): void {
  checkOptions('rateLimit', limit, { rows: rule.optional(rule.whole(1)), bytes: rule.optional(rule.whole(1)) })
  if (limit.rows === undefined && limit.bytes === undefined) {
    throw invalid('rateLimit', 'an object with `rows`, `bytes` or both', limit)
  }
}

/** Spreads batches over time: each goes when those before it have had the time that they are worth. */
export class Pace {
  readonly limit: RateLimit
  /** When the next batch may go. */
  #freeAt = 0
  #askedAt = 0

  constructor(limit: RateLimit) {
    this.limit = limit
  }

  /** Takes a batch's place in line. Gives how long it has to wait, in milliseconds. */
  reserve(now: number, batch: RecordBatch): number {
    // When the clock was put back, what was reserved goes with it.
    this.#freeAt -= Math.max(0, this.#askedAt - now)
    this.#askedAt = now
    const start = Math.max(now, this.#freeAt)
    const { rows, bytes } = this.limit
    const seconds = Math.max(rows ? batch.length / rows : 0, bytes ? batch.byteLength / bytes : 0)
    this.#freeAt = start + 1000 * seconds
    return start - now
  }
}
