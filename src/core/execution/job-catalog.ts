import { checkedKey, hintFor, JobError, jobKey } from '../base/index.js'
import type { ExecutionRecord, JobKey, JobStatus } from '../model/index.js'
import { type LibraryJob, statusOf } from './partitions.js'

/**
 * The error for a job that is not defined. Its cause names the job that was probably meant: who sees the message over HTTP may not know
 * the other jobs.
 */
export function notDefined({ type, id }: JobKey, defined: readonly LibraryJob[] = []): JobError {
  const hint = hintFor(
    `${type}/${id}`,
    defined.map((job) => `${job.type}/${job.id}`),
  )
  const cause = hint === '' ? {} : { cause: new JobError('not_defined', hint.slice(2)) }
  return new JobError('not_defined', `No job [${type}/${id}] is defined.`, cause)
}

/** The jobs that a registry has defined. */
export class JobCatalog {
  readonly #jobs = new Map<string, LibraryJob>()
  /** Why the queue hands out no executions. `undefined` when it does. */
  readonly queueProblem: () => string | undefined

  constructor(queueProblem: () => string | undefined = () => undefined) {
    this.queueProblem = queueProblem
  }

  /** Adds a job. Throws `invalid_options` when it is defined already. */
  add(job: LibraryJob): void {
    const key = jobKey(job)
    if (this.#jobs.has(key)) {
      throw new JobError('invalid_options', `Expected \`id\` to be new, got [${job.type}/${job.id}], which is defined`)
    }
    this.#jobs.set(key, job)
  }

  /** Removes a job by its key. */
  remove(key: string): void {
    this.#jobs.delete(key)
  }

  /** Whether a job is still defined: this one, or the one whose partition it is. */
  holds(job: LibraryJob): boolean {
    const { type, id, partition } = job
    const defined = this.#jobs.get(jobKey({ type, id }))
    return partition === undefined ? defined === job : defined !== undefined
  }

  /** Whether the job of this type and id is defined, or any job of the type. */
  has(type: string, id?: string): boolean {
    return id === undefined ? this.types.has(type) : this.#jobs.has(checkedKey(type, id))
  }

  get(key: string): LibraryJob | undefined {
    return this.#jobs.get(key)
  }

  /** The job by its key. Throws `not_defined`. */
  require(key: string, { type, id }: JobKey): LibraryJob {
    const job = this.#jobs.get(key)
    if (!job) throw notDefined({ type, id }, this.all)
    return job
  }

  /** The job of an execution: a job, or the job of one of its partitions. */
  forExecution({ type, id, partition }: JobKey): LibraryJob | undefined {
    const job = this.#jobs.get(jobKey({ type, id }))
    if (partition === undefined) return job
    const made = job?.makePartition?.(partition)
    return made && { ...made, type, id, partition }
  }

  /** The status of an execution of a job, with where the next run begins. */
  statusOf(record: ExecutionRecord): JobStatus {
    const problem = record.state === 'queued' ? this.queueProblem() : undefined
    return statusOf(record, this.#jobs.get(jobKey({ type: record.type, id: record.id })), problem)
  }

  /** All jobs, without partitions. */
  get all(): LibraryJob[] {
    return [...this.#jobs.values()]
  }

  /** The types of the jobs. */
  get types(): Set<string> {
    return new Set([...this.#jobs.values()].map(({ type }) => type))
  }
}
