import { createAbortController, JobError, sleep } from '../../core/base/index.js'
import type { ExecutionContext } from '../../core/execution/index.js'
import type { ResourceNeed, SharedResource } from '../contract/index.js'

/** What an execution requests. */
export interface AllocationRequest {
  /** What it holds, all at once. */
  readonly needs: readonly ResourceNeed[]
  /** For a parent: what one of its partitions holds, while the parent holds its own needs and waits for the partition. */
  readonly partitionNeeds?: readonly ResourceNeed[]
  /** Whether the request is of a partition, whose parent holds resources and waits for it. */
  readonly isPartition?: boolean
}

type Counts = ReadonlyMap<SharedResource, number>

/** Releases the given needs, or everything that is still held. */
export type Release = (needs?: readonly ResourceNeed[]) => void

/** A waiting or granted request. */
interface Allocation {
  /** What it holds, or waits for. */
  readonly counts: Map<SharedResource, number>
  readonly partitionCounts: Counts
  readonly isPartition: boolean
  /** Lets the execution begin. */
  grant(): void
}

/** The holders of a resource. */
interface Holders {
  used: number
  readonly parents: Set<Allocation>
}

/** How long an execution waits before a warning is logged, in milliseconds. */
const warningDelay = 10_000

/**
 * Grants executions all of the shared resources that they need, or none, in the order of their requests. A waiting execution holds
 * nothing, so there are no deadlocks. The exception is a parent, which holds resources while it waits for its partitions: it leaves
 * enough for one partition, and partitions go first.
 */
export class Allocator {
  readonly #holders = new WeakMap<SharedResource, Holders>()
  readonly #waiting = new Set<Allocation>()

  /** Resolves with a function that releases the resources. Rejects with the signal's reason when it aborts. */
  acquire(
    { needs, partitionNeeds = [], isPartition = false }: AllocationRequest,
    signal: AbortSignal,
  ): Promise<Release> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted()
      const abort = () => {
        this.#waiting.delete(allocation)
        // The next request in order may fit now.
        this.#grant()
        reject(signal.reason)
      }
      const allocation: Allocation = {
        counts: countsOf(needs),
        partitionCounts: countsOf(partitionNeeds),
        isPartition,
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

  /** How much of a resource executions hold. */
  held(resource: SharedResource): number {
    return this.#holdersOf(resource).used
  }

  #grant(): void {
    const isTaken = new Set<SharedResource>()
    for (const allocation of this.#inOrder()) {
      const resources = [...allocation.counts.keys()]
      if (resources.some((resource) => isTaken.has(resource)) || !this.#hasRoom(allocation)) {
        // Later requests must not overtake it, or a large request would wait forever.
        for (const resource of resources) isTaken.add(resource)
      } else this.#hold(allocation)
    }
  }

  #inOrder(): Allocation[] {
    const waiting = [...this.#waiting]
    return [...waiting.filter(({ isPartition }) => isPartition), ...waiting.filter(({ isPartition }) => !isPartition)]
  }

  #hasRoom(allocation: Allocation): boolean {
    return [...allocation.counts].every(([resource, count]) => {
      const { used, parents } = this.#holdersOf(resource)
      const { capacity, spare = 0 } = resource
      const isAlone = used === 0 || allocation.isPartition
      if (used + count > capacity - (isAlone ? 0 : spare)) return false
      if (allocation.partitionCounts.size === 0) return true
      const all = [...parents, allocation]
      const held = all.reduce((sum, { counts }) => sum + (counts.get(resource) ?? 0), 0)
      return held + Math.max(...all.map(({ partitionCounts }) => partitionCounts.get(resource) ?? 0)) <= capacity
    })
  }

  #hold(allocation: Allocation): void {
    this.#waiting.delete(allocation)
    for (const [resource, count] of allocation.counts) {
      const holders = this.#holdersOf(resource)
      holders.used += count
      if (allocation.partitionCounts.size > 0) holders.parents.add(allocation)
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

/** One per process, as registries of one process may share a pool. */
const allocator = new Allocator()

/** How much of a resource the executions of this process hold. */
export function heldOf(resource: SharedResource): number {
  return allocator.held(resource)
}

/**
 * Runs `work` with the needed resources, once all of them are free. Throws `invalid_options` when the capacity is too small, and the
 * signal's reason when it aborts first.
 */
export async function holding<Answer>(
  context: ExecutionContext,
  request: AllocationRequest,
  work: (release: Release) => Promise<Answer>,
): Promise<Answer> {
  if (request.needs.length === 0) return work(() => undefined)
  checkRoom(context, request)
  const granted = createAbortController()
  void warnWhenWaiting(context, request, granted.signal)
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

function checkRoom({ type, id }: ExecutionContext, { needs, partitionNeeds = [] }: AllocationRequest): void {
  for (const [resource, count] of countsOf([...needs, ...partitionNeeds])) {
    const { name, capacity } = resource
    if (count <= capacity) continue
    const message = `Job [${type}/${id}] needs ${count} ${name} at once, which has ${Math.max(0, capacity)} for jobs: ${resource.remedy(count)}.`
    throw new JobError('invalid_options', message)
  }
}

async function warnWhenWaiting(
  context: ExecutionContext,
  { needs }: AllocationRequest,
  granted: AbortSignal,
): Promise<void> {
  const { type, id, executionId, clock, logger, signal } = context
  await sleep(clock, warningDelay, granted)
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
