import fastify from 'fastify'
import { JobRegistry, memoryStorage } from 'headgate'
import { createJobsHandler } from 'headgate/http'
import { toFastifyPlugin } from 'headgate/http/fastify'

const registry = new JobRegistry({ storage: memoryStorage() })
registry.define({ type: 'report', id: 'daily', run: ({ progress }) => progress({ count: 1 }) })

const app = fastify()
app.register(toFastifyPlugin(createJobsHandler(registry)))
await app.listen({ port: Number(process.env.PORT ?? 3000) })
console.log(app.server.address())
