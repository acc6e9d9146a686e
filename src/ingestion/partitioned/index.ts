export { ParentRun } from './parent-run.js'
export { ParentTotal } from './parent-total.js'
export { PartitionRun } from './partition-run.js'
