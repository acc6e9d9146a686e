import { JobRegistry } from 'headgate'
import { ndjsonFile } from 'headgate/ndjson'
import { postgresDatasource, postgresStorage } from 'headgate/postgres'

const [node = '', connectionString = '', path = ''] = process.argv.slice(2)

const registry = new JobRegistry({
  storage: postgresStorage({ connectionString }),
  datasources: { postgres: postgresDatasource({ connectionString }) },
  node,
  lease: 1500,
  progressInterval: 50,
})

registry.define({
  id: 'cities',
  datasource: 'postgres',
  query: 'select * from cities {{#last_id}}where id > {{last_id}}{{/last_id}} order by id',
  pkField: 'id',
  batchSize: 50,
  target: ndjsonFile({ path }),
  resume: 'auto',
})

registry.on('running', ({ status }) => process.send?.(status.resumedFrom ? 'resumes' : 'starts'))
process.on('message', () => registry.start('ingestion', 'cities'))
process.send?.('is ready')
