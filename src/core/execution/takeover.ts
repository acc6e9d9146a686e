import { type ExecutionRecord, keyOf, retryPolicyOf } from '../model/index.js'
import { type BeginRequest, findEnded, type JobStorage } from '../storage/index.js'
import type { LibraryJob } from './partitions.js'

/** How many executions of a job to search at once for the one that has resumed an orphan. */
const page = 100

/** The orphan that an execution resumes. */
export type Takeover = Required<Pick<BeginRequest, 'resumedFrom' | 'takeovers'>>

/**
 * How to resume an orphan. Counts one more lost node in a row, unless the job made progress, or the node closed, which no job
 * causes. Progress is a checkpoint other than that of the execution before. Where the log no longer has that one, any count is.
 */
export async function takeoverOf(storage: JobStorage, job: LibraryJob, orphan: ExecutionRecord): Promise<Takeover> {
  const { executionId: resumedFrom, takeovers = 0 } = orphan
  const hasProgressed = mayHaveProgressed(orphan) && (await hasMoved(storage, job, orphan))
  return { resumedFrom, takeovers: hasProgressed ? 0 : takeovers + lostBy(orphan) }
}

/** Whether a registry resumes the last execution of a job automatically. */
export function canTakeOver(job: LibraryJob, last: ExecutionRecord): boolean {
  if (!last.isOrphaned || job.resume !== 'auto') return false
  return isWithin(retryPolicyOf(job).limit, last)
}

/** Whether so few nodes in a row were lost that an orphan may be resumed, as far as the orphan itself tells. */
export function isWithin(limit: number, orphan: ExecutionRecord): boolean {
  const { takeovers = 0 } = orphan
  return takeovers + (mayHaveProgressed(orphan) ? 0 : lostBy(orphan)) <= limit
}

/**
 * Whether an execution has resumed an orphan that is not the job's last one any more. A newer execution may be an ordinary start. The
 * log keeps the answer for as long as the orphan.
 */
export async function isResumed(storage: JobStorage, orphan: ExecutionRecord, last: ExecutionRecord): Promise<boolean> {
  const { executionId } = orphan
  let newer = [last]
  for (;;) {
    if (newer.some(({ resumedFrom }) => resumedFrom === executionId)) return true
    const searchAfter = newer.at(-1)?.executionId
    if (searchAfter === undefined || newer.some((execution) => execution.executionId === executionId)) return false
    newer = (await storage.search({ ...keyOf(orphan), searchAfter, size: page })).hits
  }
}

function mayHaveProgressed({ count, checkpoint }: ExecutionRecord): boolean {
  return count > 0 && checkpoint !== undefined
}

function lostBy({ state }: ExecutionRecord): number {
  return state === 'error' ? 1 : 0
}

async function hasMoved(storage: JobStorage, job: LibraryJob, orphan: ExecutionRecord): Promise<boolean> {
  const { resumedFrom, checkpoint } = orphan
  // The partitions move, rather than the checkpoint of their parent. A count of new records cannot grow without the checkpoint.
  if (resumedFrom === undefined || job.makePartition || (job.distanceOf && !job.repeatsRecords)) return true
  const before = await findEnded(storage, { ...orphan, executionId: resumedFrom })
  if (!before) return true
  if (job.distanceOf) return job.distanceOf(checkpoint) > job.distanceOf(before.checkpoint)
  return JSON.stringify(checkpoint) !== JSON.stringify(before.checkpoint)
}
