/** A process that opens a registry on the Postgres that it is told, and closes it so many milliseconds later: has to end by itself. */
import { createPostgresBackend } from 'bullmq'
import { JobRegistry, memoryStorage } from 'headgate'
import { bullmqDispatcher } from 'headgate/bullmq'

const [connectionString = '', delay] = process.argv.slice(2)
const connection = { connectionString, migrate: true, schema: 'opener', max: 4 }
const registry = new JobRegistry({
  storage: memoryStorage(),
  dispatcher: bullmqDispatcher({ connection, backend: createPostgresBackend, lockDuration: 1000 }),
  concurrency: { process: 3, cluster: 4 },
})
registry.define({ type: 'test', id: 'a', run: () => {} })
setTimeout(async () => {
  await registry.close()
  process.stdout.write('closed')
}, Number(delay))
