import { sqliteTarget } from 'headgate/sqlite'
import { describe } from 'vitest'
import { checkpointRowTests } from '../target-checkpoint-row.js'
import { drivers, newFile, ownFolder } from './file-support.js'

const folder = await ownFolder()

describe.each(drivers)('a row of the table of checkpoints in SQLite, over %s', (_, Database) => {
  const { database } = newFile(folder, Database)
  checkpointRowTests({
    target: () => sqliteTarget({ database, table: 't', onFullRefresh: 'truncate' }),
    run: async (...statements) => void database.exec(statements.join(';')),
    rows: async (query) => (database.prepare(query).all() as object[]).map((row) => Object.values(row)),
    hasNoPartitions: 'a file has one writer at a time',
  })
})
