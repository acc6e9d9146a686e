import { anySignal, checkedAnswer, createAbortController, JobError, rule, sleep } from '../../core/base/index.js'
import type { ExecutionContext } from '../../core/execution/index.js'
import type { ResourceDemand, ResourceNeed, SharedResource } from '../contract/index.js'
import { heldOf } from './resource-allocator.js'

/** How often to check whether a run is stalled, in milliseconds. */
const interval = 5_000

/** How long a run may be stalled before it fails, in milliseconds. */
const maxStall = 60_000

/** The last observation of a resource. */
interface Observation {
  /** How many requests were granted by then. */
  readonly granted: number
  /** Since when requests wait and none is granted. */
  readonly since: number
}

/**
 * Detects a deadlock with code of the application: a transform or a function requests a connection from a pool whose connections are
 * all held by jobs.
 *
 * A run is stalled while it waits for such code, requests for one of its resources wait, and none is granted. The run logs a warning
 * first. Then `signal` aborts with a transient error: the run releases its resources, and the code continues.
 */
export class StallWatch {
  readonly signal: AbortSignal
  readonly #context: ExecutionContext
  readonly #resources: readonly SharedResource[]
  readonly #stalled = createAbortController()
  readonly #over = createAbortController()
  readonly #observations = new Map<SharedResource, Observation>()
  #isInOwnCode = false
  #steps = 0
  #hasWarned = false

  constructor(context: ExecutionContext, needs: readonly ResourceNeed[]) {
    this.#context = context
    this.#resources = needs.map(({ resource }) => resource).filter(({ demand }) => demand !== undefined)
    this.signal = this.#resources.length > 0 ? anySignal([context.signal, this.#stalled.signal]) : context.signal
  }

  /** Watches a run while it holds its resources. */
  async during<Answer>(run: () => Promise<Answer>): Promise<Answer> {
    if (this.#resources.length > 0) this.#watch().catch((error) => this.#stalled.abort(error))
    try {
      return await run()
    } finally {
      this.#over.abort()
    }
  }

  /** Called at each step of the run, with whether that step is code of the application. */
  step(isOwnCode: boolean): void {
    this.#isInOwnCode = isOwnCode
    this.#steps++
  }

  async #watch(): Promise<void> {
    const { clock } = this.#context
    while (!this.#over.signal.aborted && !this.signal.aborted) {
      const before = this.#steps
      await sleep(clock, interval, this.#over.signal, { background: true })
      if (!this.#isInOwnCode || this.#steps !== before) this.#observations.clear()
      else for (const resource of this.#resources) this.#check(resource)
    }
  }

  #check(resource: SharedResource): void {
    const now = this.#context.clock.now()
    const { waiting = 0, granted = 0 } = demandFor(resource)
    const before = this.#observations.get(resource)
    if (waiting === 0) this.#observations.delete(resource)
    else if (before?.granted !== granted) this.#observations.set(resource, { granted, since: now })
    else if (now - before.since >= maxStall) this.#stalled.abort(stallFailure(resource))
    else this.#warn(resource)
  }

  #warn(resource: SharedResource): void {
    if (this.#hasWarned) return
    this.#hasWarned = true
    const { type, id, executionId, logger } = this.#context
    const message = `Job [${type}/${id}] waits for code of the application. ${reasonOf(resource)}`
    logger.warn({ type, id, executionId }, `${message} The job fails when this lasts ${maxStall / 1000} s.`)
  }
}

function stallFailure(resource: SharedResource): JobError {
  const message = `The job waited ${maxStall / 1000} s for code of the application. ${reasonOf(resource)}`
  return new JobError('datasource', message, { isTransient: true })
}

function reasonOf(resource: SharedResource): string {
  const { name, capacity } = resource
  return `Requests for ${name} wait, of which jobs hold ${heldOf(resource)}: ${resource.remedy(capacity + 1)}.`
}

const demandRule = rule.optional(rule.anObject)

function demandFor(resource: SharedResource): Partial<ResourceDemand> {
  const method = `demand() of ${resource.name}`
  return checkedAnswer<ResourceDemand | undefined>('invalid_options', method, demandRule, resource.demand?.()) ?? {}
}
