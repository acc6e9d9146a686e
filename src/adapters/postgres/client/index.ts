export {
  cancelUntilIdle,
  type ServerTransaction,
  terminate,
  terminateStatement,
  transactionIn,
  transactionQuery,
} from './cancel.js'
export { connectionFailure, failure, isConnectionLost, isDataError, isReadOnly, passing } from './errors.js'
export { aName, dollarQuoted, isName, quoted, quotedList, sqlOf, type TableName } from './identifiers.js'
export { connect, handleErrors, openPool, type PostgresClient, type PostgresPool, poolRule, take } from './pool.js'
export { connectionsOf } from './pool-connections.js'
export { reach } from './reach.js'
export { resultTypes } from './result-types.js'
export { liftIdleTimeout, liftTimeouts } from './settings.js'
export { type ResultRow, WriteSession } from './write-session.js'
