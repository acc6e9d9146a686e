export { type SqliteDatasourceOptions, sqliteDatasource } from './datasource.js'
export {
  type SqliteDatabase,
  type SqliteStatement,
  type SqliteStorageOptions,
  type SqliteValue,
  sqliteStorage,
} from './storage.js'
export { type SqliteTargetOptions, sqliteTarget } from './target.js'
