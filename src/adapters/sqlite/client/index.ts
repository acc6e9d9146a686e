export { FileConnection, type PreparedStatement, type ResultColumn, type StoredValue, storedOf } from './connection.js'
export {
  type DatabaseClass,
  type Driver,
  driverOf,
  loadDriver,
  type SqliteDatabase,
  type SqliteStatement,
  type SqliteValue,
} from './driver.js'
export { failure, isBusy, isConstraint, isOfRow, isReadOnly } from './errors.js'
export {
  type FileIdentity,
  type FileOptions,
  goneError,
  identityOf,
  isSameFile,
  logEndings,
  type OpenFile,
  SqliteFile,
} from './file.js'
export { quoted, quotedList } from './identifiers.js'
export { defaultLockTimeout, LockPatience } from './locks.js'
