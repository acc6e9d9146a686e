import { type EndedState, isEnded, type JobState } from './lifecycle.js'

/** What a job says of an execution beside its progress: a JSON object that only the job and its users understand. */
export type JobDetail = Record<string, unknown>

/** What storage keeps of one execution. */
export interface ExecutionRecord {
  /** The job's type. */
  type: string
  /** The job's id. */
  id: string
  /** The id in the log: the job's id followed by a UUID that orders the log. */
  executionId: string
  /** Where it is in its life. */
  state: JobState
  /** Counts the executions of the job; a higher epoch fences all lower ones off. */
  epoch: number
  /** The name of the registry instance that runs it: empty while it waits for any that takes it. */
  node: string
  /** When it was accepted and, once it runs, when it began to run: epoch milliseconds of the storage's clock. */
  startTime: number
  /** When it ended. Set in ended states only. */
  endTime?: number
  /** Until when its lease holds, epoch milliseconds of the storage's clock. Means nothing once it has ended. */
  leaseUntil: number
  /** Records processed so far. */
  count: number
  /** The last known value of the primary key column. */
  lastId?: string
  /** Where the next execution goes on: a JSON value that only the job understands. */
  checkpoint?: unknown
  /** What the job says of the execution beside its progress: a JSON object. */
  detail?: JobDetail
  /** The messages of the error and its causes, outermost first. Set in state `error` only. */
  error?: string[]
  /** Set when it ended for want of its node, which died or was closed: another node may go on with the job. */
  isOrphaned?: true
  /** The id of the orphan that it goes on from. */
  resumedFrom?: string
  /** How many nodes in a row were lost before the job came on, beside `resumedFrom`: what bounds going on. */
  takeovers?: number
  /** The last time of the job's schedule that an execution was begun for, this one or one before it: epoch milliseconds. */
  scheduledFor?: number
}

/** The right to write to an execution: what fences a writer that was taken for dead. */
export interface Lease {
  /** The execution. */
  executionId: string
  /** The epoch that `begin` gave it. */
  epoch: number
}

/** What `begin` needs to know. */
export interface BeginRequest {
  /** The job's type. */
  type: string
  /** The job's id. */
  id: string
  /** The state to begin in: `queued` when no slot is free. */
  state: 'queued' | 'running'
  /** The name of the registry instance that asks: empty for an execution that is to wait for any that takes it. */
  node: string
  /** How long the lease holds until it is renewed, in milliseconds. */
  lease: number
  /** The orphan to go on from: the execution starts only if that one is an orphan and still the job's last execution. */
  resumedFrom?: string
  /** What is kept as the execution's `takeovers`, beside `resumedFrom`. */
  takeovers?: number
  /** The time of the job's schedule that it is for, epoch milliseconds: it starts only if none was begun for that or later. */
  scheduledFor?: number
}

/** What `begin` answers. */
export interface BeginResult {
  /** Whether the execution was started; `false` when the job has a live one, or has moved on from the orphan. */
  started: boolean
  /** The execution that was started, or the one that stood in its way: the live or last one. */
  execution: ExecutionRecord
}

/** How far an execution has come. */
export interface Progress {
  /** Records processed so far. */
  count?: number
  /** The last known value of the primary key column. */
  lastId?: string
  /** Where the next execution goes on, a JSON value; `null` for from the start. */
  checkpoint?: unknown
  /** What the job says of the execution beside its progress: a JSON object, which takes the place of the one before. */
  detail?: JobDetail
}

/** What `save` writes: how far the execution has come, and the renewed lease. */
export interface SaveRequest extends Progress {
  /** How long the lease holds from now on, in milliseconds. */
  lease: number
  /** Set when a queued execution begins to run: state and start time change with it. */
  state?: 'running'
  /** The name of the registry instance that takes an execution of no node: it gets that node, and the next epoch. */
  node?: string
}

/** How an execution ended, and how far it had come. */
export interface FinishRequest extends Progress {
  /** The state that it ended in. */
  state: EndedState
  /** The messages of the error, in state `error`. */
  error?: string[]
  /** Set when it ends for want of its node: it becomes an orphan, unless an abort was asked for. */
  isOrphaned?: true
}

/** Which executions of the log to find. Without `state`, the ended ones. */
export interface SearchFilter {
  /** Keeps executions of that job type. */
  type?: string
  /** Keeps executions of that job id. */
  id?: string
  /** Keeps executions in that state; a live state finds live ones. */
  state?: JobState
  /** Keeps executions that began then or later, epoch milliseconds. */
  startTimeFrom?: number
  /** Keeps executions that began then or earlier, epoch milliseconds. */
  startTimeTo?: number
  /** How many of the newest to pass over. Default 0. */
  from?: number
  /** The most executions to give, 0 to 1,000. Default 10. */
  size?: number
  /** Gives only executions that come after the one of this id in the log, newest first. It need not exist any more. */
  searchAfter?: string
}

