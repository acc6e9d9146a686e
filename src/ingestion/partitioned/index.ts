export { ParentRun } from './parent-run.js'
export { PartitionRun } from './partition-run.js'
