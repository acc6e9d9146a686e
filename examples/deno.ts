import { JobRegistry, memoryStorage } from 'headgate'
import { createJobsHandler } from 'headgate/http'

const registry = new JobRegistry({ storage: memoryStorage() })
registry.define({ type: 'report', id: 'daily', run: ({ progress }) => progress({ count: 1 }) })

export default { fetch: createJobsHandler(registry) }
