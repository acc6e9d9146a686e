export { EventBroadcaster } from './event-broadcaster.js'
