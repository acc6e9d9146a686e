import { describeMysql } from '../../support/mysql.js'
import { checkpointRowTests } from '../target-checkpoint-row.js'
import { mysqlTests } from './target-support.js'

describeMysql('a row of the table of checkpoints in MySQL', (database) => {
  const tests = mysqlTests(database)
  checkpointRowTests({
    target: () => tests.target({ onFullRefresh: 'truncate' }),
    run: (...statements) => tests.run(statements.join(';')),
    rows: (query) => tests.rows(query),
  })
})
