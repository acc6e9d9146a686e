import type { ConcurrencyLimits, WaitingExecution } from 'headgate'
import { type DispatchWorker, newExecutionId, systemClock } from 'headgate/adapter'

/** A worker that remembers what a dispatcher told it, and ends every execution at once. */
export interface RecordingWorker extends DispatchWorker {
  readonly taken: WaitingExecution[]
  readonly warnings: string[]
}

export function recordingWorker(limits: ConcurrencyLimits = {}, lease = 600): RecordingWorker {
  const taken: WaitingExecution[] = []
  const warnings: string[] = []
  return {
    limits,
    lease,
    taken,
    warnings,
    clock: systemClock,
    run: async (waiting) => {
      taken.push(waiting)
      return true
    },
    whenEnded: async () => true,
    hasLiveBefore: async () => false,
    warn: (error) => void warnings.push((error as Error).message),
  }
}

/** An execution of a job of that id, for the line. */
export function executionOf(id: string): WaitingExecution {
  return { type: 'test', id, executionId: newExecutionId(id, Date.now()), epoch: 1, priority: 0 }
}
