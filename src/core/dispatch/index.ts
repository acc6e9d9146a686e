export { checkedDispatcher } from './checked-dispatcher.js'
export {
  type AddOptions,
  type ConcurrencyLimits,
  type ConcurrencySlot,
  type Dispatcher,
  type DispatchWorker,
  dispatcherRule,
  isWaiting,
  limitsOf,
  type ScheduledJob,
  type ScheduleEngine,
  toWaitingExecution,
  type WaitingExecution,
  type WaitingPage,
} from './dispatcher.js'
export { localDispatcher } from './local-dispatcher.js'
export { Requeuer, type UnclaimedQueue } from './requeuer.js'
export { StartGate, startsAtOnce } from './start-gate.js'
