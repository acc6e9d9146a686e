export { hasOtherScheme, isBegun, type KeptRows, mayHaveRows, withPartition } from './begun-partitions.js'
export { damagedKept, parseKept } from './damaged-kept.js'
export {
  countsOnRows,
  type EmptiedBy,
  emptiedByOther,
  emptiedMarkOf,
  emptiedWarning,
  markedRows,
} from './emptied-by.js'
export { isLater, keyOf, partitionKeysOf, resetSuffix } from './fence-keys.js'
export { laterExecution, ResetExecutions } from './reset-executions.js'
