import type { EndedState, ExecutionRecord, Failure, JobKey, JobState, Progress } from '../model/index.js'
import type { JobName, OpenEnds, Pauses, ResetRequest, ResetResult } from './management.js'

/** The right to write to an execution. It fences off a writer whose lease was lost. */
export interface LeaseToken {
  /** The execution. */
  executionId: string
  /** The epoch that `begin`, or a claim, assigned. */
  epoch: number
}

/** What `begin` receives. */
export interface BeginRequest extends JobKey {
  /** The initial state: `queued` when no slot is free. */
  state: 'queued' | 'running'
  /** The name of the registry instance. `null` for an execution that any registry may claim, which is `queued`. */
  node: string | null
  /** The duration of the lease, in milliseconds. `null` for an unclaimed execution, which has no lease and never expires. */
  lease: number | null
  /** The orphan to resume. The execution starts only if that is an orphan and still the job's last execution. */
  resumedFrom?: string
  /** Stored as the execution's `takeovers`, with `resumedFrom`. */
  takeovers?: number
  /** The scheduled time, in epoch milliseconds. The execution starts only if none was started for that time or a later one. */
  scheduledFor?: number
  /** Stored as the execution's `params`: a JSON object. Default: those of the orphan, with `resumedFrom`, otherwise none. */
  params?: Record<string, unknown>
  /** Stored as the execution's `notifiesEnd`. */
  notifiesEnd?: true
  /** The checkpoint to start with: a JSON value, or `null` for none. Default: that of the execution before. */
  checkpoint?: unknown
}

/** The answer of `begin`. */
export interface BeginResult {
  /** Whether the execution was started. `false` when the job has a live one, or the orphan is no longer its last execution. */
  started: boolean
  /** The started execution, or the live or last one that prevented the start. */
  execution: ExecutionRecord
}

/** What `renew` writes: the renewed lease, and progress. */
export interface RenewRequest extends Progress {
  /** The duration of the lease from now on, in milliseconds. */
  lease: number
}

/** What `claim` writes. */
export interface ClaimRequest {
  /** The name of the registry instance that claims the execution. */
  node: string
  /** The duration of its lease, in milliseconds. */
  lease: number
}

/** The job to abort, or the partition. */
export interface AbortRequest extends JobKey {
  /** Stored as the execution's `abortReason`: 1 to 1,000 characters. */
  reason?: string
  /** Aborts this execution only. Default: whichever is live. */
  executionId?: string
}

/** How an execution ended, and its final progress. */
export interface FinishRequest extends Progress {
  /** The final state. */
  state: EndedState
  /** The messages of the error, in state `error`. */
  error?: string[]
  /** Stored as the execution's `failure`, in state `error`: a JSON object. */
  failure?: Failure
  /** Set when its node closes: the execution becomes an orphan, unless an abort was requested. */
  isOrphaned?: true
}

/** Selects executions of the log. Without `state`, the ended ones. */
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
  /** How many of the newest executions to skip. Default 0. */
  from?: number
  /** Maximum number of executions to return, 0 to 1,000. Default 10. */
  size?: number
  /** Returns only executions after this id in the log, newest first. It may have been deleted. */
  searchAfter?: string
}

/** What a storage searches. */
export interface StorageFilter extends SearchFilter {
  /**
   * Whether `checkpoint`, `detail`, `params`, `failure` and `logTail` may be left out, as nobody reads them: they may be long. A storage may
   * ignore it. Default `false`.
   *
   * @experimental
   */
  omitsDetail?: boolean
  /** Keeps executions of that partition. */
  partition?: number
  /** Whether executions of partitions are found too. Default `false`, unless `partition` is given. */
  includePartitions?: boolean
}

/** A page of the log. */
export interface SearchResult<Hit> {
  /** The total number of matching executions. */
  total: number
  /** The executions of the page, newest first: by the UUID of the id, descending. */
  hits: Hit[]
}

/** Selects a page of executions. */
export interface PageRequest {
  /** Maximum number of executions to return, 1 to 1,000. Default 1,000. */
  size?: number
  /** Returns only executions after this id, which is the `next` of the page before. It may have been deleted. */
  searchAfter?: string
  /** Whether executions of partitions are listed too. Default `false`. */
  includePartitions?: boolean
}

/** Selects live executions. */
export interface LiveFilter extends PageRequest {
  /**
   * Whether `checkpoint`, `detail`, `params`, `failure` and `logTail` may be left out, as nobody reads them: they may be long. A storage may
   * ignore it. Default `false`.
   *
   * @experimental
   */
  omitsDetail?: boolean
  /** Keeps executions of that job type. */
  type: string
  /** Keeps executions of that job id. */
  id?: string
}

/** A page of executions, oldest first: by the UUID of the id, ascending. */
export interface ExecutionPage {
  /** The executions of the page. */
  hits: ExecutionRecord[]
  /** Selects the next page, as `searchAfter`. Absent on the last page. */
  next?: string
}

/** A notification that an execution changed its state. Read storage for the facts. */
export interface StorageChange extends JobKey {
  /** The id of the execution. */
  executionId: string
  /** The state that was observed. */
  state: JobState
}

