import { createServer } from 'node:http'
import { JobRegistry, memoryStorage } from 'headgate'
import { createJobsHandler } from 'headgate/http'
import { toNodeHandler } from 'headgate/http/node'

const registry = new JobRegistry({ storage: memoryStorage() })
registry.define({ type: 'report', id: 'daily', run: ({ progress }) => progress({ count: 1 }) })

const server = createServer(toNodeHandler(createJobsHandler(registry)))
server.listen(Number(process.env.PORT ?? 3000), () => console.log(server.address()))
