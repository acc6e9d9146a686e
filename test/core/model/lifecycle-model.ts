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
  /** How long storage's requests and answers are on their way in turn, in milliseconds, over and over. */
  delays: number[]
  /** Whether storage tells of changes. */
  isWatched: boolean
  /** How often progress is saved at most, in milliseconds. */
  progressInterval: number
}

interface ModelJob {
  readonly ignoresSignal: boolean
  /** Every state that it went through, over all its executions. */
  readonly states: JobState[]
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
    this.jobs = jobs.map(({ ignoresSignal }) => ({ ignoresSignal, states: [], at: 0, count: 0 }))
    this.#concurrency = concurrency
  }

  apply(step: Step): void {
    if (step.do === 'advance') return
    const job = this.jobs[step.job] as ModelJob
    const state = job.states.at(-1)
    if (step.do === 'start') this.#start(job, step.at)
    else if (step.do === 'abort') this.#abort(job)
    else if (state !== 'running' && state !== 'aborting') return
    else if (step.do === 'progress') job.count += step.count
    else this.#end(job, stateAfter[step.do][state])
  }

  #start(job: ModelJob, at: number): void {
    if (isLive(job.states.at(-1) ?? 'successful')) return
    Object.assign(job, { at, count: 0 })
    const isFree = this.#freeSlots(at) > 0
    job.states.push(isFree ? 'running' : 'queued')
    if (!isFree) this.#lines[at]?.push(job)
  }

  #abort(job: ModelJob): void {
    const state = job.states.at(-1)
    if (state !== 'queued' && state !== 'running') return
    job.states.push('aborting')
    const line = this.#lines[job.at] as ModelJob[]
    if (state === 'queued') line.splice(line.indexOf(job), 1)
    if (state === 'queued' || !job.ignoresSignal) this.#end(job, 'aborted')
  }

  #end(job: ModelJob, state: JobState): void {
    job.states.push(state)
    const line = this.#lines[job.at] as ModelJob[]
    for (const next of line.splice(0, this.#freeSlots(job.at))) next.states.push('running')
  }

  #freeSlots(at: number): number {
    const holdsSlot = ({ states, ...job }: ModelJob) =>
      job.at === at && ['running', 'aborting'].includes(states.at(-1) ?? '')
    return this.#concurrency - this.jobs.filter(holdsSlot).length
  }
}
