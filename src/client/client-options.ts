import type { Clock } from '../core/base/index.js'
import type { JobParams, JobState } from '../core/model/index.js'
import type { LoggedStatus } from '../wire/index.js'
import type { HeadersSource } from './connection.js'

/** The options of a `JobsClient`. */
export interface JobsClientOptions {
  /** The URL of the API with its base path: `https://host/_siren/connector/jobs`, or a path in a browser. */
  url: string
  /** Makes the calls. Default: the global `fetch`. */
  fetch?: typeof globalThis.fetch
  /** Headers of every call, or a function that returns them, for tokens that change. Default: none. */
  headers?: HeadersSource
  /** Maximum size of an answer after decompression, in bytes. Default 33,554,432 (32 MiB). */
  maxAnswer?: number
  /** The clock of the client. Default: that of the machine. */
  clock?: Clock
}

/** The options of every call. */
export interface CallOptions {
  /** Aborts the call, which rejects with the reason of the signal. */
  signal?: AbortSignal
}

/** The options of calls that resolve with statuses. */
export interface StatusOptions extends CallOptions {
  /** Whether each status has a `detail`: its execution id, parameters, log and progress. Default `false`. */
  detail?: boolean
}

/** The options of `start`. */
export interface RemoteStartOptions extends StatusOptions {
  /** Whether the job starts although it is paused. Default `false`. */
  force?: boolean
  /** The parameters of this execution: a JSON object of up to 10,000 characters. Default: none. */
  params?: JobParams
  /** Whether to read everything again, from the beginning. The next run goes on from its end. Default `false`. */
  fullRefresh?: boolean
}

/** The options of `reset`. */
export interface RemoteResetOptions extends StatusOptions {
  /** Where the next run begins: a JSON value, as `registry.reset` accepts it. Default: the beginning. */
  checkpoint?: unknown
  /** Resets the job only if this is its last execution, and throws `already_running` when it has run again since. Default: whichever it is. */
  executionId?: string
}

/** The options of `health`. */
export interface RemoteHealthOptions extends CallOptions {
  /** How long the server waits for its storage, in milliseconds. Default 1,000. */
  timeout?: number
}

/** The options of `pause` and `pauseAll`. */
export interface RemotePauseOptions extends CallOptions {
  /** The reason, for people: 1 to 1,000 characters. */
  reason?: string
  /** Who pauses: 1 to 1,000 characters. */
  by?: string
}

/** The options of `abort`. */
export interface RemoteAbortOptions extends StatusOptions {
  /** Who aborts and why, for people: 1 to 1,000 characters. Default: none. */
  reason?: string
  /** Aborts this execution only, and throws `already_running` when another one is live. Default: whichever is live. */
  executionId?: string
  /** How long the server waits for the job to stop, in milliseconds. 0 does not wait. Default 30,000. */
  timeout?: number
}

/** A call as `request` makes it. */
export interface RemoteRequest extends CallOptions {
  /** Default `GET`. */
  method?: 'GET' | 'POST'
  /** The parts of the path below the URL of the API, which are percent-encoded here. */
  path: readonly string[]
  /** The query without `?`, percent-encoded. Default: none. */
  search?: string
  /** Headers beside those of the client. */
  headers?: Record<string, string>
  /** Default: none. */
  body?: string | Uint8Array<ArrayBuffer> | undefined
}

/** Selects events. Default: all. */
export interface EventsOptions extends CallOptions {
  /** Keeps events of jobs of that type. */
  type?: string
  /** Keeps events of jobs with that id. */
  id?: string
  /** Keeps events with that state. */
  state?: JobState
  /** Whether to yield events of queued executions too. Default `false`: only with `state: 'queued'`. */
  includeQueued?: boolean
  /**
   * Called when ends may be missing because the log of the server no longer holds them, or because there are too many. `search` finds
   * what the log holds. Default: none.
   */
  onGap?: () => void
}

/** An event of a server: a changed or current status. */
export interface RemoteEvent {
  /** The job's type. */
  type: string
  /** The job's id. */
  id: string
  /** The status. It is frozen. */
  status: LoggedStatus
}
