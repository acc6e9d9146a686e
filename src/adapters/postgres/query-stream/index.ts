export type { PostgresClient, PostgresPool } from '../client/index.js'
export { type PgQueryStreamOptions, pgQueryStreamDatasource } from './datasource.js'
