import type { ConcurrencyLimits, DispatchWorker, ScheduledJob, WaitingExecution } from 'headgate'
import { newExecutionId, systemClock } from 'headgate'

/** A worker that remembers what a dispatcher told it, and ends every execution at once. */
export interface RecordingWorker extends DispatchWorker {
  readonly taken: WaitingExecution[]
  readonly warnings: string[]
  /** The jobs that were yielded, and when the other registry was last seen, if it is gone. */
  readonly yields: { job: ScheduledJob; lastSeen: number | undefined }[]
}

export function recordingWorker(limits: ConcurrencyLimits = {}, lease = 600): RecordingWorker {
  const taken: WaitingExecution[] = []
  const warnings: string[] = []
  const yields: RecordingWorker['yields'] = []
  return {
    limits,
    lease,
    taken,
    warnings,
    yields,
    clock: systemClock,
    take: async (waiting) => {
      taken.push(waiting)
      return true
    },
    ended: async () => true,
    yieldSchedule: (job, lastSeen) => void yields.push({ job, lastSeen }),
    warn: (error) => void warnings.push((error as Error).message),
  }
}

/** An execution of a job of that id, for the line. */
export function executionOf(id: string): WaitingExecution {
  return { type: 'test', id, executionId: newExecutionId(id, Date.now()), epoch: 1, priority: 0 }
}
