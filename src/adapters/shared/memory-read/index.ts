export { checkGiven } from './given-values.js'
export { MemoryRead, type MemoryRecords } from './memory-read.js'
