export { MemoryRead, type MemoryRecords } from './memory-read.js'
