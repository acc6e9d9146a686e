import { AssertionError } from 'node:assert'
import { checkOptions, rule } from '../../adapter.js'
import type { Job, JobContext } from '../../index.js'

/** A job that runs until the test ends it, and a handle on its executions. */
export interface HeldJob {
  /** The job, to be defined in a registry. */
  readonly job: Job
  /** The contexts of its executions, oldest first. */
  readonly contexts: readonly JobContext[]
  /** The context of the latest execution. Throws an `AssertionError` before the first one runs. */
  readonly context: JobContext
  /** Resolves with the context of the first execution when it runs. */
  readonly running: Promise<JobContext>
  /** Ends the latest execution, as if `run` had returned. Has no effect before the first one runs. */
  finish(): void
  /** Ends the latest execution, as if `run` had thrown `error`. */
  fail(error: unknown): void
}

/** The options of {@link heldJob}. */
export interface HeldJobOptions {
  /** Whether the job continues when its signal aborts. By default, it rejects with the signal's reason. */
  ignoresSignal?: boolean
}

/**
 * Creates a job that runs until the test ends it, or until it is aborted. Throws `invalid_options` when an option is unknown or not valid;
 * `define` checks the job.
 */
export function heldJob(job: Omit<Job, 'run'>, options: HeldJobOptions = {}): HeldJob {
  checkOptions('options', options, { ignoresSignal: rule.optional(rule.flag) })
  const { ignoresSignal = false } = options
  const contexts: JobContext[] = []
  let finish: () => void = () => {}
  let fail: (error: unknown) => void = () => {}
  let begin: (context: JobContext) => void
  const running = new Promise<JobContext>((resolve) => {
    begin = resolve
  })
  const run = (context: JobContext) =>
    new Promise<void>((resolve, reject) => {
      finish = resolve
      fail = reject
      contexts.push(context)
      begin(context)
      if (!ignoresSignal) context.signal.addEventListener('abort', () => reject(context.signal.reason))
    })
  return {
    job: { ...job, run },
    contexts,
    get context() {
      const context = contexts.at(-1)
      if (!context) throw new AssertionError({ message: `Expected job [${job.type}/${job.id}] to run.` })
      return context
    },
    running,
    finish: () => finish(),
    fail: (error) => fail(error),
  }
}
