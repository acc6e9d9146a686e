import { checkOptions, errorMessages, JobError, rule, withTimeout } from '../base/index.js'
import type { LocalExecutions } from '../execution/index.js'
import type { OverdueSchedule, Scheduler } from '../scheduling/index.js'
import type { RegistryRuntime } from './create-runtime.js'

/** Options of `registry.health`. */
export interface HealthOptions {
  /** How long to wait for the storage, in milliseconds. Default 1,000. */
  timeout?: number
}

const readOnly = 'The storage is read-only.'

const healthRules = { timeout: rule.optional(rule.milliseconds(0)) }

/** Whether the storage of a registry answers. */
export interface StorageHealth {
  /** Whether the storage answered within the timeout. */
  isReachable: boolean
  /** How long the answer took, or how long the check waited, in milliseconds. */
  latency: number
  /** Why the storage did not answer or takes no writes: messages, outermost first, secrets redacted. */
  error?: string[]
}

/** The health of a registry. */
export interface RegistryHealth {
  /**
   * `ok`. `unreachable`: the storage does not answer. `readonly`: the storage answers but takes no writes, as on a standby or a
   * full disk, or the last write failed within a lease. `closed`: `close()` was called.
   */
  status: 'ok' | 'unreachable' | 'readonly' | 'closed'
  /** The name of the registry instance. */
  node: string
  /** The health of its storage. */
  storage: StorageHealth
  /** How many executions run in this registry, including those that are aborting. */
  running: number
  /** How many executions are queued in this registry. In a queue that processes share, they are queued in none: see `queued()`. */
  queued: number
  /** The duration of a lease, in milliseconds. */
  lease: number
  /**
   * Age of the oldest lease renewal, in milliseconds. Missing when nothing runs or is queued. Healthy up to a little more than a
   * third of `lease`. At `lease`, the execution is lost.
   */
  oldestRenewal?: number
  /**
   * Schedules whose job should have started here more than a minute ago, but storage did not accept the start or, with `runAfter`, the
   * execution before still runs. Missing when there is none.
   */
  overdue?: OverdueSchedule[]
  /** Why the queue hands out no executions, in a sentence: a package that is missing, an engine that does not answer, or a pause in BullMQ. Missing when it does. */
  queueProblem?: string
}

/** Checks the health of a registry. */
export class HealthProbe {
  readonly #runtime: RegistryRuntime
  readonly #executions: LocalExecutions
  readonly #scheduler: Pick<Scheduler, 'overdue'>
  readonly #queueProblem: () => string | undefined
  #asking: Promise<Pick<StorageHealth, 'error'>> | undefined

  constructor(
    runtime: RegistryRuntime,
    executions: LocalExecutions,
    { scheduler, queueProblem }: { scheduler: Pick<Scheduler, 'overdue'>; queueProblem: () => string | undefined },
  ) {
    this.#scheduler = scheduler
    this.#queueProblem = queueProblem
    this.#runtime = runtime
    this.#executions = executions
  }

  /** The health of the registry. */
  async check(options: HealthOptions, isClosed: boolean): Promise<RegistryHealth> {
    checkOptions('options', options, healthRules)
    const { timeout = 1000 } = options
    const storage = await this.#storage(timeout)
    const { node, lease } = this.#runtime
    const live = this.#executions.health
    const { overdue } = this.#scheduler
    const queueProblem = this.#queueProblem()
    const queued = live.filter(({ state }) => state === 'queued').length
    return {
      status: isClosed ? 'closed' : statusOf(storage),
      node,
      storage,
      running: live.length - queued,
      queued,
      lease,
      ...(live.length > 0 && { oldestRenewal: live.reduce((oldest, { leaseAge }) => Math.max(oldest, leaseAge), 0) }),
      ...(overdue.length > 0 && { overdue }),
      ...(queueProblem !== undefined && { queueProblem }),
    }
  }

  async #storage(timeout: number): Promise<StorageHealth> {
    const { clock, abandoned, redactor } = this.#runtime
    const askedAt = clock.now()
    const latency = () => Math.max(0, clock.now() - askedAt)
    try {
      if (abandoned.aborted) throw new JobError('closed', 'The registry is closed.')
      const answer = await withTimeout(clock, timeout, this.#askOnce())
      if (answer) return { isReachable: true, latency: latency(), ...answer }
      throw new JobError('storage', `The storage gave no answer within ${timeout} ms.`)
    } catch (error) {
      return { isReachable: false, latency: latency(), error: errorMessages(error, redactor) }
    }
  }

  /** Concurrent checks share one request, so that requests to a hanging storage do not pile up. */
  #askOnce(): Promise<Pick<StorageHealth, 'error'>> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined
    })
    return this.#asking
  }

  /** Rejects with the reason when the storage cannot be used. */
  async assertUsable(): Promise<void> {
    const { storage } = this.#runtime
    // Creates or upgrades the tables, if the storage has some.
    await storage.search({ state: 'running', size: 0 })
    if (storage.isWritable && !(await storage.isWritable())) throw new JobError('storage', readOnly)
  }

  async #ask(): Promise<Pick<StorageHealth, 'error'>> {
    const { storage, redactor, lease } = this.#runtime
    if (!storage.isWritable) await storage.search({ state: 'running', size: 0 })
    else if (!(await storage.isWritable())) return { error: [readOnly] }
    // While a job runs or is queued, its lease is renewed more often than this.
    const failed = storage.failedWrite(lease)
    return failed ? { error: ['The last write to the storage failed.', ...errorMessages(failed, redactor)] } : {}
  }
}

function statusOf({ isReachable, error }: StorageHealth): RegistryHealth['status'] {
  if (!isReachable) return 'unreachable'
  return error ? 'readonly' : 'ok'
}
