import { JobRegistry, memoryStorage } from 'headgate'
import { createJobsHandler } from 'headgate/http'

const registry = new JobRegistry({ storage: memoryStorage() })
registry.define({ type: 'report', id: 'daily', run: ({ progress }) => progress({ count: 1 }) })

const handler = createJobsHandler(registry, { basePath: '/api/jobs' })

export { handler as GET, handler as POST }
