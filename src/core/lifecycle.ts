/**
 * The life of an execution, in one table.
 *
 * ```text
 *  (start) ─┬─────────────► running ──complete──► successful
 *           │                │  │ └────fail─────► error
 *           └─► queued ──run─┘  abort
 *                 │              ▼      complete─► successful   all was done when the abort came
 *                 └───abort───► aborting ──stop──► aborted
 *                                       fail────► error        stopping itself failed
 * ```
 *
 * A lost lease is a `fail` that somebody else reports: any live state moves to `error`.
 */

/** The state of an execution. `queued` is headgate's own: it waits for a free slot. */
export type JobState = 'queued' | 'running' | 'aborting' | 'aborted' | 'error' | 'successful'

/** A state in which an execution still holds its job. */
export type LiveState = 'queued' | 'running' | 'aborting'

/** A state that an execution never leaves. */
export type EndedState = 'aborted' | 'error' | 'successful'

/** What can happen to an execution. */
export type JobMove = 'run' | 'abort' | 'complete' | 'stop' | 'fail'

const moves: Record<JobState, Partial<Record<JobMove, JobState>>> = {
  queued: { run: 'running', abort: 'aborting', fail: 'error' },
  running: { complete: 'successful', stop: 'successful', fail: 'error', abort: 'aborting' },
  aborting: { complete: 'successful', stop: 'aborted', fail: 'error', abort: 'aborting' },
  aborted: {},
  error: {},
  successful: {},
}

/** The states that no move leads out of. */
const endedStates: ReadonlySet<string> = new Set(['aborted', 'error', 'successful'] satisfies EndedState[])

/** Every state, in the order of life. */
export const jobStates = Object.keys(moves) as readonly JobState[]

/** The state that `move` leads to from `state`, or `undefined` when the table has no such move. */
export function nextState(state: JobState, move: JobMove): JobState | undefined {
  return moves[state]?.[move]
}

/** Whether an execution in `state` still holds its job. */
export function isLive(state: JobState): state is LiveState {
  return !isEnded(state)
}

/** Whether an execution in `state` has ended for good. */
export function isEnded(state: JobState): state is EndedState {
  return endedStates.has(state)
}

/** Whether a value is a state. */
export function isState(value: unknown): value is JobState {
  return typeof value === 'string' && Object.hasOwn(moves, value)
}
