import { sqliteTarget } from 'headgate/sqlite'
import { describe } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'
import { describeMysql } from '../support/mysql.js'
import { mysqlTests } from './mysql/target-support.js'
import { targetTests } from './postgres/target-support.js'
import { drivers, newFile, ownFolder } from './sqlite/file-support.js'
import { unmetColumnsTests } from './unmet-columns.js'

const create = 'create table t (id int, name varchar(10))'
const optional = (columns?: Readonly<Record<string, string>>) => (columns ? { columns } : {})

describePostgres('columns that no record has, in Postgres', (database) => {
  const tests = targetTests(database)
  unmetColumnsTests({
    target: (columns) => tests.target(optional(columns)),
    create: async () => void (await tests.pool.query(`drop table if exists t; ${create}`)),
  })
})

describeMysql('columns that no record has, in MySQL', (database) => {
  const tests = mysqlTests(database)
  unmetColumnsTests({
    target: (columns) => tests.target(optional(columns)),
    create: () => tests.run(`drop table if exists t; ${create}`),
  })
})

const folder = await ownFolder()
const [[, Database]] = drivers as [(typeof drivers)[number]]

describe('columns that no record has, in SQLite', () => {
  const { database } = newFile(folder, Database)
  unmetColumnsTests({
    target: (columns) => sqliteTarget({ database, table: 't', ...optional(columns) }),
    create: async () => void database.exec(`drop table if exists t; ${create}`),
  })
})
