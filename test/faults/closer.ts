import { createServer } from 'node:net'
import { JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource, postgresStorage } from 'headgate/postgres'

/** Closes a registry whose server answers nothing, and says when that was done: nothing may then keep the process alive. */
const [what] = process.argv.slice(2)
const server = createServer((socket) => void socket.on('error', () => undefined).unref()).unref()
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
const { port } = server.address() as { port: number }
const connectionString = `postgres://user@127.0.0.1:${port}/none`

const registry = new JobRegistry({
  storage: what === 'storage' ? postgresStorage({ connectionString }) : memoryStorage(),
  logger: { debug() {}, info() {}, warn() {}, error() {} },
})
if (what === 'storage') registry.status('ingestion', 'job').catch(() => undefined)
else {
  const datasource = postgresDatasource({ connectionString })
  registry.define({ id: 'job', datasource, query: 'select 1 as id', target: () => {} })
  await registry.start('ingestion', 'job')
}
await new Promise((resolve) => setTimeout(resolve, 300))
await registry.close({ timeout: 500 })
const closedAt = performance.now()
process.on('exit', () => console.log(Math.round(performance.now() - closedAt)))
