export { connect } from './connect.js'
export { type Answer, AnswerTooLong, type Connection, NoAnswer } from './connection.js'
export {
  type ConnectionOptions,
  checkConnection,
  connectionRules,
  type SearchAuth,
  type SearchClient,
  type SearchTls,
  secretsOf,
} from './connection-options.js'
export { type Failure, failureIn, failureOf, isBusy, jsonOf, refusal } from './failure.js'
export { Patience } from './retry.js'
export { countIn, objectIn, SearchServer } from './server.js'
