import { type Deferred, deferred, errorMessages, Poller } from '../base/index.js'
import { type ExecutionKey, type ExecutionRecord, isEnded } from '../model/index.js'
import type { Runtime } from '../runtime/index.js'
import { findEnded, type StorageChange } from '../storage/index.js'
import type { LocalExecutions } from './local-executions.js'

/** How many times per lease to poll for ends. */
const pollsPerLease = 3

/** How often to poll for ends when the storage does not emit changes, in milliseconds. */
const unwatchedInterval = 100

/** An awaited end. */
interface Awaited {
  readonly key: ExecutionKey
  readonly ended: Deferred<ExecutionRecord>
}

/**
 * Waits for the ends of executions on any node. This node reports its own ends. For others, it reads storage after a notification, and
 * polls as a fallback.
 */
export class CompletionWaiter {
  readonly #runtime: Runtime
  readonly #executions: LocalExecutions
  readonly #awaited = new Map<string, Awaited>()
  readonly #poller: Poller

  constructor(runtime: Runtime, executions: LocalExecutions) {
    const { storage, clock, lease, events } = runtime
    this.#runtime = runtime
    this.#executions = executions
    this.#poller = new Poller({
      clock,
      interval: storage.watch ? lease / pollsPerLease : unwatchedInterval,
      poll: () => this.#checkAll(),
      onFailed: (error) => this.#failed(error),
    })
    events.on('changed', (record) => this.#handleChange(record))
    events.on('storageChange', (change) => this.#handleStorageChange(change))
  }

  /** Resolves with a new execution when it has ended. Never, once the registry is closed. */
  expect(key: ExecutionKey): Promise<ExecutionRecord> {
    return this.#await(key).ended.promise
  }

  /** Resolves with an execution as soon as it has ended, possibly long ago. Never, once the registry is closed. */
  whenEnded(key: ExecutionKey): Promise<ExecutionRecord> {
    const awaited = this.#await(key)
    this.#checkNow(awaited)
    return awaited.ended.promise
  }

  stop(): void {
    this.#poller.stop()
    this.#awaited.clear()
  }

  #handleChange(record: ExecutionRecord): void {
    if (isEnded(record.state)) this.#end(record)
  }

  /** This node reports its own ends. */
  #handleStorageChange(change: StorageChange): void {
    const awaited = this.#awaited.get(change.executionId)
    if (awaited && isEnded(change.state) && !this.#executions.find(change)) this.#checkNow(awaited)
  }

  #await(key: ExecutionKey): Awaited {
    const { executionId } = key
    const known = this.#awaited.get(executionId)
    if (known) return known
    const awaited = { key, ended: deferred<ExecutionRecord>() }
    this.#awaited.set(executionId, awaited)
    this.#poller.start()
    return awaited
  }

  #end(record: ExecutionRecord): void {
    const { executionId } = record
    this.#awaited.get(executionId)?.ended.resolve(record)
    this.#awaited.delete(executionId)
  }

  async #check({ key }: Awaited): Promise<void> {
    const found = await findEnded(this.#runtime.storage, key)
    if (found) this.#end(found)
  }

  /** Reads storage at once. After an error, the next poll tries again. */
  #checkNow(awaited: Awaited): void {
    this.#check(awaited).catch((error) => this.#failed(error))
  }

  async #checkAll(): Promise<void> {
    for (const awaited of [...this.#awaited.values()]) {
      if (this.#awaited.has(awaited.key.executionId)) await this.#check(awaited)
    }
  }

  #failed(error: unknown): void {
    this.#runtime.logger.warn({ error: errorMessages(error) }, 'Could not check whether an execution has ended.')
  }
}
