import { JobError } from '../../core/base/index.js'
import type { IngestionDetail } from '../contract/index.js'
import type { FailureLimits } from '../definition/index.js'

/** How many records are read before their rate of failures is checked. */
const rateSample = 1000

/** Counts failed records against the budgets of a job. */
export class FailureBudget {
  readonly #limits: FailureLimits
  #inARow = 0
  #first: unknown

  constructor(limits: FailureLimits) {
    this.#limits = limits
  }

  /** Whether that many more consecutive records may fail. */
  allows(failures: number, counts: IngestionDetail): boolean {
    return this.#exceeded(failures, counts) === undefined
  }

  /** Counts a failed record. Throws `too_many_failures` when it exceeds a budget. */
  take(error: unknown, counts: IngestionDetail): void {
    const limit = this.#exceeded(1, counts)
    if (limit !== undefined) throw this.#exceededBy(limit, counts, error)
    this.#inARow++
    this.#first ??= error
  }

  /** Counts a record that did not fail. */
  pass(): void {
    this.#inARow = 0
  }

  /** Throws `too_many_failures` when the rate of failures exceeds its budget. */
  judge(counts: IngestionDetail): void {
    if (this.#exceeded(0, counts) === 'rate') throw this.#exceededBy('rate', counts, undefined)
  }

  #exceeded(failures: number, { read, failed }: IngestionDetail): keyof FailureLimits | undefined {
    const { total, consecutive, rate } = this.#limits
    if (failed + failures > total) return 'total'
    if (this.#inARow + failures > consecutive) return 'consecutive'
    const isJudged = read + failures >= rateSample
    return isJudged && (failed + failures) / (read + failures) > rate ? 'rate' : undefined
  }

  #exceededBy(limit: keyof FailureLimits, { read, failed }: IngestionDetail, error: unknown): JobError {
    const allowed = `\`failures.${limit}\` allows ${this.#limits[limit]}`
    const message = `Too many records failed: ${allowed}, and ${failed} of ${read} were set aside before.`
    return new JobError('too_many_failures', message, { cause: bothOf(this.#first, error), isTransient: false })
  }
}

/** The first failure and the last one, each below a heading: neither is the cause of the other. The page of the dashboard knows both. */
function bothOf(first: unknown, last: unknown): unknown {
  if (first === undefined || last === undefined) return first ?? last
  const ended = new Error('The record that ended the run:', { cause: last })
  // Its own stack says only where the failures were counted.
  ended.stack = ''
  return new AggregateError([first, ended], 'The first record that failed:')
}
