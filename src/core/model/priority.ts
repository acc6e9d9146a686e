import { type Rule, rule } from '../base/index.js'

/** The highest absolute `priority` of a job. */
export const maxPriority = 1_000_000

/** The rule of a `priority`. */
export const priorityRule: Rule = rule.whole(-maxPriority, maxPriority)
