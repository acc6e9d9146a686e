/**
 * An ingestion that fails, goes on where it failed, and later takes what is new.
 *
 *     npx tsx examples/resume.ts postgres://localhost/postgres
 *
 * It reads the table of examples/events.sql.
 */
import { JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource } from 'headgate/postgres'

const [connectionString = 'postgres://localhost/postgres'] = process.argv.slice(2)

const registry = new JobRegistry({
  storage: memoryStorage(),
  datasources: { postgres: postgresDatasource({ connectionString }) },
})

// #region define
const warehouse = new Map<string, unknown>()
let isWarehouseDown = false

registry.define<{ id: string; kind: string }>({
  id: 'events',
  datasource: 'postgres',
  query: `
    select id, kind from events
    where id <= 1000 {{#last_id}}and id > {{last_id}}{{/last_id}}
    order by id`,
  pkField: 'id',
  batchSize: 100,
  maxRecords: 500, // at most so many in one run
  target: (batch) => {
    if (isWarehouseDown) throw new Error('The warehouse is closed.')
    for (const event of batch.records()) warehouse.set(event.id, event)
    isWarehouseDown = warehouse.size === 300
  },
})
// #endregion

// #region run
async function run() {
  const { finished } = await registry.start('ingestion', 'events')
  const { state, count, lastId } = await finished
  console.log(`${state}: ${count} records, up to id ${lastId}, ${warehouse.size} in the warehouse`)
}

await run()
// error: 300 records, up to id 300, 300 in the warehouse
isWarehouseDown = false
await run()
// successful: 500 records, up to id 800, 800 in the warehouse
await run()
// successful: 200 records, up to id 1000, 1000 in the warehouse
await run()
// successful: 0 records, up to id 1000, 1000 in the warehouse
// #endregion

await registry.close()
