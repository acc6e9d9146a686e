export { EndNotifier } from './end-notifier.js'
export { OrphanRecovery } from './orphan-recovery.js'
export { RemoteEvents } from './remote-events.js'
