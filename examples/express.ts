import express from 'express'
import { JobRegistry, memoryStorage } from 'headgate'
import { createJobsHandler } from 'headgate/http'
import { toExpressMiddleware } from 'headgate/http/express'

const registry = new JobRegistry({ storage: memoryStorage() })
registry.define({ type: 'report', id: 'daily', run: ({ progress }) => progress({ count: 1 }) })

const app = express()
app.use(toExpressMiddleware(createJobsHandler(registry)))
const server = app.listen(Number(process.env.PORT ?? 3000), () => console.log(server.address()))
