export { isGeneral, isLockFailure, lostTransaction } from './refusals.js'
export type { ServerFacts } from './server-facts.js'
export { type SessionLimits, WriteSession } from './write-session.js'
