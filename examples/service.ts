/**
 * A service that copies a table to another, with jobs that survive it: the tutorial's program.
 *
 *     npx tsx examples/service.ts postgres://localhost/postgres 3000
 */
import { createServer } from 'node:http'
import { JobRegistry } from 'headgate'
import { createJobsHandler } from 'headgate/http'
import { toNodeHandler } from 'headgate/http/node'
import { postgresDatasource, postgresStorage, postgresTarget } from 'headgate/postgres'

const [connectionString = 'postgres://localhost/postgres', port = '3000'] = process.argv.slice(2)

// #region define
const registry = new JobRegistry({
  storage: postgresStorage({ connectionString }),
  datasources: { shop: postgresDatasource({ connectionString }) },
  lease: 3000, // short, so that another process notices a crash soon
})

registry.define({
  id: 'events',
  datasource: 'shop',
  query: 'select * from events',
  cursor: 'id',
  target: postgresTarget({ connectionString, table: 'events_copy', createTable: true }),
  rateLimit: { rows: 100_000 }, // slow, so that there is time to watch
  resume: 'auto',
})
// #endregion

// #region watch
registry.on('status', ({ id, status }) => {
  console.log(`${id}: ${status.state}, ${status.count} records`)
  if (status.state === 'error') console.log(status.error)
})
// #endregion

// #region ready
await registry.ready({ datasources: true, targets: true })
// #endregion

// #region serve
const handler = createJobsHandler(registry)
const server = createServer(toNodeHandler(handler))
server.listen(Number(port), '127.0.0.1', () => console.log(server.address()))
// #endregion

// #region stop
process.once('SIGTERM', async () => {
  server.close()
  handler.endStreams()
  await registry.close({ drain: 5000 }) // jobs may run on for 5 s, then they are aborted and released
})
// #endregion
