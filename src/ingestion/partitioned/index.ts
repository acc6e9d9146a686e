export { PartitionRun } from './partition-run.js'
export { PartitionedRun } from './partitioned-run.js'
