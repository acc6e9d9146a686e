/** A process that copies a table between Postgres and SQLite, and says so when it has begun: `copier <direction> <url> <path>`. */
import { JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource, postgresTarget } from 'headgate/postgres'
import { sqliteDatasource, sqliteTarget } from 'headgate/sqlite'

const [direction = '', url = '', path = '', mode = 'insert'] = process.argv.slice(2)
const fromSqlite = direction === 'from-sqlite'
const shape = mode === 'upsert' ? ({ mode: 'upsert', key: 'id' } as const) : {}
const options = { table: 'copy', createTable: true, ...shape }

const registry = new JobRegistry({
  progressInterval: 5,
  storage: memoryStorage(),
  datasources: {
    source: fromSqlite ? sqliteDatasource({ path }) : postgresDatasource({ connectionString: url }),
  },
})
registry.define({
  id: 'copy',
  datasource: 'source',
  query: 'select * from source',
  cursor: fromSqlite ? { columns: 'id', consistency: 'pages' } : 'id',
  batchSize: 100,
  target: fromSqlite ? postgresTarget({ connectionString: url, ...options }) : sqliteTarget({ path, ...options }),
})
registry.on('progress', () => process.stdout.write('.'))
const execution = await registry.start('ingestion', 'copy')
const status = await execution.finished
process.stdout.write(`${status.state} ${status.state === 'error' ? JSON.stringify(status.error) : ''}`)
await registry.close()
