/**
 * The states of a lease.
 *
 * ```text
 *  (granted) ──► running ──► stopping     the job was asked to stop, and still runs
 *                   │           │
 *                   ├───────────┼──► ending     the job has ended; storage receives its end
 *                   │           │      │
 *                   └───────────┴──────┴──► lost     another node may run the job
 * ```
 */
export type LeaseState = 'running' | 'stopping' | 'lost' | 'ending'

const followers: Record<LeaseState, readonly LeaseState[]> = {
  running: ['stopping', 'lost', 'ending'],
  stopping: ['lost', 'ending'],
  // A save that is under way when the job ends may find that the lease is lost.
  ending: ['lost'],
  lost: [],
}

/** Whether a lease can move from one state to another. */
export function canMove(from: LeaseState, to: LeaseState): boolean {
  return followers[from].includes(to)
}
