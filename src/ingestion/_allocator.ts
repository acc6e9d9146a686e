import { createAbortController } from '../core/abort.js'
import { sleep } from '../core/clock.js'
import { JobError } from '../core/errors.js'
import type { JobContext } from '../core/job.js'
import type { ResourceNeed, SharedResource } from './resources.js'

/** What an execution asks for. */
export interface AllocationRequest {
  /** What it holds, all at once. */
  readonly needs: readonly ResourceNeed[]
  /** Of a job in parts: what one of its parts holds, while the job holds its own needs and waits for it. */
  readonly needsOfPart?: readonly ResourceNeed[]
  /** Of a part: its job holds something and waits for it. */
  readonly isPart?: boolean
}

type Counts = ReadonlyMap<SharedResource, number>

/** Gives back some of what is held, or what is left of it. */
export type GiveBack = (needs?: readonly ResourceNeed[]) => void

/** A request that waits, or that was granted. */
interface Allocation {
  /** What it holds, or waits for. */
  readonly counts: Map<SharedResource, number>
  readonly countsOfPart: Counts
  readonly isPart: boolean
  /** Lets the execution begin. */
  grant(): void
}

/** Who holds some of a resource. */
interface Holders {
  used: number
  readonly parents: Set<Allocation>
}

/** How long an execution waits before operators are told, in milliseconds. */
const patience = 10_000

/**
 * Gives executions what they need of shared resources, all of it together or nothing, in the order in which they ask: who waits
 * holds nothing, so that no two can wait for each other. A job in parts is the exception, which holds something while it waits
 * for its parts. It leaves enough for one part, and parts go first.
 */
export class Allocator {
  readonly #holders = new WeakMap<SharedResource, Holders>()
  readonly #waiting = new Set<Allocation>()

  /** Resolves with what gives all of it back. Rejects with the signal's reason when it aborts. */
  acquire({ needs, needsOfPart = [], isPart = false }: AllocationRequest, signal: AbortSignal): Promise<GiveBack> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted()
      const abort = () => {
        this.#waiting.delete(allocation)
        // Who waits behind it may be next.
        this.#grant()
        reject(signal.reason)
      }
      const allocation: Allocation = {
        counts: countsOf(needs),
        countsOfPart: countsOf(needsOfPart),
        isPart,
        grant: () => {
          signal.removeEventListener('abort', abort)
          resolve((given) => this.#release(allocation, given))
        },
      }
      signal.addEventListener('abort', abort)
      this.#waiting.add(allocation)
      this.#grant()
    })
  }

  #grant(): void {
    const isTaken = new Set<SharedResource>()
    for (const allocation of this.#inOrder()) {
      const resources = [...allocation.counts.keys()]
      if (resources.some((resource) => isTaken.has(resource)) || !this.#hasRoom(allocation)) {
        // Nobody overtakes it: a large request would else wait for ever.
        for (const resource of resources) isTaken.add(resource)
      } else this.#hold(allocation)
    }
  }

  #inOrder(): Allocation[] {
    const waiting = [...this.#waiting]
    return [...waiting.filter(({ isPart }) => isPart), ...waiting.filter(({ isPart }) => !isPart)]
  }

  #hasRoom(allocation: Allocation): boolean {
    return [...allocation.counts].every(([resource, count]) => {
      const { used, parents } = this.#holdersOf(resource)
      const { capacity, spare = 0 } = resource
      const isAlone = used === 0 || allocation.isPart
      if (used + count > capacity - (isAlone ? 0 : spare)) return false
      if (allocation.countsOfPart.size === 0) return true
      const all = [...parents, allocation]
      const held = all.reduce((sum, { counts }) => sum + (counts.get(resource) ?? 0), 0)
      return held + Math.max(...all.map(({ countsOfPart }) => countsOfPart.get(resource) ?? 0)) <= capacity
    })
  }

  #hold(allocation: Allocation): void {
    this.#waiting.delete(allocation)
    for (const [resource, count] of allocation.counts) {
      const holders = this.#holdersOf(resource)
      holders.used += count
      if (allocation.countsOfPart.size > 0) holders.parents.add(allocation)
    }
    allocation.grant()
  }

  #release(allocation: Allocation, given?: readonly ResourceNeed[]): void {
    for (const [resource, count] of given ? countsOf(given) : [...allocation.counts]) {
      const holders = this.#holdersOf(resource)
      const left = (allocation.counts.get(resource) ?? 0) - count
      holders.used -= count
      allocation.counts.set(resource, left)
      if (left === 0) holders.parents.delete(allocation)
    }
    this.#grant()
  }

  #holdersOf(resource: SharedResource): Holders {
    const holders = this.#holders.get(resource) ?? { used: 0, parents: new Set() }
    this.#holders.set(resource, holders)
    return holders
  }
}

/** Registries of one process may share a pool. */
const allocator = new Allocator()

/**
 * Does `work` while it holds what it needs, once all of it is free. Throws `invalid_options` when there will never be enough of
 * it, and the signal's reason when that aborts before.
 */
export async function holding<Answer>(
  context: JobContext,
  request: AllocationRequest,
  work: (giveBack: GiveBack) => Promise<Answer>,
): Promise<Answer> {
  if (request.needs.length === 0) return work(() => undefined)
  checkRoom(context, request)
  const granted = createAbortController()
  void sayWaiting(context, request, granted.signal)
  try {
    const release = await allocator.acquire(request, context.signal)
    granted.abort()
    try {
      return await work(release)
    } finally {
      release()
    }
  } finally {
    granted.abort()
  }
}

function checkRoom({ type, id }: JobContext, { needs, needsOfPart = [] }: AllocationRequest): void {
  for (const [resource, count] of countsOf([...needs, ...needsOfPart])) {
    const { name, capacity } = resource
    if (count <= capacity) continue
    const message = `Job [${type}/${id}] needs ${count} ${name} at once, which has ${Math.max(0, capacity)} for jobs: ${resource.remedy(count)}.`
    throw new JobError('invalid_options', message)
  }
}

async function sayWaiting(context: JobContext, { needs }: AllocationRequest, granted: AbortSignal): Promise<void> {
  const { type, id, executionId, clock, logger, signal } = context
  await sleep(clock, patience, granted)
  if (granted.aborted || signal.aborted) return
  const wanted = [...countsOf(needs)].map(
    ([{ name, capacity }, count]) => `${count} ${name} (${capacity} for all jobs)`,
  )
  const message = `Job [${type}/${id}] waits for ${wanted.join(' and ')}, which other jobs hold.`
  logger.warn({ type, id, executionId }, message)
}

function countsOf(needs: readonly ResourceNeed[]): Map<SharedResource, number> {
  const counts = new Map<SharedResource, number>()
  for (const { resource, count } of needs) counts.set(resource, (counts.get(resource) ?? 0) + count)
  return counts
}
