export { createAbortController } from './core/abort.js'
export type { BatchDone, BatchEvent, BatchListener } from './core/batches.js'
export { type Clock, succeedsWithin, systemClock, type Timer } from './core/clock.js'
export type {
  ConcurrencyLimits,
  Dispatcher,
  DispatchWorker,
  ScheduledJob,
  Slot,
  WaitingExecution,
  WaitingPage,
} from './core/dispatcher.js'
export {
  errorMessages,
  JobError,
  type JobErrorCode,
  type JobErrorOptions,
  jobErrorCodes,
} from './core/errors.js'
export { type JobEvent, type JobEventName, type JobEvents, type JobListener, jobEventNames } from './core/events.js'
export type { StartedExecution } from './core/execution.js'
export type { HealthOptions, RegistryHealth, StorageHealth } from './core/health.js'
export { executionOrder, newExecutionId } from './core/ids.js'
export type { Job, JobContext, ProgressUpdate } from './core/job.js'
export {
  type EndedState,
  isEnded,
  isLive,
  type JobMove,
  type JobState,
  jobStates,
  type LiveState,
  nextState,
} from './core/lifecycle.js'
export { localDispatcher } from './core/local-dispatcher.js'
export type { Logger } from './core/logger.js'
export { checkOptions, checkValue, invalid, type Rule, rule } from './core/options.js'
export { commonRedactor, Redactor, redact } from './core/redact.js'
export type {
  AbortOptions,
  CloseOptions,
  ListenOptions,
  RegistryOptions,
  StartOptions,
  WaitingOptions,
} from './core/registry-options.js'
export type { ResumeMode, Resumption, RetryPolicy } from './core/retry-policy.js'
export { nextTick, type Schedule, type Scheduled } from './core/schedule.js'
export type {
  AbortedStatus,
  AbortingStatus,
  BegunStatus,
  EndedStatus,
  FailedStatus,
  JobStatus,
  LiveStatus,
  QueuedStatus,
  RunningStatus,
  StatusBase,
  SuccessfulStatus,
} from './core/status.js'
export {
  type BeginRequest,
  type BeginResult,
  type ExecutionRecord,
  type FinishRequest,
  type JobDetail,
  type JobStorage,
  type Lease,
  leaseExpired,
  mayBegin,
  type Progress,
  type SaveRequest,
  type SearchFilter,
  type SearchResult,
  type StorageChange,
  waitingLease,
} from './core/storage.js'
export { isTransient } from './core/transient.js'
export {
  type Column,
  type ColumnType,
  type EncodedRows,
  type JobRecord,
  RecordBatch,
  type Row,
} from './ingestion/batch.js'
export type { Consistency, CursorOptions, ReadCursor, ReadRange } from './ingestion/cursor.js'
export type { Datasource, EncodedOptions, Query, ReadOptions } from './ingestion/datasource.js'
export type { IngestionDetail } from './ingestion/detail.js'
export type { DeadLetter, FailurePolicy } from './ingestion/failures.js'
export type {
  IngestionJob,
  QueryFunction,
  QueryVariables,
  TransformContext,
  Transformed,
} from './ingestion/job.js'
export type { Cuts, Partitioning, PartitionOptions } from './ingestion/partitions.js'
export type { RateLimit } from './ingestion/rate-limit.js'
export type { ResourceNeed, SharedResource } from './ingestion/resources.js'
export type {
  OpenContext,
  Target,
  TargetContext,
  TargetFunction,
  TargetWriter,
  WriteContext,
} from './ingestion/target.js'
export { JobRegistry, type JobRegistryOptions } from './registry.js'
export { type MemoryStorageOptions, memoryStorage } from './storage/memory.js'
