import { JobRegistry, memoryStorage } from 'headgate'
import { ndjsonFile } from 'headgate/ndjson'
import { postgresDatasource } from 'headgate/postgres'

const [connectionString = 'postgres://localhost/postgres', path = 'events.ndjson'] = process.argv.slice(2)

const registry = new JobRegistry({
  storage: memoryStorage(),
  datasources: { postgres: postgresDatasource({ connectionString }) },
})

registry.define({
  id: 'postgres-events',
  datasource: 'postgres',
  query: 'select * from events',
  cursor: 'id',
  target: ndjsonFile({ path }),
})

registry.on('progress', ({ status }) => console.log(`${status.count} records, up to id ${status.lastId}`))

const execution = await registry.start('ingestion', 'postgres-events')
console.log(await execution.finished)
await registry.close()
