import { isLive, type JobState } from 'headgate'

/** How a job comes to its end. */
export type End = 'return' | 'complete' | 'throw'

/** What happens in a world of two registries that share a storage. Jobs and registries are named by number. */
export type Step =
  | { do: 'start' | 'abort'; at: number; job: number }
  | { do: End; job: number }
  | { do: 'progress'; job: number; count: number }
  | { do: 'advance'; ms: number }

/** What a world is made of. */
export interface WorldPlan {
  /** Each job: whether it ignores its signal. */
  jobs: { ignoresSignal: boolean }[]
  /** How many jobs run at once in each registry. */
  concurrency: number
}

interface ModelJob {
  readonly ignoresSignal: boolean
  state: JobState | undefined
  /** The registry that runs it. */
  at: number
  count: number
}

const stateAfter = {
  return: { running: 'successful', aborting: 'aborted' },
  complete: { running: 'successful', aborting: 'successful' },
  throw: { running: 'error', aborting: 'error' },
} as const

/** What a world must look like after every step, when each has the time to come to its end. */
export class LifecycleModel {
  readonly jobs: readonly ModelJob[]
  readonly #concurrency: number
  readonly #lines: [ModelJob[], ModelJob[]] = [[], []]

  constructor({ jobs, concurrency }: WorldPlan) {
    this.jobs = jobs.map(({ ignoresSignal }) => ({ ignoresSignal, state: undefined, at: 0, count: 0 }))
    this.#concurrency = concurrency
  }

  apply(step: Step): void {
    if (step.do === 'advance') return
    const job = this.jobs[step.job] as ModelJob
    if (step.do === 'start') this.#start(job, step.at)
    else if (step.do === 'abort') this.#abort(job)
    else if (job.state !== 'running' && job.state !== 'aborting') return
    else if (step.do === 'progress') job.count = step.count
    else this.#end(job, stateAfter[step.do][job.state])
  }

  #start(job: ModelJob, at: number): void {
    if (job.state && isLive(job.state)) return
    Object.assign(job, { state: 'queued', at, count: 0 } satisfies Partial<ModelJob>)
    this.#lines[at]?.push(job)
    this.#fillSlots(at)
  }

  #abort(job: ModelJob): void {
    if (job.state === 'queued') {
      const line = this.#lines[job.at] as ModelJob[]
      line.splice(line.indexOf(job), 1)
      job.state = 'aborted'
    } else if (job.state === 'running') {
      if (job.ignoresSignal) job.state = 'aborting'
      else this.#end(job, 'aborted')
    }
  }

  #end(job: ModelJob, state: JobState): void {
    job.state = state
    this.#fillSlots(job.at)
  }

  #fillSlots(at: number): void {
    const holdsSlot = (job: ModelJob) => job.at === at && (job.state === 'running' || job.state === 'aborting')
    const free = this.#concurrency - this.jobs.filter(holdsSlot).length
    for (const job of this.#lines[at]?.splice(0, free) ?? []) job.state = 'running'
  }
}
