import express from 'express'
import { JobRegistry, memoryStorage } from 'headgate'
import { createJobsHandler, type JobsRequest } from 'headgate/http'
import { toExpressMiddleware } from 'headgate/http/express'

const registry = new JobRegistry({ storage: memoryStorage() })
registry.define({ type: 'report', id: 'daily', run: ({ progress }) => progress({ count: 1 }) })

const token = process.env.JOBS_TOKEN ?? crypto.randomUUID()
const authorize = ({ headers }: JobsRequest) => headers.get('authorization') === `Bearer ${token}`
const app = express()
app.use(toExpressMiddleware(createJobsHandler(registry, { authorize })))
const server = app.listen(Number(process.env.PORT ?? 3000), () => console.log(server.address()))
