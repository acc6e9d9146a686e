export { cancelUntilIdle } from './cancel.js'
export {
  type MysqlConnection,
  type Packet,
  type PreparedColumn,
  type QueryCommand,
  queryClassOf,
  type Step,
} from './driver.js'
export { failure, isConnectionLost, isInterrupted, isOfServer, passing } from './errors.js'
export { quoted } from './identifiers.js'
export { type CallbackPool, callbackPoolOf, connect, type MysqlPool, openPool } from './pool.js'
export { needOf } from './pool-connections.js'
export { identityQuery, liftLimit, settingStatements, settingsQuery } from './settings.js'
export { reach } from './side-connection.js'
