export { checkSameFields, columnsOf, isRounded } from './columns.js'
export { labelTypesOf } from './label-types.js'
export { openSession, queryFailure } from './open-session.js'
export { ReadSession, type SessionTimeouts } from './read-session.js'
