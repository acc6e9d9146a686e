export { type MysqlDatasourceOptions, type MysqlPool, mysqlDatasource } from './datasource.js'
export { type MysqlTableName, type MysqlTargetOptions, mysqlTarget } from './target.js'
