import { JobError } from './errors.js'
import { jobKey } from './ids.js'
import type { Job } from './job.js'
import { partMakerOf, partOf, wholeOf } from './parts.js'
import type { ExecutionRecord } from './storage.js'

/** The jobs that a registry knows. */
export class JobBook {
  readonly #jobs = new Map<string, Job>()

  /** Adds a job. Throws `invalid_options` when it is there already. */
  add(job: Job): void {
    const key = jobKey(job)
    if (this.#jobs.has(key)) {
      throw new JobError('invalid_options', `Expected \`id\` to be new, got [${job.type}/${job.id}], which is defined`)
    }
    this.#jobs.set(key, job)
  }

  /** The job by its key. */
  get(key: string): Job | undefined {
    return this.#jobs.get(key)
  }

  /** The job of an execution, which may be one of a part. */
  of(execution: Pick<ExecutionRecord, 'type' | 'id'>): Job | undefined {
    const part = wholeOf(execution)
    if (!part) return this.#jobs.get(jobKey(execution))
    const whole = this.#jobs.get(jobKey(part))
    return whole && partMakerOf(whole)?.(part.n)
  }

  /** The types of the jobs, and those of their parts. */
  get types(): Set<string> {
    const types = new Set<string>()
    for (const job of this.#jobs.values()) {
      types.add(job.type)
      if (partMakerOf(job)) types.add(partOf(job, 0).type)
    }
    return types
  }
}
