/** A process that watches a storage and has nothing else to do: it ends by itself. */
import { postgresStorage } from 'headgate/postgres'

const [connectionString = '', schema = ''] = process.argv.slice(2)
const storage = postgresStorage({ connectionString, schema })
storage.watch?.(() => undefined)
const { execution } = await storage.begin({ type: 'test', id: 'a', state: 'running', node: 'n', lease: 60_000 })
await storage.finish(execution, { state: 'successful' })
// Until it listens.
await new Promise((resolve) => setTimeout(resolve, 500))
// The channel to the parent is no part of this.
process.disconnect?.()
