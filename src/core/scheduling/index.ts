export type { OverdueSchedule } from './scheduled-starts.js'
export { Scheduler } from './scheduler.js'
