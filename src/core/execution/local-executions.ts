import { alreadyRunning, deferred, jobKey } from '../base/index.js'
import { type ExecutionKey, type ExecutionRecord, isEnded, type JobKey } from '../model/index.js'
import type { Runtime } from '../runtime/index.js'
import type { Execution, ExecutionHealth } from './execution.js'

/** The live executions of a registry, at most one per job or partition, including those that are about to begin. */
export class LocalExecutions {
  readonly #executions = new Map<string, Execution>()
  /** Jobs that ask for a lease. Each resolves with the execution, or with `undefined` when the lease is not granted. */
  readonly #pending = new Map<string, { readonly job: JobKey; readonly granted: Promise<Execution | undefined> }>()

  constructor({ events }: Runtime) {
    events.on('changed', (record) => this.#handleChange(record))
    events.on('storageChange', (change) => {
      if (change.state === 'aborting' || isEnded(change.state)) this.#checkLease(change)
    })
  }

  /** All executions, those that are about to begin last. */
  get all(): (Execution | Promise<Execution | undefined>)[] {
    return [...this.#executions.values(), ...[...this.#pending.values()].map(({ granted }) => granted)]
  }

  /** The health of each. */
  get health(): ExecutionHealth[] {
    return [...this.#executions.values()].map(({ health }) => health)
  }

  /** Whether the job has an execution, or is about to begin. */
  hasJob(job: JobKey): boolean {
    const key = jobKey(job)
    return this.#executions.has(key) || this.#pending.has(key)
  }

  /** Whether the job or one of its partitions has an execution, or is about to begin. */
  hasAnyOf({ type, id }: JobKey): boolean {
    const all: JobKey[] = [...this.#executions.values(), ...[...this.#pending.values()].map(({ job }) => job)]
    return all.some((one) => one.type === type && one.id === id)
  }

  /** The execution with that id, if it has its lease. */
  find(key: ExecutionKey): Execution | undefined {
    const execution = this.#executions.get(jobKey(key))
    return execution?.executionId === key.executionId ? execution : undefined
  }

  /** The execution with that id. Waits for the lease of a job that is about to begin. */
  async whenGranted(key: ExecutionKey): Promise<Execution | undefined> {
    await this.#pending.get(jobKey(key))?.granted
    return this.find(key)
  }

  /** Whether a job was about to begin, and has begun now. */
  async hasJustBegun(job: JobKey): Promise<boolean> {
    return (await this.#pending.get(jobKey(job))?.granted) !== undefined
  }

  /**
   * Adds the execution of a job that `begin` makes from a lease, if the lease is granted. Throws `already_running` when the job has an
   * execution or is about to begin, and what `begin` throws.
   */
  async add<Made extends Execution | undefined>(job: JobKey, begin: () => Promise<Made>): Promise<Made> {
    const key = jobKey(job)
    if (this.hasJob(job)) throw alreadyRunning(this.#executions.get(key)?.record ?? job)
    const granted = deferred<Execution | undefined>()
    this.#pending.set(key, { job, granted: granted.promise })
    let execution: Made | undefined
    try {
      execution = await begin()
      if (execution) this.#executions.set(key, execution)
      return execution
    } finally {
      this.#pending.delete(key)
      granted.resolve(execution)
    }
  }

  /** Resolves when all current executions have ended. */
  async whenEnded(): Promise<void> {
    await Promise.all(this.all.map(async (granted) => (await granted)?.finished))
  }

  /** Removes an execution that has ended in storage. */
  #handleChange(record: ExecutionRecord): void {
    if (isEnded(record.state) && this.find(record)) this.#executions.delete(jobKey(record))
  }

  /** Asks storage at once whether the execution of a job may continue, when one was asked to stop or has ended. */
  #checkLease(job: JobKey): void {
    const key = jobKey(job)
    const execution = this.#executions.get(key)
    // Every registry hears of every change, and most have no execution of the job.
    if (execution) void execution.checkLease()
    else void this.#pending.get(key)?.granted.then((granted) => granted?.checkLease())
  }
}
