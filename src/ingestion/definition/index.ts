export type { SchemaIssue, SchemaResult, StandardSchema } from '../../core/base/index.js'
export { boundPlan, checkSelectedBy, selectionOf, startParamsOf } from './bound-plan.js'
export { checkPartitions } from './check-partitions.js'
export { consistencyOf } from './consistency.js'
export {
  type DeadLetter,
  type FailureLimits,
  type FailurePolicy,
  functionCapabilities,
  limitsOf,
} from './failure-policy.js'
export { hasAllFields, withFieldCount } from './field-count.js'
export { allowedRefresh, checkRefresh, pendingRefresh, refreshCheckpoint, refreshEffectOf } from './full-refresh.js'
export {
  checkIngestion,
  type IngestionJob,
  type QueryFunction,
  type QueryFunctionVariables,
  type QueryVariables,
  type TransformContext,
  type Transformed,
} from './ingestion-job.js'
export { compareKeys, type KeyKind, keyKindOf } from './key-comparison.js'
export { type IngestionPlan, needsOf, type Tolerance } from './plan.js'
export { type CompiledQuery, compileQuery, type KeyComparison } from './query-template.js'
export { checkRateLimit, delayOf, type RateLimit, RateLimiter } from './rate-limit.js'
export { isBlank, scan } from './sql-scanner.js'
export { type BatchTransform, batchTransform } from './transform.js'
export type { TransformedBatch } from './transformed-batch.js'
