export { OrphanRecovery } from './orphan-recovery.js'
export { RemoteEvents } from './remote-events.js'
