export { checkpointsRef } from './checkpoint-rows.js'
export { Fence } from './fence.js'
export { type LoadPlan, TableCopy, type TargetTools } from './table-copy.js'
export { checkUpsert, Upsert } from './upsert.js'
