import type { WaitingExecution } from './dispatcher.js'
import type { Job } from './job.js'
import type { ExecutionRecord } from './storage.js'

/** An execution of a job, as it stands in line. */
export function waitingOf(record: ExecutionRecord, job: Job, priority = job.priority ?? 0): WaitingExecution {
  const { type, id, executionId, epoch } = record
  return { type, id, executionId, epoch, priority, ...(job.datasource !== undefined && { datasource: job.datasource }) }
}
