import { mysqlDatasource } from 'headgate/mysql'
import { describeMysql } from '../../support/mysql.js'
import { foundEmptyTests } from '../target-found-empty.js'
import { mysqlTests } from './target-support.js'

describeMysql('a table of several jobs that was emptied by hand', (database) => {
  const tests = mysqlTests(database)
  foundEmptyTests({
    datasource: () => mysqlDatasource({ pool: tests.pool }),
    target: () => tests.target({ createTable: true }),
    run: (...statements) => tests.run(statements.join(';')),
    rows: (query) => tests.rows(query),
  })
})
