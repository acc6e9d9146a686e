import { findEnded } from './_find-ended.js'
import { Poller } from './_poller.js'
import type { Clock } from './clock.js'
import { errorMessages } from './errors.js'
import { isEnded } from './lifecycle.js'
import type { Logger } from './logger.js'
import type { ExecutionRecord, JobStorage, StorageChange } from './storage.js'

/** What an execution is found by. */
export type ExecutionKey = Pick<ExecutionRecord, 'type' | 'id' | 'executionId'>

/** What {@link Ends} needs of the registry. */
export interface EndsHost {
  readonly storage: JobStorage
  readonly clock: Clock
  readonly logger: Logger
  /** How often to look for ends that nobody told of, in milliseconds. */
  readonly interval: number
  /** Whether this node runs the execution, or is about to: it then tells of the end itself. */
  isOwn(execution: ExecutionKey): boolean
}

/** An end that is waited for. */
interface Awaited {
  readonly key: ExecutionKey
  readonly ended: Promise<ExecutionRecord>
  end(record: ExecutionRecord): void
}

/**
 * The ends of executions that somebody waits for, whichever node runs them. What this node ended itself, it knows; what
 * storage tells of, it looks at; and now and then at the rest.
 */
export class Ends {
  readonly #host: EndsHost
  readonly #awaited = new Map<string, Awaited>()
  readonly #poller: Poller

  constructor(host: EndsHost) {
    const { clock, interval } = host
    this.#host = host
    this.#poller = new Poller({
      clock,
      interval,
      look: () => this.#lookAround(),
      failed: (error) => this.#failed(error),
    })
  }

  /** Resolves with an execution that is new when it has ended: never, once the registry is closed. */
  expect(key: ExecutionKey): Promise<ExecutionRecord> {
    return this.#await(key).ended
  }

  /** Resolves with an execution as soon as it has ended, which may be long ago: never, once the registry is closed. */
  of(key: ExecutionKey): Promise<ExecutionRecord> {
    const awaited = this.#await(key)
    this.#lookNow(awaited)
    return awaited.ended
  }

  /** This node has ended an execution itself, or may have. */
  own(record: ExecutionRecord): void {
    if (isEnded(record.state)) this.#end(record)
  }

  /** Storage told of a change. */
  hear(change: StorageChange): void {
    const awaited = this.#awaited.get(change.executionId)
    if (awaited && isEnded(change.state) && !this.#host.isOwn(change)) this.#lookNow(awaited)
  }

  /** Waits for no end any more. */
  stop(): void {
    this.#poller.stop()
    this.#awaited.clear()
  }

  #await(key: ExecutionKey): Awaited {
    const { executionId } = key
    const known = this.#awaited.get(executionId)
    if (known) return known
    let end: Awaited['end'] = () => undefined
    const ended = new Promise<ExecutionRecord>((resolve) => {
      end = resolve
    })
    const awaited = { key, ended, end }
    this.#awaited.set(executionId, awaited)
    this.#poller.start()
    return awaited
  }

  #end(record: ExecutionRecord): void {
    const { executionId } = record
    this.#awaited.get(executionId)?.end(record)
    this.#awaited.delete(executionId)
  }

  async #look({ key }: Awaited): Promise<void> {
    const found = await findEnded(this.#host.storage, key)
    if (found) this.#end(found)
  }

  /** Looks at once. When storage is away, the next look around comes as ever. */
  #lookNow(awaited: Awaited): void {
    this.#look(awaited).catch((error) => this.#failed(error))
  }

  async #lookAround(): Promise<void> {
    for (const awaited of [...this.#awaited.values()]) {
      if (this.#awaited.has(awaited.key.executionId)) await this.#look(awaited)
    }
  }

  #failed(error: unknown): void {
    this.#host.logger.warn({ error: errorMessages(error) }, 'Could not look whether an execution has ended.')
  }
}
