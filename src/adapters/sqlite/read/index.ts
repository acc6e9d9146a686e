export { type Affinity, affinityOf, columnsOf } from './columns.js'
export { bareStatement, queryFailure, ReadSession } from './read-session.js'
export { numberOf } from './values.js'
