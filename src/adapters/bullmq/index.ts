export { type BullmqDispatcherOptions, bullmqDispatcher } from './dispatcher.js'
