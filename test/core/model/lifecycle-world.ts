import assert from 'node:assert/strict'
import {
  type Clock,
  isEnded,
  type JobContext,
  JobError,
  JobRegistry,
  type JobState,
  type JobStatus,
  type JobStorage,
  memoryStorage,
  type StartedExecution,
} from 'headgate'
import { type JobMove, nextState } from 'headgate/adapter'
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
  readonly #storage: JobStorage
  readonly #slowness: number
  readonly #registries: [JobRegistry, JobRegistry]
  readonly #jobIds: string[]
  readonly #runs = new Map<string, Run>()
  readonly #started: StartedExecution[] = []
  /** The statuses that were told of each execution, in order. */
  readonly #told = new Map<string, JobStatus[]>()
  /** The count that each execution said last. */
  readonly #said = new Map<string, number>()
  readonly #broken: unknown[] = []

  constructor(plan: WorldPlan) {
    this.#jobIds = plan.jobs.map((_, job) => `job-${job}`)
    this.#slowness = Math.max(...plan.delays)
    this.#storage = slow(memoryStorage({ clock: this.#clock }), this.#clock, plan)
    this.#registries = [this.#open(plan), this.#open(plan)]
  }

  /** Performs steps, all begun at one time, and lets them come to their end. */
  async perform(...steps: Step[]): Promise<void> {
    const works = Promise.allSettled(steps.map((step) => this.#perform(step)))
    await this.#settle()
    for (const result of await works) if (result.status === 'rejected') this.#broken.push(result.reason)
  }

  /** Ends all that lives. */
  async endAll(): Promise<void> {
    const live = () => [...this.#told.values()].filter((told) => !isEnded(told.at(-1)?.state ?? 'queued'))
    while (live().length > 0) {
      for (const { end } of this.#runs.values()) end('return')
      await this.#settle()
    }
    await this.#settle()
  }

  /** What was told of every job: the states of all its executions, and the last count. */
  get jobs(): { states: JobState[]; count: number }[] {
    const told = [...this.#told.values()].flat()
    return this.#jobIds.map((id) => {
      const statuses = told.filter((status) => status.id === id)
      const isNew = (status: JobStatus, index: number) => {
        const before = statuses[index - 1]
        return before?.state !== status.state || before.executionId !== status.executionId
      }
      return { states: statuses.filter(isNew).map(({ state }) => state), count: statuses.at(-1)?.count ?? 0 }
    })
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
      const begun = told.filter(({ state }) => state === 'running').map(({ startTime }) => startTime)
      assert.deepEqual(
        begun.filter((startTime) => startTime !== final.startTime),
        [],
      )
      assert.equal(final.count, this.#said.get(executionId) ?? 0)
      assert.deepEqual(
        log.filter((status) => status.executionId === executionId),
        [final],
      )
    }
    // Each registry polls for lost processes.
    assert.equal(this.#clock.pending, this.#registries.length)
  }

  async #settle(): Promise<void> {
    // More than all the answers together that a step waits for.
    await this.#clock.advance(this.#slowness * 10)
  }

  async #perform(step: Step): Promise<void> {
    if (step.do === 'advance') return this.#clock.advance(step.ms)
    const id = this.#jobIds[step.job] as string
    if (step.do === 'start') return this.#start(step.at, id)
    if (step.do === 'abort') await this.#registries[step.at as 0 | 1].abort('test', id, { timeout: 0 })
    else if (step.do === 'progress') this.#say(id, step.count)
    else this.#runs.get(id)?.end(step.do)
  }

  async #start(at: number, id: string): Promise<void> {
    try {
      this.#started.push(await this.#registries[at as 0 | 1].start('test', id))
    } catch (error) {
      if (!JobError.isInstance(error) || error.code !== 'already_running') throw error
    }
  }

  #say(id: string, more: number): void {
    const { context } = this.#runs.get(id) ?? {}
    if (!context) return
    const { executionId } = context.status
    const count = (this.#said.get(executionId) ?? 0) + more
    this.#said.set(executionId, count)
    context.progress({ count })
  }

  #open({ jobs, concurrency, progressInterval }: WorldPlan): JobRegistry {
    const times = { clock: this.#clock, lease: 3000, progressInterval }
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

  #run(context: JobContext, ignoresSignal: boolean): Promise<void> {
    const { status, signal } = context
    const { id } = status
    if (this.#runs.has(id)) this.#broken.push(`[${id}] runs twice at one time`)
    const running = new Promise<void>((resolve, reject) => {
      if (!ignoresSignal) signal.addEventListener('abort', () => reject(signal.reason))
      const end = (how: End) => {
        if (how === 'throw') reject(new RangeError('ordered'))
        if (how === 'complete') context.complete()
        resolve()
      }
      this.#runs.set(id, { context, end })
    })
    return running.finally(() => this.#runs.delete(id))
  }
}

/** Whether `status` may follow `before`: the table of states has such a move, and no count goes back. */
function follows(before: JobStatus | undefined, status: JobStatus): boolean {
  if (!before || isEnded(before.state) || status.count < before.count) return false
  return before.state === status.state || moves.some((move) => nextState(before.state, move) === status.state)
}

/** The same storage, with requests and answers that take their time: later ones may overtake them. */
function slow(storage: JobStorage, clock: Clock, { delays, isWatched }: WorldPlan): JobStorage {
  let passages = 0
  const pass = async () => {
    const delay = delays[passages++ % delays.length] ?? 0
    if (delay > 0) await new Promise<void>((resolve) => clock.setTimer(delay, resolve))
  }
  const late =
    <Args extends unknown[], Answer>(ask: (...args: Args) => Promise<Answer>) =>
    async (...args: Args): Promise<Answer> => {
      await pass()
      const answer = await ask(...args)
      await pass()
      return answer
    }
  return {
    begin: late((request) => storage.begin(request)),
    renew: late((lease, request) => storage.renew(lease, request)),
    claim: late((waiting, request) => storage.claim(waiting, request)),
    run: late((lease) => storage.run(lease)),
    finish: late((lease, request) => storage.finish(lease, request)),
    requestAbort: late((request) => storage.requestAbort(request)),
    find: late((type, id) => storage.find(type, id)),
    live: (filter) => storage.live(filter),
    orphans: (page) => storage.orphans(page),
    search: (filter) => storage.search(filter),
    ...(isWatched && { watch: (listener) => storage.watch?.(listener) ?? (() => {}) }),
  }
}
