import { describePostgres } from '../../support/describe-postgres.js'
import { checkpointRowTests } from '../target-checkpoint-row.js'
import { targetTests } from './target-support.js'

describePostgres('a row of the table of checkpoints in Postgres', (database) => {
  const tests = targetTests(database)
  checkpointRowTests({
    target: () => tests.target({ onFullRefresh: 'truncate' }),
    run: async (...statements) => void (await tests.pool.query(statements.join(';'))),
    rows: (query) => tests.rows(query) as Promise<unknown[][]>,
    keepsJson: 'the server takes no other text',
  })
})
