import assert from 'node:assert/strict'
import {
  isEnded,
  type JobContext,
  JobError,
  type JobMove,
  JobRegistry,
  type JobState,
  type JobStatus,
  memoryStorage,
  nextState,
  type StartedExecution,
} from 'headgate'
import { fakeClock } from 'headgate/testing'

import type { End, Step, WorldPlan } from './lifecycle-model.js'

interface Run {
  context: JobContext
  end(how: End): void
}

const moves: JobMove[] = ['run', 'abort', 'complete', 'stop', 'fail']

/** Two registries that share a storage, and jobs that do what the steps tell them. */
export class LifecycleWorld {
  readonly #clock = fakeClock()
  readonly #storage = memoryStorage({ clock: this.#clock })
  readonly #registries: [JobRegistry, JobRegistry]
  readonly #jobIds: string[]
  readonly #runs = new Map<string, Run>()
  readonly #started: StartedExecution[] = []
  /** The statuses that were told of each execution, in order. */
  readonly #told = new Map<string, JobStatus[]>()
  readonly #broken: unknown[] = []

  constructor(plan: WorldPlan) {
    this.#jobIds = plan.jobs.map((_, job) => `job-${job}`)
    this.#registries = [this.#open(plan), this.#open(plan)]
  }

  /** Performs steps, all begun at one time, and lets them come to their end. */
  async perform(...steps: Step[]): Promise<void> {
    const works = steps.map((step) => this.#perform(step))
    for (const result of await Promise.allSettled(works)) {
      if (result.status === 'rejected') this.#broken.push(result.reason)
    }
    await this.#settle()
  }

  /** Ends all that lives. */
  async endAll(): Promise<void> {
    for (let isAllEnded = false; !isAllEnded; ) {
      for (const { end } of this.#runs.values()) end('return')
      await this.#settle()
      isAllEnded = (await this.#storage.live('test')).length === 0
    }
  }

  /** The state and the count of every job. */
  async look(): Promise<{ state: JobState | undefined; count: number | undefined }[]> {
    const statuses = await Promise.all(this.#jobIds.map((id) => this.#registries[0].status('test', id)))
    return statuses.map((status) => ({ state: status?.state, count: status?.count }))
  }

  /** Checks what holds of any world in which all has ended. */
  async check(): Promise<void> {
    assert.deepEqual(this.#broken, [])
    const { total, hits: log } = await this.#registries[1].search({ size: 1000 })
    assert.deepEqual([total, this.#told.size], [this.#started.length, this.#started.length])
    assert.deepEqual(await this.#registries[0].running('test'), [])
    for (const { executionId, finished } of this.#started) {
      const final = await finished
      const told = this.#told.get(executionId) ?? []
      assert.deepEqual(
        told.filter(({ state }) => isEnded(state)),
        [final],
      )
      assert.deepEqual(
        told.slice(1).filter((status, index) => !follows(told[index], status)),
        [],
      )
      assert.deepEqual(
        log.filter((status) => status.executionId === executionId),
        [final],
      )
    }
    assert.equal(this.#clock.pending, 0)
  }

  async #settle(): Promise<void> {
    await this.#clock.advance(0)
  }

  async #perform(step: Step): Promise<void> {
    if (step.do === 'advance') return this.#clock.advance(step.ms)
    const id = this.#jobIds[step.job] as string
    if (step.do === 'start') return this.#start(step.at, id)
    if (step.do === 'abort') await this.#registries[step.at as 0 | 1].abort('test', id, { timeout: 0 })
    else if (step.do === 'progress') this.#runs.get(id)?.context.progress({ count: step.count })
    else this.#runs.get(id)?.end(step.do)
  }

  async #start(at: number, id: string): Promise<void> {
    try {
      this.#started.push(await this.#registries[at as 0 | 1].start('test', id))
    } catch (error) {
      if (!JobError.isInstance(error) || error.code !== 'already_running') throw error
    }
  }

  #open({ jobs, concurrency }: WorldPlan): JobRegistry {
    const times = { clock: this.#clock, lease: 3000, progressInterval: 1000 }
    const registry = new JobRegistry({ storage: this.#storage, concurrency, ...times })
    registry.on('status', ({ status }) => {
      this.#told.set(status.executionId, [...(this.#told.get(status.executionId) ?? []), status])
    })
    for (const [job, { ignoresSignal }] of jobs.entries()) {
      const id = this.#jobIds[job] as string
      registry.define({ type: 'test', id, run: (context) => this.#run(context, ignoresSignal) })
    }
    return registry
  }

  #run(context: JobContext, ignoresSignal: boolean): Promise<'completed' | undefined> {
    const { id, signal } = context
    if (this.#runs.has(id)) this.#broken.push(`[${id}] runs twice at one time`)
    const running = new Promise<'completed' | undefined>((resolve, reject) => {
      if (!ignoresSignal) signal.addEventListener('abort', () => reject(signal.reason))
      const end = (how: End) => {
        if (how === 'throw') reject(new RangeError('ordered'))
        else resolve(how === 'complete' ? 'completed' : undefined)
      }
      this.#runs.set(id, { context, end })
    })
    return running.finally(() => this.#runs.delete(id))
  }
}

/** Whether the table of states lets `status` follow `before`. */
function follows(before: JobStatus | undefined, status: JobStatus): boolean {
  if (!before || isEnded(before.state)) return false
  return before.state === status.state || moves.some((move) => nextState(before.state, move) === status.state)
}
