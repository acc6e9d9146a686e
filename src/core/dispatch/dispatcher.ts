import { type Clock, checkOptions, checkValue, type Rule, rule } from '../base/index.js'
import { type ExecutionRecord, type Job, keyOf, type Schedule } from '../model/index.js'

/** A queued execution. */
export interface WaitingExecution {
  /** The job's type. */
  readonly type: string
  /** The job's id. */
  readonly id: string
  /** The number of the partition, for an execution of a partition of the job. */
  readonly partition?: number
  /** The id of the execution in the log. */
  readonly executionId: string
  /** The epoch of the execution while it is queued. A claim raises it. */
  readonly epoch: number
  /** Queue priority. Higher runs first. */
  readonly priority: number
  /** The name of the datasource that the job uses, for the limit per datasource. */
  readonly datasource?: string
}

/** A page of queued executions, in the order in which they will run. */
export interface WaitingPage {
  /** The total number of queued executions. */
  readonly total: number
  /** The executions of this page. */
  readonly hits: WaitingExecution[]
}

/** How many jobs run at once. With a shared queue, `cluster` and `datasources` count over all processes. */
export interface ConcurrencyLimits {
  /** In this process. Default: no limit. */
  process?: number
  /** In all processes together. Default: no limit. Needs a dispatcher with a shared queue. */
  cluster?: number
  /** Per datasource, by its name. Default: no limit. */
  datasources?: Record<string, number>
}

/** Runs the executions of a dispatcher: implemented by the registry. */
export interface DispatchWorker {
  /** How many jobs run at once. */
  readonly limits: ConcurrencyLimits
  /** The clock of the registry. */
  readonly clock: Clock
  /** The duration of a lease, in milliseconds. Executions that the queue has lost are added again within this time. */
  readonly lease: number
  /**
   * Runs a dispatched execution. Resolves with `true` when it has ended, or did not need to run. Resolves with `false` when this
   * registry cannot claim it now: the dispatcher then offers it again later, to any registry. Never rejects. A message that names no
   * execution is logged, and resolves with `false`.
   */
  run(waiting: WaitingExecution): Promise<boolean>
  /**
   * Resolves with `true` when the execution has ended in any process, or with `false` as soon as `left` aborts. For a dispatcher
   * that holds a slot until then.
   */
  whenEnded(waiting: WaitingExecution, left: AbortSignal): Promise<boolean>
  /**
   * Whether storage has live executions that began before `time`, in epoch milliseconds. A dispatcher with an empty engine uses it
   * to tell a new engine from one that has lost its data.
   */
  hasLiveBefore(time: number): Promise<boolean>
  /** Logs a warning; an error, when only a person can help, such as by installing a package. */
  warn(error: unknown, message: string): void
}

/** A slot that was acquired without queueing. */
export interface ConcurrencySlot {
  /** Releases the slot. */
  release(): void
}

/** Options of `add` of a {@link Dispatcher}. */
export interface AddOptions {
  /** Whether the executions were added before, and the queue may hold them, or may have lost them in part. Default false. */
  readonly requeued?: boolean
}

/**
 * The queue of executions that wait for a free slot. Storage stays the source of truth. A dispatcher may offer an execution
 * twice, late, or after it has ended: the registry then refuses it. Executions that a dispatcher loses are added again.
 */
export interface Dispatcher {
  /**
   * Whether registries share the queue. Executions of a shared queue wait for any registry with the same storage and queue. Those of
   * any other queue wait in this process, under the lease of this registry.
   */
  readonly isShared: boolean
  /**
   * Texts that must appear in no message and no log, such as the password of a connection. The registry reads them once, and replaces them by
   * `***` in any form, beside what it knows as a secret. Texts of fewer than 6 characters, and those that are a common word, are ignored.
   * Default: none.
   *
   * @experimental
   */
  readonly secrets?: readonly string[]
  /** Agrees on schedules with the registries that share the queue. Without it, each registry follows its own schedules. */
  readonly schedules?: ScheduleEngine
  /**
   * Why the queue hands out no executions, in a sentence for people: it could not be opened, its engine does not answer, or somebody has
   * paused it. `undefined` when it does. `registry.health` shows it, and the statuses of queued executions.
   */
  readonly problem?: string | undefined
  /** Starts dispatching. The registry calls it once. Throws `invalid_options` for limits that the dispatcher does not support. */
  work(worker: DispatchWorker): void
  /** Adds executions to the queue. Has no effect on those that are queued already. */
  add(waiting: readonly WaitingExecution[], options?: AddOptions): Promise<void>
  /** Removes an execution from the queue. Resolves with whether it was queued. */
  remove(executionId: string): Promise<boolean>
  /** Changes the priority of a queued execution, behind those that have it already. Resolves with whether it is queued. */
  move(executionId: string, priority: number): Promise<boolean>
  /** A page of up to `size` queued executions, after the first `from`. */
  waiting(page: { from: number; size: number }): Promise<WaitingPage>
  /**
   * Acquires a free slot of this process for a job on that datasource, or returns `undefined`. A job with a slot starts without
   * queueing. Not called for a shared queue.
   */
  tryAcquire?(datasource: string | undefined): ConcurrencySlot | undefined
  /**
   * Resolves when the queue can be used: for `registry.ready`. Rejects with the reason, and may reject when the signal aborts. Without it,
   * `registry.ready` calls `waiting`.
   */
  check?(signal: AbortSignal): Promise<void>
  /** Stops dispatching and closes what the dispatcher itself opened. */
  close?(): Promise<void>
}

