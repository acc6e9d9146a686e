import { JobRegistry, memoryStorage } from 'headgate'
import { createJobsHandler } from 'headgate/http'

const registry = new JobRegistry({ storage: memoryStorage() })
registry.define({ type: 'report', id: 'daily', run: ({ progress }) => progress({ count: 1 }) })

// Bun cuts connections that are silent for 10 seconds, unless it is told otherwise.
export default { fetch: createJobsHandler(registry), idleTimeout: 60 }
