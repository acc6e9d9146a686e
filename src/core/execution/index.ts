export { CompletionWaiter } from './completion-waiter.js'
export type { ExecutionHealth, StartedExecution } from './execution.js'
export { ExecutionQueue } from './execution-queue.js'
export { restoredError } from './failure.js'
export { JobCatalog, notDefined } from './job-catalog.js'
export { LocalExecutions } from './local-executions.js'
export { PartitionEvents } from './partition-handle.js'
export {
  checkParams,
  checkScheduledParams,
  type ExecutionContext,
  type LibraryJob,
  type Partitions,
  publicJobOf,
  statusOf,
  type TargetReset,
} from './partitions.js'
export { PausedJobs } from './paused-jobs.js'
export { Runner } from './runner.js'
export { canTakeOver, isResumed, isWithin } from './takeover.js'
