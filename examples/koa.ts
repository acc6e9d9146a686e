import { JobRegistry, memoryStorage } from 'headgate'
import { createJobsHandler } from 'headgate/http'
import { toKoaMiddleware } from 'headgate/http/koa'
import Koa from 'koa'

const registry = new JobRegistry({ storage: memoryStorage() })
registry.define({ type: 'report', id: 'daily', run: ({ progress }) => progress({ count: 1 }) })

const app = new Koa()
app.use(toKoaMiddleware(createJobsHandler(registry)))
const server = app.listen(Number(process.env.PORT ?? 3000), () => console.log(server.address()))
