/**
 * A process that copies the table `source` into `copies` by a cursor until it is killed, and tells on standard output how
 * many records are durable: `cursor-process <url> <cursor as JSON>`. The target keeps the checkpoint.
 */
import { writeSync } from 'node:fs'
import { JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource, postgresTarget } from 'headgate/postgres'

const [connectionString = '', cursor = ''] = process.argv.slice(2)

const registry = new JobRegistry({
  storage: memoryStorage(),
  datasources: { postgres: postgresDatasource({ connectionString }) },
  progressInterval: 5,
})
registry.define({
  id: 'copy',
  datasource: 'postgres',
  query: 'select * from source',
  cursor: JSON.parse(cursor),
  pkField: 'id',
  batchSize: 7,
  target: postgresTarget({ connectionString, table: 'copies' }),
})
registry.on('progress', ({ status }) => say({ count: status.count }))
const { finished } = await registry.start('ingestion', 'copy')
const { state, count } = await finished
say({ state, count })
await registry.close()

function say(what: object): void {
  writeSync(1, `${JSON.stringify(what)}\n`)
}
