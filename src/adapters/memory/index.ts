export { type MemoryStorageOptions, memoryStorage } from './storage.js'
