export { type BatchEvent, type BatchListener, BatchListeners } from './batch-listeners.js'
export {
  emitChange,
  IsolatedEmitter,
  type JobEvent,
  type JobEventName,
  type JobEvents,
  type JobListener,
  jobEventNames,
} from './emitter.js'