/** A page of the log. */
export interface SearchResult<Hit> {
  /** How many executions match in all, whatever the page. */
  total: number
  /** The page, newest first: ordered by the UUID of the id, descending. */
  hits: Hit[]
}

/** Says that an execution changed its state: a reason to look, not a fact to trust. */
export interface StorageChange {
  /** The job's type. */
  type: string
  /** The job's id. */
  id: string
  /** The id of the execution. */
  executionId: string
  /** The state that it was seen to have. */
  state: JobState
}

/**
 * Where executions and checkpoints live, and the only truth about them. Times are the storage's own.
 *
 * A live execution whose lease has run out is settled before anybody is shown it, by every method here: it ends in state
 * `error`, with the messages of {@link leaseExpired}, and is an orphan unless an abort was asked for. It is settled once, in one atomic step. The one
 * exception is `finish`, which ends what nobody has settled yet. An outage of the storage itself, in which nobody could
 * renew a lease, is no reason to settle it.
 *
 * Records that are given out are the caller's: changing them changes nothing in storage.
 */
export interface JobStorage {
  /**
   * Starts an execution unless one of the same type and id is live: one atomic step, also between processes. The new
   * execution has the next epoch, and the checkpoint and `scheduledFor` of the one before it. With `resumedFrom`, it does
   * not start unless that orphan is the job's last execution; with `scheduledFor`, not unless that is later than any before.
   */
  begin(request: BeginRequest): Promise<BeginResult>
  /**
   * Writes progress and renews the lease in one atomic step, on condition that the execution is live under this lease.
   * Fields that are not given stay. Gives the execution as it is now (in state `aborting`, an abort was asked for), or
   * `undefined` when the lease is lost. With `node`, the execution must be of no node too: of many who take it at once, one
   * is given it, and it has the next epoch.
   */
  save(lease: Lease, request: SaveRequest): Promise<ExecutionRecord | undefined>
  /**
   * Ends the execution in one atomic step, on condition that it is live in this epoch: also when its lease has run out
   * and nobody has settled it, as what was done is then not lost. Gives the ended execution, or `undefined` when the
   * lease is lost.
   */
  finish(lease: Lease, request: FinishRequest): Promise<ExecutionRecord | undefined>
  /**
   * Moves the live execution of a job to `aborting`, in one atomic step. Gives it, or the last one when none is live, or
   * `undefined` when the job never ran.
   */
  requestAbort(type: string, id: string): Promise<ExecutionRecord | undefined>
  /** The live execution of a job, else its last one, else `undefined`. Retention keeps the last one of every job. */
  find(type: string, id: string): Promise<ExecutionRecord | undefined>
  /** All live executions of a type, oldest start first. */
  live(type: string): Promise<ExecutionRecord[]>
  /** The orphans: last executions of their jobs that ended for want of their node, so that nobody has gone on with them. */
  orphans(): Promise<ExecutionRecord[]>
  /** A page of the log. Executions of types that begin with `_` are found only by their type. */
  search(filter: SearchFilter): Promise<SearchResult<ExecutionRecord>>
  /**
   * Calls `listener` when an execution was begun, left the line, was asked to abort or ended, by any process; not for
   * progress. It may be called more than once for one change. Gives the function that stops it.
   */
  watch?(listener: (change: StorageChange) => void): () => void
  /**
   * Whether the storage keeps what it is given at present: `false` on a standby or for a file that may only be read. Rejects when
   * it does not answer. Without it, a search tells whether the storage answers.
   */
  isWritable?(): Promise<boolean>
  /** Gives back what the storage itself opened. */
  close?(): Promise<void>
}

/** How long the lease of an execution of no node holds, in milliseconds: a hundred years. */
export const waitingLease = 100 * 365 * 86_400_000

/** Whether an execution may begin after the last one of its job: what `begin` holds to, for storages. */
export function mayBegin({ resumedFrom, scheduledFor }: BeginRequest, last: ExecutionRecord): boolean {
  const isNext = resumedFrom === undefined || (last.isOrphaned === true && last.executionId === resumedFrom)
  const isLater = scheduledFor === undefined || last.scheduledFor === undefined || scheduledFor > last.scheduledFor
  // One of a later version may have ended in a state that is not known here.
  const hasEnded = isEnded(last.state) || last.endTime !== undefined
  return hasEnded && isNext && isLater
}

/** The error of an execution whose lease ran out: for the storage that settles it. */
export function leaseExpired(record: Pick<ExecutionRecord, 'node' | 'leaseUntil'>): string[] {
  const until = timeOf(record.leaseUntil)
  return ['The node that ran the job stopped answering.', `The lease of node [${record.node}] ran out at ${until}.`]
}

/** A time as text, also one that no date can have. */
function timeOf(time: number): string {
  const date = new Date(time)
  return Number.isNaN(date.getTime()) ? String(time) : date.toISOString()
}
