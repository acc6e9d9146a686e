import { type Clock, withTimeout } from './clock.js'
import { errorMessages, JobError } from './errors.js'
import type { JobState } from './lifecycle.js'
import { checkOptions, rule } from './options.js'
import type { Redactor } from './redact.js'
import type { JobStorage } from './storage.js'

/** Options of `registry.health`. */
export interface HealthOptions {
  /** How long to wait for the storage, in milliseconds. Default 1,000. */
  timeout?: number
}

const healthRules = { timeout: rule.optional(rule.whole(0)) }

/** Whether the storage of a registry answers. */
export interface StorageHealth {
  /** Whether it answered in time. */
  isReachable: boolean
  /** How long the answer took, or was waited for, in milliseconds. */
  latency: number
  /** Why there was none, or why it keeps nothing: messages, outermost cause first, secrets redacted. */
  error?: string[]
}

/** The health of a registry. */
export interface RegistryHealth {
  /**
   * `ok`; `unreachable` when its storage does not answer; `readonly` when its storage answers but takes no writes, as a
   * standby; `closed` from the call of `close()` on.
   */
  status: 'ok' | 'unreachable' | 'readonly' | 'closed'
  /** The name of the registry instance. */
  node: string
  /** Whether its storage answers. */
  storage: StorageHealth
  /** How many executions run in this registry, those that are being aborted among them. */
  running: number
  /** How many executions wait for a free slot of this registry. */
  queued: number
  /** How long a lease holds, in milliseconds. */
  lease: number
  /**
   * Age of the oldest lease renewal, in milliseconds; missing when nothing runs or waits. Healthy up to a little more than a third
   * of `lease`; at `lease`, the execution is lost.
   */
  oldestRenewal?: number
}

/** What an execution has to do with the health of its registry. */
export interface Standing {
  readonly state: JobState
  /** How long ago its lease was renewed, in milliseconds. */
  readonly leaseAge: number
}

/** What a {@link HealthProbe} needs of the registry. */
export interface HealthHost {
  readonly storage: JobStorage
  readonly clock: Clock
  readonly node: string
  readonly redactor: Redactor
  readonly lease: number
  /** Aborts when the storage is about to be closed. */
  readonly abandoned: AbortSignal
}

/** Looks how a registry is. */
export class HealthProbe {
  readonly #host: HealthHost
  #looking: Promise<Pick<StorageHealth, 'error'>> | undefined

  constructor(host: HealthHost) {
    this.#host = host
  }

  /** The health of a registry that is closed or not, and of whose executions `standings` tells. */
  async check(
    options: HealthOptions,
    isClosed: boolean,
    standings: () => readonly Standing[],
  ): Promise<RegistryHealth> {
    checkOptions('options', options, healthRules)
    const { timeout = 1000 } = options
    const storage = await this.#storage(timeout)
    const { node, lease } = this.#host
    const live = standings()
    const queued = live.filter(({ state }) => state === 'queued').length
    return {
      status: isClosed ? 'closed' : statusOf(storage),
      node,
      storage,
      running: live.length - queued,
      queued,
      lease,
      ...(live.length > 0 && { oldestRenewal: live.reduce((oldest, { leaseAge }) => Math.max(oldest, leaseAge), 0) }),
    }
  }

  async #storage(timeout: number): Promise<StorageHealth> {
    const { clock, abandoned, redactor } = this.#host
    const askedAt = clock.now()
    const latency = () => Math.max(0, clock.now() - askedAt)
    try {
      if (abandoned.aborted) throw new JobError('closed', 'The registry is closed.')
      const answer = await withTimeout(clock, timeout, this.#look())
      if (answer) return { isReachable: true, latency: latency(), ...answer }
      throw new JobError('storage', `The storage gave no answer within ${timeout} ms.`)
    } catch (error) {
      return { isReachable: false, latency: latency(), error: errorMessages(error, redactor) }
    }
  }

  /** Asks the storage, once for all who want to know at a time: a storage that hangs is not to be asked ever more. */
  #look(): Promise<Pick<StorageHealth, 'error'>> {
    this.#looking ??= this.#ask().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  async #ask(): Promise<Pick<StorageHealth, 'error'>> {
    const { storage } = this.#host
    if (!storage.isWritable) await storage.search({ state: 'running', size: 0 })
    else if (!(await storage.isWritable())) return { error: ['The storage is read-only.'] }
    return {}
  }
}

function statusOf({ isReachable, error }: StorageHealth): RegistryHealth['status'] {
  if (!isReachable) return 'unreachable'
  return error ? 'readonly' : 'ok'
}
