import { checkOptions, invalid, type Rule, rule } from '../../core/base/index.js'
import type { JobRecord, Target, TargetCapabilities, TargetFunction } from '../contract/index.js'

/**
 * What happens to records that are not valid, or cannot be transformed or written: how many may be set aside, and where they go. A record beyond the
 * budgets fails the job with the code `too_many_failures`. The next run begins with it.
 */
export interface FailurePolicy {
  /**
   * Where failed records go: a target that appends, or a function. Each is written as a {@link DeadLetter}, before the checkpoint
   * passes its record. Default: nowhere. Failed records are then counted and logged.
   */
  deadLetters?: Target | Target<DeadLetter> | TargetFunction<DeadLetter>
  /**
   * Maximum number of failed records per execution; `Infinity` for no limit. Default: 0 without `deadLetters`; with them 1,000, or
   * no limit if `rate` is set.
   */
  total?: number
  /** Maximum number of consecutive failed records. More suggest that the records are not the cause. Default 100. */
  consecutive?: number
  /**
   * Maximum share of failed records in an execution, from 0 to 1. Not applied before 1,000 records were read. Default 1.
   */
  rate?: number
  /**
   * Whether `latestFailures` of the status shows the failed records too, secrets redacted, up to about 2,000 characters of each. Whoever may
   * read statuses then reads data of the source. Default `false`: it shows their keys and errors.
   */
  showRecords?: boolean
}

/** A failed record, as it is set aside. */
export type DeadLetter = {
  /** The type of the job that read the record. */
  type: string
  /** The id of that job. */
  id: string
  /** The id of the execution that read the record. */
  executionId: string
  /** Unique per failed record. The same when the record fails again after a crash and a resume. */
  key: string
  /** When the record failed, by the registry's clock: ISO 8601 in UTC. */
  time: string
  /** What failed: the `schema` or the `transform` of the job, or the `target`. */
  phase: 'schema' | 'transform' | 'target'
  /** The messages of the error and its causes, outermost first, secrets redacted. */
  error: string[]
  /** The record as it was read, with decoded values. Values that JSON lacks are text, bytes are hexadecimal digits. */
  record: JobRecord
}

/** The budgets of a job, with defaults. */
export type FailureLimits = Required<Pick<FailurePolicy, 'total' | 'consecutive' | 'rate'>>

const count: Rule = {
  accepts: (value) => value === Number.POSITIVE_INFINITY || rule.whole(0).accepts(value),
  expected: 'a whole number from 0 up, or Infinity',
}

const rules: Record<keyof FailurePolicy, Rule> = {
  deadLetters: {
    accepts: (value) => rule.aFunction.accepts(value) || rule.having('open').accepts(value),
    expected: 'a function, or an object with the method `open`',
    optional: true,
  },
  total: rule.optional(count),
  consecutive: rule.optional(count),
  rate: rule.optional(rule.share),
  showRecords: rule.optional(rule.flag),
}

/** A function must tolerate repeated records, as its delivery is at least once. */
export const functionCapabilities: TargetCapabilities = { writesIdempotently: true }

/** Throws `invalid_options` for a policy that is not valid with that target. */
export function checkFailures(policy: FailurePolicy, target: Target | TargetFunction): void {
  checkOptions('failures', policy, rules, 'failures.')
  const { deadLetters } = policy
  const { writesAtomically, writesIdempotently } =
    typeof target === 'function' ? functionCapabilities : (target.capabilities ?? {})
  if (!writesAtomically && !writesIdempotently) {
    const why = 'whose writes are neither atomic nor idempotent'
    throw invalid('failures', `omitted with a target of the kind ${(target as Target).kind}, ${why}`, policy)
  }
  if (deadLetters === undefined || typeof deadLetters === 'function') return
  if (deadLetters === target) throw invalid('failures.deadLetters', 'another target than `target`', deadLetters)
  if (deadLetters.strategy === 'replace') {
    throw invalid('failures.deadLetters', 'a target with the strategy `append`', deadLetters.strategy)
  }
}

export function limitsOf({ deadLetters, total, consecutive = 100, rate }: FailurePolicy): FailureLimits {
  const most = deadLetters === undefined ? 0 : rate === undefined ? 1000 : Number.POSITIVE_INFINITY
  return { total: total ?? most, consecutive, rate: rate ?? 1 }
}
