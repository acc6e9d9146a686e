import { jobErrorCodes } from '../core/base/index.js'
import type { RegistryHealth } from '../core/registry/index.js'

/** The health of a registry in its wire form. */
export interface WireHealth {
  /** `ok` with 200; `unreachable` or `readonly`, of the storage, or `closed`, of the registry, with 503. */
  status: RegistryHealth['status']
  /** The name of the registry instance that answers. */
  node: string
  storage: {
    /** Whether the storage answered in time. */
    reachable: boolean
    /** How long the answer took, or how long was waited for it, in milliseconds. */
    latency_ms: number
    /** Why it did not answer, or takes no writes, without details. */
    error?: string
  }
  /** How many executions run in this registry. */
  running: number
  /** How many executions wait for a free slot of this registry. */
  queued: number
  /** The duration of a lease, in milliseconds. */
  lease_ms: number
  /** The age of the oldest lease renewal, in milliseconds. */
  oldest_renewal_ms?: number
  /** The schedules whose job should have started in this registry more than a minute ago. */
  overdue?: { _id: string; type: string; since: number }[]
  /** Why the queue hands out no executions: it could not be opened, does not answer, or is paused in BullMQ. */
  queue_problem?: string
}

/** The body about the health of a registry. */
export function healthBody(health: RegistryHealth): WireHealth {
  const { status, node, storage, running, queued, lease, oldestRenewal, overdue, queueProblem } = health
  const { isReachable, latency } = storage
  return {
    status,
    node,
    storage: {
      reachable: isReachable,
      latency_ms: latency,
      ...(!isReachable && { error: jobErrorCodes[status === 'closed' ? 'closed' : 'storage'] }),
      ...(status === 'readonly' && { error: 'The storage answers, but takes no writes.' }),
    },
    running,
    queued,
    lease_ms: lease,
    ...(oldestRenewal !== undefined && { oldest_renewal_ms: oldestRenewal }),
    ...(overdue && { overdue: overdue.map(({ type, id, since }) => ({ _id: id, type, since })) }),
    ...(queueProblem !== undefined && { queue_problem: queueProblem }),
  }
}

/** Converts a health of the protocol. */
export function fromWireHealth({
  storage,
  lease_ms: lease,
  oldest_renewal_ms,
  overdue,
  queue_problem: queueProblem,
  ...health
}: WireHealth): RegistryHealth {
  const { reachable: isReachable, latency_ms: latency, error } = storage
  return {
    ...health,
    storage: { isReachable, latency, ...(error !== undefined && { error: [error] }) },
    lease,
    ...(oldest_renewal_ms !== undefined && { oldestRenewal: oldest_renewal_ms }),
    ...(overdue && { overdue: overdue.map(({ _id: id, ...job }) => ({ ...job, id })) }),
    ...(queueProblem !== undefined && { queueProblem }),
  }
}
