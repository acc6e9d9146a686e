import type { JobRegistry, RegistryHealth } from '../index.js'
import { getRegistryToken } from './job-decorator.js'
import type { ProviderLookup } from './nest.js'

/** Options of {@link HeadgateHealthIndicator.isHealthy}. */
export interface HealthIndicatorOptions {
  /** The name of the registry. Default: the registry without a name. */
  registry?: string
  /** How long to wait for the storage, in milliseconds. Default 1,000. */
  timeout?: number
}

/** The health of a registry, in the form of `@nestjs/terminus`. */
export interface HeadgateHealth
  extends Pick<RegistryHealth, 'node' | 'running' | 'queued' | 'overdue' | 'queueProblem'> {
  /** `up` when the registry can run jobs. */
  status: 'up' | 'down'
  /** Why it is down. Absent when it is up. */
  reason?: Exclude<RegistryHealth['status'], 'ok'>
  /** How long the storage took to answer, in milliseconds. */
  latency: number
}

/**
 * Tells `@nestjs/terminus`, from version 11 on, whether a registry can run jobs: give `isHealthy` to `HealthCheckService.check`. It needs
 * no terminus: any controller can call it.
 */
export class HeadgateHealthIndicator {
  readonly #lookup: ProviderLookup

  /** Nest calls it. */
  constructor(lookup: ProviderLookup) {
    this.#lookup = lookup
  }

  /**
   * The health of a registry, by the given key. Never rejects because of the storage. Its error is no part of the answer, as health is
   * often public. Rejects with Nest's error for an unknown registry.
   */
  async isHealthy<Key extends string = 'headgate'>(
    key: Key = 'headgate' as Key,
    { registry: name, ...options }: HealthIndicatorOptions = {},
  ): Promise<Record<Key, HeadgateHealth>> {
    const registry = this.#lookup.get(getRegistryToken(name), { strict: false }) as JobRegistry
    const { status, storage, node, running, queued, overdue, queueProblem } = await registry.health(options)
    const health: HeadgateHealth = {
      status: status === 'ok' ? 'up' : 'down',
      ...(status !== 'ok' && { reason: status }),
      node,
      latency: storage.latency,
      running,
      queued,
      ...(overdue && { overdue }),
      ...(queueProblem !== undefined && { queueProblem }),
    }
    return { [key]: health } as Record<Key, HeadgateHealth>
  }
}
