import { sqliteDatasource, sqliteTarget } from 'headgate/sqlite'
import { describe } from 'vitest'
import { foundEmptyTests } from '../target-found-empty.js'
import { drivers, newFile, ownFolder } from './file-support.js'

const folder = await ownFolder()

describe.each(drivers)('a table of several jobs that was emptied by hand, over %s', (_, Database) => {
  const { database } = newFile(folder, Database)
  foundEmptyTests({
    datasource: () => sqliteDatasource({ database }),
    target: () => sqliteTarget({ database, table: 't', createTable: true }),
    run: async (...statements) => void database.exec(statements.join(';')),
    rows: async (query) => (database.prepare(query).all() as object[]).map((row) => Object.values(row)),
    hasNoPartitions: 'a file has one writer at a time',
  })
})
