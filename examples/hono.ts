import { serve } from '@hono/node-server'
import { JobRegistry, memoryStorage } from 'headgate'
import { createJobsHandler } from 'headgate/http'
import { Hono } from 'hono'

const registry = new JobRegistry({ storage: memoryStorage() })
registry.define({ type: 'report', id: 'daily', run: ({ progress }) => progress({ count: 1 }) })

const handler = createJobsHandler(registry, { basePath: '/api/jobs' })
const app = new Hono().all('/api/jobs/*', ({ req }) => handler(req.raw))
serve({ fetch: app.fetch, port: Number(process.env.PORT ?? 3000) }, (address) => console.log(address))
