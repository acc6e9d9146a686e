import { checkOptions, invalid, type Rule, rule } from '../core/options.js'
import type { JobRecord } from './batch.js'
import type { Target, TargetFunction } from './target.js'

/**
 * What becomes of records that cannot be written, or transformed: how many may be put aside, and where they go. A record
 * beyond what is allowed fails the job with the code `too_many_failures`; the next run begins with it.
 */
export interface FailurePolicy {
  /**
   * Where records go that could not be written: a target that appends, or a function. Each comes as a {@link DeadLetter}, and is
   * there before the checkpoint passes over its record. Default: nowhere: they are counted and logged.
   */
  deadLetters?: Target | TargetFunction<DeadLetter>
  /**
   * The most records of an execution that may fail; `Infinity` for any number. Default: without `deadLetters` 0; with them
   * 1,000, or any number beside `rate`.
   */
  total?: number
  /** The most records in a row that may fail, as when not they are to blame. `Infinity` for any number. Default 100. */
  consecutive?: number
  /**
   * The largest share of the execution's records that may fail, from 0 to 1. It is not judged before 1,000 records were read.
   * Default 1.
   */
  rate?: number
}

/** A record that could not be written, as it is put aside. */
export type DeadLetter = {
  /** The type of the job that read it. */
  type: string
  /** The id of that job. */
  id: string
  /** The id of the execution that read it. */
  executionId: string
  /** Tells it from all others: the same when the same record fails again, as the job went on from before it after a crash. */
  key: string
  /** When it failed, by the registry's clock: ISO 8601 in UTC. */
  time: string
  /** What failed: the `transform` of the job, or the `target`. */
  phase: 'transform' | 'target'
  /** The messages of the error and its causes, outermost first, secrets redacted. */
  error: string[]
  /** The record as it was read, with decoded values; what JSON has not is text, bytes in hexadecimal digits. */
  record: JobRecord
}

/** What a job allows, with its defaults. */
export type FailureLimits = Required<Omit<FailurePolicy, 'deadLetters'>>

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
}

/** Throws `invalid_options` for a policy that could not be kept with that target. */
export function checkFailures(policy: FailurePolicy, target: Target | TargetFunction): void {
  checkOptions('failures', policy, rules)
  const { deadLetters } = policy
  if (typeof target !== 'function' && !target.isAtomic) {
    throw invalid('failures', `absent with a target of the kind ${target.kind}, whose writes are not atomic`, policy)
  }
  if (deadLetters === undefined || typeof deadLetters === 'function') return
  if (deadLetters === target) throw invalid('deadLetters', 'another target than `target`', deadLetters)
  if (deadLetters.strategy === 'replace') {
    throw invalid('deadLetters', 'a target with the strategy `append`', deadLetters.strategy)
  }
}

/** What a policy allows. */
export function limitsOf({ deadLetters, total, consecutive = 100, rate }: FailurePolicy): FailureLimits {
  const most = deadLetters === undefined ? 0 : rate === undefined ? 1000 : Number.POSITIVE_INFINITY
  return { total: total ?? most, consecutive, rate: rate ?? 1 }
}
