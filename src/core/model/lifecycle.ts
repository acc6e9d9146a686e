/**
 * The states of an execution and the moves between them, in one table.
 *
 * ```text
 *  (start) ─┬─────────────► running ──complete──► successful
 *           │                │  │ └────fail─────► error
 *           └─► queued ──run─┘  abort
 *                 │              ▼      complete─► successful   the work was complete before the abort
 *                 └───abort───► aborting ──stop──► aborted
 *                                       fail────► error        stopping itself failed
 * ```
 *
 * An expired lease is a `fail` that another node records: any live state moves to `error`.
 */

/** The state of an execution. A `queued` execution waits for a free slot. */
export type JobState = 'queued' | 'running' | 'aborting' | 'aborted' | 'error' | 'successful'

/** A state in which the job cannot be started again. */
export type LiveState = 'queued' | 'running' | 'aborting'

/** A final state. */
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

/** The final states. */
const endedStates: ReadonlySet<string> = new Set(['aborted', 'error', 'successful'] satisfies EndedState[])

/** Every state, in the order of the lifecycle. */
export const jobStates = Object.keys(moves) as readonly JobState[]

/** The state that `move` leads to from `state`, or `undefined` when the table has no such move. */
export function nextState(state: JobState, move: JobMove): JobState | undefined {
  return moves[state]?.[move]
}

/** Whether a status, or an execution in a state, is live, so that its job cannot be started again. Narrows the type. */
export function isLive(state: JobState): state is LiveState
export function isLive<Status extends { state: JobState }>(status: Status): status is Status & { state: LiveState }
export function isLive(given: JobState | { state: JobState }): boolean {
  return !hasEnded(given)
}

/** Whether a status, or an execution in a state, has ended. Narrows the type. */
export function isEnded(state: JobState): state is EndedState
export function isEnded<Status extends { state: JobState }>(status: Status): status is Status & { state: EndedState }
export function isEnded(given: JobState | { state: JobState }): boolean {
  return hasEnded(given)
}

function hasEnded(given: JobState | { state: JobState }): boolean {
  return endedStates.has(typeof given === 'string' ? given : given.state)
}

/** Whether a value is a state. */
export function isState(value: unknown): value is JobState {
  return typeof value === 'string' && Object.hasOwn(moves, value)
}
