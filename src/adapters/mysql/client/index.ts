export { cancelUntilIdle } from './cancel.js'
export {
  type MysqlConnection,
  type OkPacket,
  type OwnPacket,
  type Packet,
  type PreparedColumn,
  type QueryCommand,
  queryClassOf,
  type Step,
} from './driver.js'
export { failure, isConnectionLost, isInterrupted, isOfServer, passing } from './errors.js'
export {
  aName,
  bytesLiteral,
  isName,
  literal,
  type MysqlTableName,
  parseTableName,
  quoted,
  quotedList,
  sqlOf,
} from './identifiers.js'
export { type CallbackPool, callbackPoolOf, connect, type MysqlPool, openPool } from './pool.js'
export { needOf } from './pool-connections.js'
export {
  identityQuery,
  liftLimit,
  longest,
  readSettings,
  type SessionSettings,
  settingStatements,
  settingsQueryOf,
} from './settings.js'
export { reach, runBeside } from './side-connection.js'
