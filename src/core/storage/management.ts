import type { ExecutionRecord, JobKey } from '../model/index.js'

/** A job, without its partitions. */
export type JobName = Pick<JobKey, 'type' | 'id'>

/** What a pause stops: one job or, without type and id, all jobs. */
export type PauseScope = JobName | { type?: undefined; id?: undefined }

/** Why something is paused. */
export interface PauseRequest {
  /** The reason, for people: 1 to 1,000 characters. */
  reason?: string
  /** Who paused it: 1 to 1,000 characters. */
  by?: string
}

/** The pause of a job, or of all jobs. It lasts until it ends by `unpause`, also when the job is not defined or never ran. */
export type Pause = PauseScope &
  PauseRequest & {
    /** When it was paused, in epoch milliseconds of the storage's clock. */
    since: number
  }

/** Stores which jobs are paused, for all processes. The storage itself starts paused jobs like others: registries read the list. */
export interface Pauses {
  /** Pauses a job, or all jobs. Returns the pause. What is paused already stays as it is, with its time and reason. */
  pause(scope: PauseScope, request: PauseRequest): Promise<Pause>
  /** Ends a pause. Returns whether there was one. The pause of all jobs and those of single jobs are independent. */
  unpause(scope: PauseScope): Promise<boolean>
  /** All pauses, in any order. Registries call it often. */
  list(): Promise<Pause[]>
}

/** Where the next execution begins. */
export interface ResetRequest {
  /** A JSON value. `null` starts from the beginning. */
  checkpoint: unknown
  /** Resets the job only if this is its last execution. Default: whichever it is. */
  executionId?: string
}

/** The answer of `reset`. */
export interface ResetResult {
  /** Whether the job was reset. `false` when it is live, or has another last execution than the request names. */
  reset: boolean
  /** The last execution with its new checkpoint, or the live or last one that prevented the reset. Absent when the job never ran. */
  execution?: ExecutionRecord
}

/** Selects ends to claim. */
export interface EndClaim {
  /** The name of the registry instance that claims them. */
  node: string
  /** How long nobody else can claim them, in milliseconds. */
  lease: number
  /** Maximum number of executions to return, 1 to 1,000. */
  size: number
  /** Jobs whose executions are not claimed: up to 1,000. Default: none. */
  except?: readonly JobName[]
}

/**
 * The ended executions with `notifiesEnd` whose notification is open. Each is claimed, notified and settled; what is not settled in time
 * can be claimed again. Retention may delete an execution with an open notification.
 */
export interface OpenEnds {
  /**
   * Claims ended executions that nobody has claimed, or whose claim has expired, atomically: the first that ended come first. Of many
   * concurrent claims one gets an execution. An expired lease counts as an end when another call has settled it.
   */
  claim(request: EndClaim): Promise<ExecutionRecord[]>
  /** Marks a notification as done: the execution has `isEndNotified`. Changes nothing when it is done, or the execution is unknown. */
  settle(executionId: string): Promise<void>
}
