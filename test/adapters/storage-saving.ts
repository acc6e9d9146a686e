/** A process that saves progress until it is killed, and tells what was saved. */
import { postgresStorage } from 'headgate/postgres'

const [connectionString = '', schema = ''] = process.argv.slice(2)
const storage = postgresStorage({ connectionString, schema })
const { execution } = await storage.begin({ type: 'test', id: 'a', state: 'running', node: 'killed', lease: 500 })
for (let count = 1; ; count++) {
  await storage.renew(execution, { lease: 500, count, lastId: `${count}`, checkpoint: { count } })
  process.send?.(count)
}
