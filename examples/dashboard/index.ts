/**
 * The dashboard over seven jobs of different fates, and a Postgres of its own: `npm run dashboard`, then
 * http://localhost:3000/dashboard/. Ctrl-C ends it, and nothing is left behind.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { JobRegistry } from 'headgate'
import { createDashboardHandler } from 'headgate/dashboard'
import { toNodeHandler } from 'headgate/http/node'
import { postgresDatasource, postgresStorage } from 'headgate/postgres'
import pg from 'pg'
import { startPostgres } from '../../test/support/postgres.js'
import { createTables, defineJobs, startJobs } from './jobs.js'

console.log('Starting a Postgres of its own …')
const postgres = await startPostgres()
const pool = new pg.Pool({ connectionString: postgres.url, max: 24 })
await createTables(pool)

const registry = new JobRegistry({
  storage: postgresStorage({ pool }),
  node: 'worker-1',
  datasources: {
    shop: postgresDatasource({ pool }),
    web: postgresDatasource({ pool }),
    warehouse: postgresDatasource({ pool }),
    legacy: postgresDatasource({ connectionString: 'postgres://reader:secret@127.0.0.1:1/legacy' }),
  },
  concurrency: { datasources: { warehouse: 1, web: 5 } },
})
defineJobs(registry, pool)

// #region serve
const handler = createDashboardHandler(registry, { title: 'Shop', allowedHosts: ['localhost', '127.0.0.1'] })
const server = createServer(toNodeHandler(handler))
server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1')
// #endregion
await once(server, 'listening')
console.log(`http://localhost:${(server.address() as AddressInfo).port}/dashboard/`)
const started = startJobs(registry)

await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
handler.endStreams()
server.close()
await registry.close()
await started.catch(() => {})
await pool.end()
await postgres.stop()
