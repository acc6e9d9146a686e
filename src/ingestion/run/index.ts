export { checkedPartitioning, checkpointIn, flushed, openTarget } from './adapter-answers.js'
export {
  addedTo,
  type Checkpoint,
  checkSelection,
  checkSplit,
  countsBetween,
  countsSince,
  cursorPosition,
  initialCheckpoint,
  type KeptParentCheckpoint,
  type ParentCheckpoint,
  variablesOf,
  withQuery,
  withSelection,
  writtenBy,
} from './checkpoint.js'
export { IngestionRun } from './ingestion-run.js'
export { otherQueryWarning } from './other-query.js'
export { type CountStart, countRecords } from './record-count.js'
export { lookbackWarning, warnOfRepeats } from './repeated-records.js'
export { type AllocationRequest, holding, type Release } from './resource-allocator.js'
export { checkParentResumable, checkRange, checkResumable, isSamePosition } from './resumable.js'
export { measured, RunMeter } from './run-meter.js'
export {
  damagedField,
  type Holder,
  keptCheckpoint,
  keptParentCheckpoint,
  storedDetail,
  storedParentCheckpoint,
  storedPartitionCheckpoint,
  variableRules,
} from './stored-checkpoint.js'
export { checkTarget } from './target-check.js'
export { announceRefresh, removeEarlier } from './target-refresh.js'