/** Identifies a scheduled job. */
export type ScheduledJob = Pick<WaitingExecution, 'type' | 'id'>

/**
 * Agrees on the schedules of jobs with other registries: the latest definition of a job wins. Each registry has its own timers, and
 * storage starts each scheduled time once.
 */
export interface ScheduleEngine {
  /**
   * Sets the schedule of a job in this registry. `undefined` says that the job has none, which may win too. Calls `onRival` when
   * another registry has defined the schedule differently and more recently: this registry then stops following its own. Calls it
   * with `lastSeen`, in epoch milliseconds, when that registry has been gone since then: this one then follows its own again.
   */
  set(job: ScheduledJob, schedule: Schedule | undefined, onRival: (lastSeen?: number) => void): void
  /**
   * Forgets what this registry has set for a job, as if it were gone: the latest definition of the other registries applies. Calls its
   * `onRival` no more.
   */
  remove(job: ScheduledJob): void
}

const queueRule = rule.having('work', 'add', 'remove', 'move', 'waiting')

/** What a dispatcher must have. */
export const dispatcherRule: Rule = {
  accepts: (value) => queueRule.accepts(value) && rule.flag.accepts((value as Dispatcher).isShared),
  expected: `${queueRule.expected}, and \`isShared\``,
}

/** Whether a message of a queue names an execution. */
export function isWaiting(message: unknown): message is WaitingExecution {
  const { type, id, partition, executionId } = Object(message ?? {}) as Partial<WaitingExecution>
  const isOfPartition = partition === undefined || rule.whole(0).accepts(partition)
  return isOfPartition && rule.jobType.accepts(type) && rule.jobId.accepts(id) && rule.text.accepts(executionId)
}

const limitsRules = {
  process: rule.optional(rule.whole(1)),
  cluster: rule.optional(rule.whole(1)),
  datasources: rule.optional(rule.anObject),
}

/** The limits of the option `concurrency`. Throws `invalid_options`. */
export function limitsOf(concurrency: number | ConcurrencyLimits | undefined): ConcurrencyLimits {
  if (typeof concurrency !== 'object') {
    checkValue('concurrency', concurrency, rule.optional(rule.whole(1)))
    return concurrency === undefined ? {} : { process: concurrency }
  }
  checkOptions('concurrency', concurrency, limitsRules)
  for (const [name, limit] of Object.entries(concurrency.datasources ?? {})) {
    checkValue(`concurrency.datasources.${name}`, limit, rule.whole(1))
  }
  return concurrency
}

/** The queue entry of an execution. */
export function toWaitingExecution(record: ExecutionRecord, job: Job, priority = job.priority ?? 0): WaitingExecution {
  const { executionId, epoch } = record
  const { datasource } = job
  const key = keyOf(record)
  // Every start passes here: one spread is fast, two are not.
  return datasource === undefined
    ? { ...key, executionId, epoch, priority }
    : { ...key, executionId, epoch, priority, datasource }
}

/** The fields of a hit of `waiting`, or nothing when it breaks the contract. A dispatcher may keep other fields with them. */
export function queuedIn(hit: unknown): WaitingExecution | undefined {
  if (!isWaiting(hit)) return undefined
  const { executionId, epoch, priority, datasource } = hit
  const isNamed = datasource === undefined || typeof datasource === 'string'
  if (!isNamed || !rule.whole(0).accepts(epoch) || !Number.isFinite(priority)) return undefined
  return { ...keyOf(hit), executionId, epoch, priority, ...(datasource !== undefined && { datasource }) }
}
