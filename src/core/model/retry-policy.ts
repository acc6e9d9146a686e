import { checkedAnswer, checkOptions, isTransient, type Rule, rule } from '../base/index.js'

/** What happens after an execution was interrupted. */
export type ResumeMode = 'auto' | 'manual' | 'restart'

/** When an execution retries after a transient error. */
export interface RetryPolicy {
  /**
   * Maximum consecutive retries without progress. Resets when the job makes progress. Also the maximum number of nodes in a row
   * that may die while they run the job without progress. Default 5 with `resume: 'auto'`, else 0.
   */
  limit?: number
  /** Maximum delay before the first retry, in milliseconds. Doubles with each further retry. Default 1,000. */
  delay?: number
  /** Upper limit of the delay between retries, in milliseconds. Default 60,000. */
  maxDelay?: number
  /** Whether an error is transient. Default: `isTransient`. */
  isTransient?: (error: unknown) => boolean
}

/** Automatic resume and retry. */
export interface Resumption {
  /**
   * What happens after an execution was interrupted. `manual`, the default: the next start resumes from its checkpoint.
   * `auto`: any registry that has the job defined resumes it when its node died or was closed, and transient errors are
   * retried. `restart`: every start begins from the beginning.
   */
  resume?: ResumeMode
  /** When the same execution retries after a transient error. Default: see {@link RetryPolicy}. */
  retry?: RetryPolicy
}

const policyRules: Record<keyof RetryPolicy, Rule> = {
  limit: rule.optional(rule.whole(0)),
  delay: rule.optional(rule.milliseconds(0)),
  maxDelay: rule.optional(rule.milliseconds(0)),
  isTransient: rule.optional(rule.aFunction),
}

/** The rules of {@link Resumption}. */
export const resumptionRules: Record<keyof Resumption, Rule> = {
  resume: rule.optional(rule.oneOf('auto', 'manual', 'restart')),
  retry: rule.optional({
    accepts: (value) => typeof value === 'object' && value !== null,
    expected: 'an object',
  }),
}

/** The policy of a job, with defaults. Throws `invalid_options` when the policy is not valid. */
export function retryPolicyOf({ resume, retry = {} }: Resumption): Required<RetryPolicy> {
  checkOptions('retry', retry, policyRules, 'retry.')
  const { limit = resume === 'auto' ? 5 : 0, delay = 1000, maxDelay = 60_000 } = retry
  const own = retry.isTransient
  const test = (error: unknown) =>
    checkedAnswer<boolean>('invalid_options', '`retry.isTransient`', rule.flag, own?.(error))
  return { limit, delay, maxDelay, isTransient: own ? test : isTransient }
}

/**
 * The delay before the next retry, in milliseconds: random, up to a limit that doubles with each failure ("full jitter"). So
 * clients that failed together do not retry together.
 */
export function backoff(
  failures: number,
  { delay, maxDelay }: Pick<Required<RetryPolicy>, 'delay' | 'maxDelay'>,
): number {
  return Math.round(Math.random() * Math.min(maxDelay, delay * 2 ** (failures - 1)))
}
