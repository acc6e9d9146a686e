import { jobErrorCodes, type RegistryHealth } from '../index.js'
import { duration, type Values } from './wire.js'

/** The health of a registry as the wire prints it. */
export interface WireHealth {
  /** `ok` with 200; `unreachable` or `readonly`, of the storage, or `closed`, of the registry, with 503. */
  status: RegistryHealth['status']
  /** The name of the registry instance that answers. */
  node: string
  storage: {
    /** Whether the storage answered in time. */
    reachable: boolean
    /** How long the answer took, or was waited for, in milliseconds. */
    latency_ms: number
    /** Why there was none, or why it keeps nothing, without details. */
    error?: string
  }
  /** How many executions run in this registry. */
  running: number
  /** How many executions wait for a free slot of this registry. */
  queued: number
  /** How long a lease holds, in milliseconds. */
  lease_ms: number
  /** How long ago the lease was renewed that was not renewed for longest, in milliseconds. */
  oldest_renewal_ms?: number
}

/** The parameters of `_health`. */
export const healthParameters = { timeout: duration('timeout') }

/** Answers how a registry is. What is wrong with its storage is for the logger alone. */
export async function health(
  registry: { health(options: Values<typeof healthParameters>): Promise<RegistryHealth> },
  _: object,
  options: Values<typeof healthParameters>,
): Promise<{ status: number; body: WireHealth; failure?: readonly string[] }> {
  const found = await registry.health(options)
  const { error } = found.storage
  return { status: found.status === 'ok' ? 200 : 503, body: toWireHealth(found), ...(error && { failure: error }) }
}

function toWireHealth({ status, node, storage, running, queued, lease, oldestRenewal }: RegistryHealth): WireHealth {
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
  }
}
