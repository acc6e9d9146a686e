export { type MysqlDatasourceOptions, type MysqlPool, mysqlDatasource } from './datasource.js'
