/** A process with a registry on the Redis that it is told: closes it when its input ends, and has to end by itself. */
import { JobRegistry, memoryStorage } from 'headgate'
import { bullmqDispatcher } from 'headgate/bullmq'

const [url = '', kind] = process.argv.slice(2)
const datasources = { events: { read: async function* () {} } as never }
const registry = new JobRegistry({
  storage: memoryStorage(),
  datasources,
  dispatcher: bullmqDispatcher({ connection: url, lockDuration: 1000 }),
  ...(kind === 'limits' && { concurrency: { cluster: 2, datasources: { events: 1 } } }),
})
const schedule = { every: 100 }
registry.define({ type: 'test', id: 'a', run: () => {}, ...(kind === 'schedule' && { schedule }) })
await (await registry.start('test', 'a')).finished
process.stdout.write('ready\n')
process.stdin.resume()
process.stdin.once('end', async () => {
  const begun = Date.now()
  await registry.close()
  process.stdout.write(`closed ${Date.now() - begun}\n`)
})
