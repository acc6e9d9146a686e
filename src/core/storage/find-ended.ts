import { type ExecutionKey, type ExecutionRecord, isEnded, keyOf } from '../model/index.js'
import type { JobStorage } from './job-storage.js'

/** How many of a job's last executions to search for an earlier one. */
const recent = 100

/** An ended execution, even if the job has been started again since. `undefined` while it is live. */
export async function findEnded(storage: JobStorage, execution: ExecutionKey): Promise<ExecutionRecord | undefined> {
  const { type, id, partition, executionId } = execution
  const found = await storage.find(type, id, partition)
  if (found?.executionId === executionId) return isEnded(found.state) ? found : undefined
  const { hits } = await storage.search({ ...keyOf(execution), size: recent })
  return hits.find((hit) => hit.executionId === executionId)
}
