import type { ExecutionKey } from './_ends.js'
import type { ExecutionHost } from './_host.js'
import { alreadyRunning } from './errors.js'
import { Execution } from './execution.js'
import type { Standing } from './health.js'
import { jobKey } from './ids.js'
import type { Job } from './job.js'
import { isEnded } from './lifecycle.js'
import type { ExecutionRecord } from './storage.js'

type Name = Pick<ExecutionRecord, 'type' | 'id'>

/** The executions that live in a registry, or are about to: one of a job at most. */
export class Executions {
  readonly #host: ExecutionHost
  readonly #executions = new Map<string, Execution>()

  constructor(host: ExecutionHost) {
    this.#host = host
  }

  /** All of them, as they are now. */
  get all(): Execution[] {
    return [...this.#executions.values()]
  }

  /** Where they stand. */
  get standings(): Standing[] {
    return this.all.flatMap(({ standing }) => standing ?? [])
  }

  /** The one of a job. */
  of(job: Name): Execution | undefined {
    return this.#executions.get(jobKey(job))
  }

  /** Whether it is the one of its job. */
  has(execution: ExecutionKey): boolean {
    return this.of(execution)?.is(execution.executionId) ?? false
  }

  /** The one that a record of storage is about. */
  async find(record: ExecutionRecord): Promise<Execution | undefined> {
    const execution = this.of(record)
    await execution?.held
    return execution?.is(record.executionId) ? execution : undefined
  }

  /** Makes the one of a job. Throws `already_running` when it has one. */
  add(job: Job): Execution {
    this.refuseSecond(job)
    const execution = new Execution(job, this.#host)
    this.#executions.set(jobKey(job), execution)
    return execution
  }

  /** Throws `already_running` when a job has one. */
  refuseSecond(job: Name): void {
    if (this.of(job)) throw alreadyRunning(job)
  }

  /** Takes one out that came to nothing. */
  drop(execution: Execution): void {
    if (this.of(execution) === execution) this.#executions.delete(jobKey(execution))
  }

  /** Storage holds a change of an execution: one that has ended lives no more. */
  changed(record: ExecutionRecord): void {
    const execution = isEnded(record.state) ? this.of(record) : undefined
    if (execution?.is(record.executionId)) this.drop(execution)
  }

  /** Resolves when those have ended that are here now. */
  async ended(): Promise<void> {
    await Promise.all(this.all.map(async (execution) => (await execution.held) && execution.finished))
  }
}
