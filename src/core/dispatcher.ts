import type { Clock } from './clock.js'
import { checkOptions, checkValue, type Rule, rule } from './options.js'
import type { Schedule } from './schedule.js'

/** An execution that waits for its turn. */
export interface WaitingExecution {
  /** The job's type. */
  readonly type: string
  /** The job's id. */
  readonly id: string
  /** The id of the execution in the log. */
  readonly executionId: string
  /** The epoch that it waits in: it is taken once. */
  readonly epoch: number
  /** The higher, the sooner its turn comes. */
  readonly priority: number
  /** The name of the datasource that it works on, for the limit on that. */
  readonly datasource?: string
}

/** A page of the executions that wait, in the order in which their turns come. */
export interface WaitingPage {
  /** How many wait in all, whatever the page. */
  readonly total: number
  /** The page. */
  readonly hits: WaitingExecution[]
}

/** How many jobs run at once: over all processes that share the line, unless said. */
export interface ConcurrencyLimits {
  /** In this process. Default: no limit. */
  process?: number
  /** In all processes together. Default: no limit. Needs a dispatcher whose line they share. */
  cluster?: number
  /** On a datasource, by its name. Default: no limit. */
  datasources?: Record<string, number>
}

/** What a dispatcher gives turns to: the registry. */
export interface DispatchWorker {
  /** How many jobs run at once. */
  readonly limits: ConcurrencyLimits
  /** The time. */
  readonly clock: Clock
  /** How long a lease holds, in milliseconds: what the engine has lost is put back within that. */
  readonly lease: number
  /**
   * An execution has its turn. Resolves when it has ended, or was no more to run: `true`; or `false` when this registry
   * cannot take it now, and the dispatcher is to offer it again later, to any. Never rejects.
   */
  take(waiting: WaitingExecution): Promise<boolean>
  /**
   * Another registry has defined the schedule of a job since: this one starts the job at no more times. With `lastSeen`, in
   * epoch milliseconds, that registry is gone since then, and this one goes by its own schedule again.
   */
  yieldSchedule(job: ScheduledJob, lastSeen?: number): void
  /**
   * Resolves when an execution has ended, wherever it runs: `true`; or `false` as soon as `left` aborts. For a dispatcher
   * that holds something until then.
   */
  ended(waiting: WaitingExecution, left: AbortSignal): Promise<boolean>
  /** Tells operators of what went wrong meanwhile. */
  warn(error: unknown, message: string): void
}

/** What names a job that has a schedule. */
export type ScheduledJob = Pick<WaitingExecution, 'type' | 'id'>

/** A slot that was taken ahead of the line. */
export interface Slot {
  /** Gives it back. */
  release(): void
}

/**
 * The line in which executions wait for a free slot, and what gives them their turns. It is no truth about them: storage
 * is. A turn may come twice, late, or for what has ended: it is refused then. What a dispatcher has lost is added again.
 */
export interface Dispatcher {
  /** Gives turns from now on. Called once, by the registry. Throws `invalid_options` for limits that it cannot keep. */
  work(worker: DispatchWorker): void
  /** Puts executions in line. One that is there already stays as it is. */
  add(waiting: readonly WaitingExecution[]): Promise<void>
  /** Takes an execution out of the line. Tells whether it was there. */
  remove(executionId: string): Promise<boolean>
  /** Gives an execution that waits another priority, behind those that have it. Tells whether it waits. */
  move(executionId: string, priority: number): Promise<boolean>
  /** A page of those that wait: the first, unless `from` says how many to pass over; up to `size`. */
  waiting(page: { from: number; size: number }): Promise<WaitingPage>
  /**
   * Takes a free slot of this process at once, for a job on that datasource, or gives `undefined`. Only where the line is
   * in this process: executions wait in it under the lease of this registry. Without it, the line is shared, and they wait
   * for any registry that shares storage and line.
   */
  reserve?(datasource: string | undefined): Slot | undefined
  /**
   * Says how a job is scheduled in this registry: `undefined` for not at all. Each registry has its own timers, and storage
   * sees to it that each time is begun once. Where registries of the line say different things, the one that said it last
   * holds: the dispatcher tells the others to yield. Without it, each goes by its own schedule.
   */
  schedule?(job: ScheduledJob, schedule: Schedule | undefined): void
  /** Gives no more turns, and gives back what the dispatcher itself opened. */
  close?(): Promise<void>
}

/** The highest priority; the lowest is the same below zero. */
export const maxPriority = 1_000_000

/** What a priority may be. */
export const priorityRule: Rule = rule.whole(-maxPriority, maxPriority)

/** What a dispatcher must have. */
export const dispatcherRule: Rule = rule.having('work', 'add', 'remove', 'move', 'waiting')

const limitsRules = {
  process: rule.optional(rule.whole(1)),
  cluster: rule.optional(rule.whole(1)),
  datasources: rule.optional(rule.anObject),
}

/** The limits that the option `concurrency` sets. Throws `invalid_options`. */
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
