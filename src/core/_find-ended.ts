import { isEnded } from './lifecycle.js'
import type { ExecutionRecord, JobStorage } from './storage.js'

/** How many of a job's last executions to look through for one that others came after. */
const recent = 100

/** An execution as storage holds it, also when the job has been started anew since; `undefined` while it lives. */
export async function findEnded(
  storage: JobStorage,
  { type, id, executionId }: Pick<ExecutionRecord, 'type' | 'id' | 'executionId'>,
): Promise<ExecutionRecord | undefined> {
  const found = await storage.find(type, id)
  if (found?.executionId === executionId) return isEnded(found.state) ? found : undefined
  const { hits } = await storage.search({ type, id, size: recent })
  return hits.find((hit) => hit.executionId === executionId)
}
