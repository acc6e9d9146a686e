export {
  type Consistency,
  type Cursor,
  type CursorOptions,
  cursorOf,
  cursorRule,
  type ReadCursor,
  type ReadRange,
} from './cursor.js'
export type {
  BatchOptions,
  CountOptions,
  CursorReadOptions,
  Datasource,
  DatasourceCapabilities,
  EncodedOptions,
  GivenPositionOptions,
  Query,
  ReadOptions,
} from './datasource.js'
export {
  addedUp,
  type FailedRecord,
  type IngestionDetail,
  type IngestionSpeed,
  type IngestionStatus,
  isIngestion,
  maxFailures,
  nothingRead,
  type PartitionDetail,
  type PartitionState,
  type RefreshEffect,
} from './ingestion-detail.js'
export {
  maxPartitions,
  type Partition,
  type PartitionCounts,
  type Partitioning,
  type PartitionOptions,
  type PartitionPlan,
  partitionIn,
  partitionsRule,
  type SplitRequest,
  splitRequestOf,
} from './partitioning.js'
export type { ParallelProgress, ReadBatch } from './read-batch.js'
export {
  type Column,
  type ColumnType,
  type CustomType,
  type EncodedRows,
  type JobRecord,
  ownValue,
  RecordBatch,
  type Row,
  type TypeDefinition,
} from './record-batch.js'
export { nonRecord, nonRecordIn } from './record-rule.js'
export { checkedNeeds, type ResourceDemand, type ResourceNeed, type SharedResource } from './shared-resource.js'
export type {
  CheckpointReset,
  OpenContext,
  OpenTarget,
  Replacement,
  Target,
  TargetAbort,
  TargetCapabilities,
  TargetContext,
  TargetFunction,
  TargetFunctionContext,
  TargetResumption,
  TargetWriter,
  WriteContext,
} from './target.js'
