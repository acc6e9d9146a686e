import { isLive, type Job } from './jobs.js'
import type { ShownJobs } from './route.js'

/** Whether a job is among those that the overview lists under a name. */
export const isIn: Record<ShownJobs, (job: Job) => boolean> = {
  all: () => true,
  running: (job) => isLive(job) && job.status?.state !== 'queued',
  failing: (job) => job.status?.state === 'error',
  queued: (job) => job.status?.state === 'queued',
  scheduled: (job) => job.definition?.schedule !== undefined,
  paused: (job) => job.definition?.paused !== undefined,
}
