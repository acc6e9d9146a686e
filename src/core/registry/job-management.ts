import { checkedKey, checkOptions, JobError } from '../base/index.js'
import {
  type JobCatalog,
  type LibraryJob,
  type LocalExecutions,
  notDefined,
  type PausedJobs,
} from '../execution/index.js'
import type { JobStatus } from '../model/index.js'
import type { Runtime } from '../runtime/index.js'
import type { Scheduler } from '../scheduling/index.js'
import { type DefinedJob, type JobPause, listJobs, toJobPause } from './job-list.js'
import { type PauseOptions, pauseRules, type ResetOptions, resetRules } from './registry-options.js'
import { resetJob } from './reset.js'

/** The parts of a registry that {@link JobManagement} uses. */
interface ManagementParts {
  readonly jobs: JobCatalog
  readonly executions: LocalExecutions
  readonly paused: PausedJobs
  readonly scheduler: Scheduler
}

/** Lists, removes, pauses and resets jobs. */
export class JobManagement {
  readonly #runtime: Runtime
  readonly #jobs: JobCatalog
  readonly #executions: LocalExecutions
  readonly #paused: PausedJobs
  readonly #scheduler: Scheduler

  constructor(runtime: Runtime, { jobs, executions, paused, scheduler }: ManagementParts) {
    this.#runtime = runtime
    this.#jobs = jobs
    this.#executions = executions
    this.#paused = paused
    this.#scheduler = scheduler
  }

  /** The jobs that are defined here. */
  list(): Promise<DefinedJob[]> {
    const next = (job: LibraryJob) => this.#scheduler.next(job)
    return listJobs(this.#jobs.all, { storage: this.#runtime.storage, paused: this.#paused, next })
  }

  /** Removes the definition of a job. Returns whether there was one. */
  remove(type: string, id: string): boolean {
    const key = checkedKey(type, id)
    const job = this.#jobs.get(key)
    if (!job) return false
    if (this.#executions.hasAnyOf(job)) {
      const message = `Job [${type}/${id}] runs or is queued in this registry. Abort it, or wait for its end, before you remove it.`
      throw new JobError('already_running', message)
    }
    this.#scheduler.remove(job)
    this.#jobs.remove(key)
    return true
  }

  /** Pauses a job. Throws `not_defined` when it is not defined here and never ran. */
  async pause(type: string, id: string, options: PauseOptions): Promise<JobPause> {
    checkOptions('options', options, pauseRules)
    await this.#assertKnown(type, id)
    return toJobPause(await this.#paused.pause({ type, id }, options, 'registry.pause'))
  }

  /** Ends a pause, also of a job that is no longer known. Throws `not_defined` for an unknown job without one. */
  async unpause(type: string, id: string): Promise<boolean> {
    checkedKey(type, id)
    const wasPaused = await this.#paused.unpause({ type, id }, 'registry.unpause')
    if (!wasPaused) await this.#assertKnown(type, id)
    return wasPaused
  }

  async pauseAll(options: PauseOptions): Promise<JobPause> {
    checkOptions('options', options, pauseRules)
    return toJobPause(await this.#paused.pause({}, options, 'registry.pauseAll'))
  }

  unpauseAll(): Promise<boolean> {
    return this.#paused.unpause({}, 'registry.unpauseAll')
  }

  /** Throws `not_defined` when a job is not defined here and never ran. */
  async #assertKnown(type: string, id: string): Promise<void> {
    const isKnown = this.#jobs.get(checkedKey(type, id)) ?? (await this.#runtime.storage.find(type, id))
    if (!isKnown) throw notDefined({ type, id }, this.#jobs.all)
  }

  /** Sets where the next execution begins. Returns the last status. */
  async reset(type: string, id: string, options: ResetOptions): Promise<JobStatus | undefined> {
    checkOptions('options', options, resetRules)
    return resetJob(this.#runtime, this.#jobs.require(checkedKey(type, id), { type, id }), options)
  }
}
