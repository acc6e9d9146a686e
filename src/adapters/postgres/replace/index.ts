export { checkSwap, openReplaceWriter } from './replace-writer.js'
export { StagingTable } from './staging-table.js'
