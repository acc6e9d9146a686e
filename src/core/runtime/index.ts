export type { Runtime, RuntimeEvents } from './runtime.js'
