import { checkOptions, type Rule, rule } from './options.js'
import { isTransient } from './transient.js'

/** What a job does by itself when it was interrupted. */
export type ResumeMode = 'auto' | 'manual' | 'restart'

/** When a job that failed for a moment is tried again. */
export interface RetryPolicy {
  /**
   * Maximum consecutive retries without progress. Resets when the job makes progress. Also the maximum number of nodes in a row
   * that may die while they run the job without progress. Default 5 with `resume: 'auto'`, else 0.
   */
  limit?: number
  /** The longest wait before the first retry, in milliseconds; doubles with each further one. Default 1,000. */
  delay?: number
  /** The longest wait of all, in milliseconds. Default 60,000. */
  maxDelay?: number
  /** Whether an error passes. Default: `isTransient`. */
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
  delay: rule.optional(rule.whole(0)),
  maxDelay: rule.optional(rule.whole(0)),
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

/** The policy of a job, with its defaults. Throws `invalid_options` for a policy that cannot be. */
export function retryPolicyOf({ resume, retry = {} }: Resumption): Required<RetryPolicy> {
  checkOptions('retry', retry, policyRules)
  const { limit = resume === 'auto' ? 5 : 0, delay = 1000, maxDelay = 60_000 } = retry
  return { limit, delay, maxDelay, isTransient: retry.isTransient ?? isTransient }
}

/**
 * How long to wait before a new try after so many failures in a row, in milliseconds: anything up to a limit that doubles
 * ("full jitter"), so that those who failed together do not come back together.
 */
export function backoff(
  failures: number,
  { delay, maxDelay }: Pick<Required<RetryPolicy>, 'delay' | 'maxDelay'>,
): number {
  return Math.round(Math.random() * Math.min(maxDelay, delay * 2 ** (failures - 1)))
}
