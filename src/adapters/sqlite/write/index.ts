export { openAppendWriter, type TargetTools } from './append-writer.js'
export { Fence } from './fence.js'
export { RowWriter } from './row-writer.js'
export { tableFailure, type WriteOptions, WriteSession } from './write-session.js'
