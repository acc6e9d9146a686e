export { openReplaceWriter } from './replace-writer.js'
export { StagingTable } from './staging-table.js'
export { type SwapName, swapOf } from './swaps.js'
