export {
  type PostgresClient,
  type PostgresDatasourceOptions,
  type PostgresPool,
  postgresDatasource,
} from './datasource.js'
export { type PostgresQueryable, type PostgresStorageOptions, postgresStorage } from './storage.js'
export { type PostgresTargetOptions, postgresTarget, type TableName } from './target.js'
