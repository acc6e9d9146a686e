export { lastTick, nextTick } from './cron-times.js'
export {
  type ExecutionKey,
  type ExecutionRecord,
  type JobDetail,
  type JobKey,
  keyOf,
  maxLogLines,
  maxTextLength,
  type Progress,
} from './execution-record.js'
export { type FailedAttempt, type Failure, failureLimits } from './failure.js'
export { type BatchDone, checkJob, type Job, type JobContext, type ProgressUpdate, toProgress } from './job.js'
export {
  type EndedState,
  isEnded,
  isLive,
  isState,
  type JobMove,
  type JobState,
  jobStates,
  type LiveState,
  nextState,
} from './lifecycle.js'
export {
  type EndContext,
  type EndHandler,
  endHandlersOf,
  hasEndHandler,
  type Notified,
  notifiedRules,
} from './on-end.js'
export { type JobParams, keptParams, paramsRule, validParams } from './params.js'
export { maxPriority, priorityRule } from './priority.js'
export {
  backoff,
  type ResumeMode,
  type Resumption,
  type RetryPolicy,
  resumptionRules,
  retryPolicyOf,
} from './retry-policy.js'
export {
  type CronSchedule,
  type IntervalSchedule,
  nextAfter,
  type Schedule,
  type Scheduled,
  type ScheduleOptions,
  scheduleRules,
} from './schedule.js'
export {
  type AbortedStatus,
  type AbortingStatus,
  abortReasonOf,
  type BegunStatus,
  closedReason,
  type DetailByType,
  type EndedStatus,
  type FailedStatus,
  hasSameProgress,
  type JobStatus,
  type LiveStatus,
  type QueuedStatus,
  type RunningStatus,
  type StatusBase,
  type SuccessfulStatus,
  toStatus,
} from './status.js'