/**
 * Stores executions and checkpoints: the source of truth.
 *
 * A partition of a job has executions of its own, whose `type` and `id` are those of the job. What is said of a job here holds for each
 * of its partitions: it has its own live or last execution, epochs and checkpoint. Listings leave partitions out, also from the total,
 * unless they are asked for. The storage provides times.
 *
 * Every method settles a live execution with an expired lease before it returns it: the execution ends in state `error`, with the
 * messages of {@link leaseExpired}, and becomes an orphan unless an abort was requested. That happens once, atomically. The exception
 * is `finish`, which still ends an expired execution that is not settled yet. An outage of the storage itself, in which no lease could
 * be renewed, settles nothing.
 *
 * Returned records belong to the caller: changing them does not change the storage.
 */
export interface JobStorage {
  /**
   * Texts that must appear in no message and no log, such as the password of a connection. The registry reads them once, and replaces them by
   * `***` in any form, beside what it knows as a secret. Texts of fewer than 6 characters, and those that are a common word, are ignored.
   * Default: none.
   *
   * @experimental
   */
  readonly secrets?: readonly string[]
  /**
   * Starts an execution unless one of the same type, id and partition is live, atomically, also between processes. The new execution has the
   * next epoch, and the checkpoint, unless another is given, and `scheduledFor` of the one before it. With `resumedFrom`, it starts only if that
   * orphan is the job's last execution, and has its `params`; with `scheduledFor`, only if that is later than any before.
   */
  begin(request: BeginRequest): Promise<BeginResult>
  /**
   * Writes progress and renews the lease atomically, if the execution is live under this lease. Fields that are not given keep their
   * values. Returns the execution as it is now, in state `aborting` after an abort request, or `undefined` when the lease is lost.
   * An unclaimed execution has no lease, so this returns `undefined`.
   */
  renew(lease: LeaseToken, request: RenewRequest): Promise<ExecutionRecord | undefined>
  /**
   * Claims a live, unclaimed execution in this epoch, atomically: it gets the node, a lease and the next epoch. If it is `queued`, it
   * begins to run, and its start time is now. Of many concurrent claims one succeeds. Returns the execution as it is now, in state
   * `aborting` after an abort request, or `undefined` when it is not unclaimed in this epoch.
   */
  claim(waiting: LeaseToken, request: ClaimRequest): Promise<ExecutionRecord | undefined>
  /**
   * Lets a queued execution begin to run, if it is live under this lease: its start time is now. Changes nothing when it runs already
   * or is aborting. Returns the execution as it is now, or `undefined` when the lease is lost or the execution is unclaimed.
   */
  run(lease: LeaseToken): Promise<ExecutionRecord | undefined>
  /**
   * Ends the execution atomically, if it is live in this epoch. Also succeeds when it is unclaimed, or when its lease has expired and it
   * was not settled, so that the work is not lost. Returns the ended execution, or `undefined` when the lease is lost.
   */
  finish(lease: LeaseToken, request: FinishRequest): Promise<ExecutionRecord | undefined>
  /**
   * Moves the live execution of a job to `aborting`, atomically. Returns it, or the last execution when none is live, or
   * `undefined` when the job never ran. The first request decides on the reason. With `executionId`, another live execution is returned
   * as it is.
   */
  requestAbort(request: AbortRequest): Promise<ExecutionRecord | undefined>
  /** The live execution of a job, else its last one, else `undefined`. Retention keeps the last one of every job. */
  find(type: string, id: string, partition?: number): Promise<ExecutionRecord | undefined>
  /** A page of the live executions of a type. */
  live(filter: LiveFilter): Promise<ExecutionPage>
  /** A page of the orphans that are still the last executions of their jobs, so no node has resumed them yet. */
  orphans(page?: PageRequest): Promise<ExecutionPage>
  /** A page of the log. */
  search(filter: StorageFilter): Promise<SearchResult<ExecutionRecord>>
  /**
   * Calls `listener` when an execution began, left the queue, was asked to abort or ended, in any process. Not for progress. May call
   * it repeatedly for one change. Returns a function that stops it.
   */
  watch?(listener: (change: StorageChange) => void): () => void
  /**
   * Whether the storage currently accepts writes: `false` on a standby or for a read-only file. Rejects when the storage does not
   * answer. Without this method, a search tests whether the storage answers.
   */
  isWritable?(): Promise<boolean>
  /**
   * The live execution, else the last one, of each of up to 1,000 jobs, at once and in any order. Jobs that never ran are left out.
   * Without this method, `registry.jobs()` is not supported.
   */
  latest?(jobs: readonly JobName[]): Promise<ExecutionRecord[]>
  /**
   * Sets or clears the checkpoint that the next execution of a job begins with, and clears those of its partitions, atomically. Changes
   * nothing while the job or one of its partitions is live. A job that never ran may get a checkpoint too: it is still not found. Without
   * this method, `registry.reset` is not supported.
   */
  reset?(type: string, id: string, request: ResetRequest): Promise<ResetResult>
  /** Which jobs are paused. Without it, pauses are not supported. */
  readonly pauses?: Pauses
  /** The ended executions with an open notification. Without it, `onEnd` is not supported. */
  readonly ends?: OpenEnds
  /** Closes what the storage itself opened. */
  close?(): Promise<void>
}
