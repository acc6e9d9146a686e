import { JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource } from 'headgate/datasource/postgres'
import { ndjsonFile } from 'headgate/target/ndjson-file'

const [connectionString = 'postgres://localhost/postgres', path = 'events.ndjson'] = process.argv.slice(2)

const registry = new JobRegistry({
  storage: memoryStorage(),
  datasources: { postgres: postgresDatasource({ connectionString }) },
})

registry.define({
  id: 'postgres-events',
  datasource: 'postgres',
  query: 'select * from events {{#last_id}}where id > {{last_id}}{{/last_id}} order by id',
  pkField: 'id',
  target: ndjsonFile({ path }),
})

registry.on('progress', ({ status }) => console.log(`${status.count} records, up to id ${status.lastId}`))

const execution = await registry.start('ingestion', 'postgres-events')
console.log(await execution.finished)
await registry.close()
